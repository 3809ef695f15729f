"""When slices are due: by the monotonic clock, and, while a live source airs, by what it has in store.

Rule: the timeline never shifts; only the moment at which its origin counts as released does, and that by a hundredth of the time at most.
Heap thread.
"""

from collections import deque
from dataclasses import dataclass

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import TICKS_PER_SECOND

SLEW = 0.01
DEAD_ZONE_S = 0.15
HUSH_TICKS, HUSHED_TICKS = TICKS_PER_SECOND // 2, 3 * TICKS_PER_SECOND
"""A source that sends comes each 0.2 s or little more; a slate that airs instead of a silent one may soon give way to another."""
WATCHED_SLICES = 20
"""The least store of so many slices counts: a live source comes in bursts."""


@dataclass(slots=True)
class Pace:
    """The timeline's origin is released at `anchor_ns` of the monotonic clock.

    What is due up to `burst_ticks` of the timeline is released at once; not before `waits_until_ns`, unless the clip is in memory.
    """

    anchor_ns: int
    burst_ticks: int
    waits_until_ns: int = 0

    def due_ns(self, elapsed_ticks: int) -> int:
        """When so much of the timeline is due."""
        return self.anchor_ns + elapsed_ticks * NS_PER_SECOND // TICKS_PER_SECOND


class Hush:
    """Whether a live source has fallen silent: then, and for a while after, slices are as short as may be.

    What follows it is soon to air, and a slice that is released cannot be taken back. All in ticks of the timeline.
    """

    def __init__(self) -> None:
        self._came, self._since, self._until = -1, 0, 0

    def follow(self, came: int, now: int) -> None:
        """Told with each slice how many pictures have come of it."""
        if came != self._came:
            self._came, self._since = came, now
        elif now - self._since >= HUSH_TICKS:
            self.begin(now)

    def begin(self, now: int) -> None:
        """It is silent, or was left."""
        self._until = now + HUSHED_TICKS

    def lasts(self, now: int) -> bool:
        """Still."""
        return now < self._until


class LiveStore:
    """Watches how far a live source is ahead of the air, and says how much later the next slices are due, in nanoseconds.

    A source whose clock is slower than ours empties its store, a faster one fills it; both are met before anybody sees it.
    """

    def __init__(self, wanted_s: float) -> None:
        self._wanted_s = wanted_s
        self._seen_s: deque[float] = deque(maxlen=WATCHED_SLICES)
        self.shifted_ns = 0

    def shift_ns(self, ahead_s: float, slice_s: float) -> int:
        """Told with each slice; negative for earlier."""
        self._seen_s.append(ahead_s)
        surplus_s = min(self._seen_s) - self._wanted_s
        if len(self._seen_s) < WATCHED_SLICES or abs(surplus_s) < DEAD_ZONE_S:
            return 0
        most_s = SLEW * slice_s
        shift_ns = int(max(-most_s, min(most_s, -surplus_s)) * NS_PER_SECOND)
        self.shifted_ns += shift_ns
        return shift_ns
