"""Which channel the ends of a playout host are put down to. Pure; one for each host, asked by the registry.

Rule: a host carries many channels, and dies without a word. What is known is what each aired. A host that lived well ends with what
began last, if with anything; so the channels are suspects in the order in which something of theirs began, or was about to, and the
first answers for all ends that follow at once; when what is held back of it changes nothing it is cleared, and the next one answers. Once
all did, each answers again, down to its filler. An end by itself is put down to nobody, unless the
same clip of a channel had just begun at some before it. One that is killed from outside now and then accuses nobody.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from channeld.playlist.model import Content

LOOP_S = 10.0
"""A host that ended so soon after its start ended for the same reason as the one before."""
KILLED_LOOP_S = 2.5
"""The same for one that was killed from outside: people and scripts do that at any moment, and only what kills at once, as a
kernel short of memory does, has to do with what airs."""
FRESH_S = 3.0
"""What began so long before the end of a host that lived well is worth remembering."""
SEEN_BEFORE = 2
"""How often it was remembered before it is put down to the channel."""
WINDOW_S = 600.0
MAX_REMEMBERED = 100
ALL_ENDS = 3
"""More than a channel may have by its budget."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a channel aired when its host ended. `doubt_s`: how long ago that began, or how soon the next was due, if that is sooner."""

    channel: str
    content: Content | None
    doubt_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """The channel that answers, and for how many ends. `cleared`: one that answered until now, in vain."""

    channel: str
    ends: int
    cleared: str | None = None


class Inquest:
    """One host's. The channel that answers tells what came of it by `held` or `clear`."""

    def __init__(self) -> None:
        self._suspects: list[str] = []
        self._ends = 0
        self._is_held = self._is_second_round = False
        self._remembered: deque[tuple[float, str, Content]] = deque(maxlen=MAX_REMEMBERED)

    def ended(self, scenes: Sequence[Scene], *, lived_s: float, now_s: float, was_killed: bool = False) -> Finding | None:
        """The host ended without our order, so long after its start; by itself, or killed from outside."""
        ordered = sorted(scenes, key=lambda scene: scene.doubt_s)
        if lived_s > (KILLED_LOOP_S if was_killed else LOOP_S):
            self._begin(ordered, ends=0 if was_killed else 1)
            return None if was_killed else self._again(ordered, now_s)
        if not scenes:
            return None  # it carried nothing yet
        if not self._suspects:
            self._begin(ordered, ends=0)
        self._ends += 1
        return self._ask(ordered)

    def _begin(self, ordered: Sequence[Scene], *, ends: int) -> None:
        self._suspects, self._ends = [scene.channel for scene in ordered], ends
        self._is_held = self._is_second_round = False

    def _ask(self, ordered: Sequence[Scene]) -> Finding | None:
        first, present = self._suspects[0], [scene.channel for scene in ordered]
        if first not in present:
            return None  # not this time
        if not self._is_held or self._is_second_round or len(present) == 1:
            return Finding(first, self._take_ends())
        # What was held back of it changed nothing: the next one answers, for all that it answered for.
        self._is_held = False
        self._suspects = [name for name in self._suspects[1:] if name in present]
        if not self._suspects:
            self._suspects, self._is_second_round = present, True
            return Finding(self._suspects[0], 1, first)
        return Finding(self._suspects[0], ALL_ENDS, first)

    def _take_ends(self) -> int:
        ends, self._ends = self._ends, 0
        return ends

    def _again(self, ordered: Sequence[Scene], now_s: float) -> Finding | None:
        newest = ordered[0] if ordered else None
        if newest is None or newest.content is None or newest.doubt_s > FRESH_S:
            return None
        what = newest.channel, newest.content
        times = sum(1 for at_s, *seen in self._remembered if tuple(seen) == what and now_s - at_s <= WINDOW_S)
        self._remembered.append((now_s, *what))
        return Finding(newest.channel, self._take_ends()) if times >= SEEN_BEFORE else None

    def held(self, channel: str) -> None:
        """Something of a channel that answers is held back now."""
        self._is_held = self._is_held or self._suspects[:1] == [channel]

    def clear(self, channel: str) -> None:
        """It was not this one, or it is gone."""
        if self._suspects[:1] == [channel]:
            self._is_held = False
        self._suspects = [name for name in self._suspects if name != channel]
