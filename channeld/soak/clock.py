"""The soak's time: a clock that moves only when told, and an agenda of what happens when.

Rule: nothing waits; of two things due at one instant the one planned first comes first, so that a seed is a story.
"""

import heapq
import itertools
from collections.abc import Callable

from channeld.base.clock import NS_PER_SECOND, FakeClock

BEGIN_NS = 1_000_000 * NS_PER_SECOND
"""A machine that has been up for eleven days."""

Action = Callable[[], None]


class SoakClock(FakeClock):
    """Nanoseconds for the air; the wall clock may jump, as wall clocks do."""

    def __init__(self) -> None:
        super().__init__(monotonic_ns=BEGIN_NS)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the soak began."""
        return (self.monotonic_ns() - BEGIN_NS) / NS_PER_SECOND

    def advance_ns(self, nanoseconds: int) -> None:
        """Move both clocks forward, exactly."""
        with self._lock:
            self._monotonic_ns += nanoseconds
            self._wall_s += nanoseconds / NS_PER_SECOND

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        with self._lock:
            self._wall_s += seconds


class Agenda:
    """What is to happen, in order of time."""

    def __init__(self, clock: SoakClock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Action]] = []
        self._count = itertools.count()

    def after(self, seconds: float, action: Action) -> None:
        """Have something done so much later."""
        at_ns = self._clock.monotonic_ns() + int(seconds * NS_PER_SECOND)
        heapq.heappush(self._heap, (at_ns, next(self._count), action))

    def run_next(self) -> bool:
        """Do the first thing that is due; False when nothing is."""
        if not self._heap or self._heap[0][0] > self._clock.monotonic_ns():
            return False
        heapq.heappop(self._heap)[2]()
        return True

    @property
    def next_ns(self) -> int:
        """When the next thing is due, on the monotonic clock; far away when nothing is."""
        return self._heap[0][0] if self._heap else 1 << 62
