"""One channel's programmes: what aired by the as-run log, what airs, and what the queue will air.

Rule: the past is what the log says, the future what the forecast says; where the forecast ends for its length, the channel's name
fills whole hours up to the horizon. Nothing is kept here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channeld.base.redact import redact_text
from channeld.channel.guide_text import ListedChannel, Programme
from channeld.channel.settings import ChannelSettings, ServedTarget
from channeld.channel.state import State
from channeld.channel.supervisor import Supervisor
from channeld.playlist.forecast import Airing

PAST_S = 4 * 3600.0
HORIZON_S = 26 * 3600.0
"""At least 24 hours are told until the guide is made again."""
BLOCK_S = 3600.0
_AIRING = (State.STARTING, State.ON_AIR, State.FILLER)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a channel's supervisor knows at one moment. `coming` in seconds of the wall clock; nothing when it is off the air."""

    wall_s: float
    now: Programme | None
    coming: tuple[Airing, ...]
    is_airing: bool
    is_estimated: bool


def look_out(supervisor: Supervisor, *, now_ns: int, wall_s: float, limit: int) -> Outlook:
    """Ask a supervisor, for at most `limit` airings. Control loop's thread."""
    if supervisor.state not in _AIRING:
        return Outlook(wall_s, None, (), is_airing=False, is_estimated=False)
    rundown = supervisor.rundown
    coming = tuple(rundown.forecast(now_ns=now_ns, wall_s=wall_s, until_s=wall_s + HORIZON_S, limit=limit))
    planned, ends_s = rundown.now.planned, rundown.due_wall_s()
    now = None
    if planned is not None and ends_s is not None:
        now = Programme(rundown.now.started_wall_s, max(ends_s, wall_s), redact_text(planned.entry.title), planned.entry.id)
    is_estimated = now is None or any(each.is_estimated for each in coming[-1:])
    return Outlook(wall_s, now, coming, is_airing=True, is_estimated=is_estimated)


def programmes(name: str, aired: Iterable[dict[str, Any]], outlook: Outlook) -> list[Programme]:
    """One after the other. `aired`: lines of the as-run log as the API shows them, in any order; `name`: the channel's own."""
    until_s = outlook.wall_s if outlook.now is None else outlook.now.starts_s
    past = list(_past(name, aired, until_s))
    now = [] if outlook.now is None else [outlook.now]
    coming = [Programme(each.starts_s, each.ends_s, redact_text(each.entry.title), each.entry.id) for each in outlook.coming]
    told = [*past, *now, *coming]
    if not outlook.is_airing:
        return told
    ends_s = told[-1].stops_s if coming or now else outlook.wall_s
    return [*told, *_blocks(name, ends_s, outlook.wall_s + HORIZON_S)]


def _past(name: str, aired: Iterable[dict[str, Any]], until_s: float) -> Iterator[Programme]:
    """Each line until the next begins, or it ended; the last until `until_s`, where what airs now begins."""
    lines = sorted(aired, key=lambda line: (str(line["started_at"]), int(line["id"])))
    starts = [_wall_s(line["started_at"]) for line in lines]
    for number, (line, starts_s) in enumerate(zip(lines, starts, strict=True)):
        follows_s = min(starts[number + 1], until_s) if number + 1 < len(lines) else until_s
        stops_s = min(_wall_s(line["ended_at"]), follows_s) if line["ended_at"] is not None else follows_s
        if starts_s < stops_s:
            yield Programme(starts_s, stops_s, line["title"] or name, line["entry"])


def _blocks(name: str, starts_s: float, until_s: float) -> Iterator[Programme]:
    while starts_s < until_s:
        stops_s = (starts_s // BLOCK_S + 1) * BLOCK_S
        yield Programme(starts_s, stops_s, name)
        starts_s = stops_s


def listed(settings: ChannelSettings) -> ListedChannel:
    """How guides list a channel; its stream is its HLS, else its TS, if it is on."""
    streams = {target.type: target for target in settings.targets if isinstance(target, ServedTarget) and target.enabled}
    path = f"/hls/{settings.id}/index.m3u8" if "hls" in streams else f"/ts/{settings.id}" if "ts" in streams else None
    return ListedChannel(settings.id, settings.name, settings.listing, path if settings.enabled else None)


def _wall_s(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
