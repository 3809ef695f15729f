"""What airs on a channel now, as values: a clip on its way, or the filler. Heap thread."""

from dataclasses import dataclass

from channeld.playout.lookahead import ClipSource, Lookahead
from channeld.playout.pace import LiveStore
from channeld.ts.index import Block
from channeld.ts.splicer import ClipFeed


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Filler:
    """What airs when nothing else can: all of it in memory, and the path by which another host knows it again."""

    path: str
    blocks: tuple[Block, ...]


@dataclass(slots=True)
class OnAir:
    """What airs now; `lookahead` None is the filler. Frames are counted from the clip's first.

    `as_json` is what the published state says of it; `reported` the newest serial that control was told of. `gives_way`: it is left as
    soon as the first planned clip is in memory. `waits_until`: a cut waits until then, in ticks of the timeline, for the next clip to be
    in memory. `store` is a live source's.
    """

    serial: int
    source: ClipSource | None
    feed: ClipFeed
    lookahead: Lookahead | None
    as_json: str = "null"
    started_dts: int = 0
    reported: int = 0
    cut_requested: bool = False
    waits_until: int = 0
    gives_way: bool = False
    store: LiveStore | None = None


def named(source: ClipSource | None) -> dict[str, str | None]:
    """What every report says of an airing; the filler has no names."""
    if source is None:
        return {"airing": None, "entry": None, "tag": None}
    return {"airing": source.airing, "entry": source.entry, "tag": source.tag}
