"""Tells when the wall clock is set while the daemon runs.

Rule: nothing that is timed depends on it: intervals use the monotonic clock. People read labels, so a jump is an event of its own that
says how far the labels before and after are apart. Thread `clock:watch`.
"""

import structlog

from channeld.base.clock import NS_PER_SECOND, Clock, SystemClock, iso_utc
from channeld.base.worker import Worker
from channeld.channel.alarms import Publish

LOOK_S = 1.0
JUMP_S = 1.0
"""A slewed clock moves by at most 0.5 ms a second (adjtime(3)): a jump within one look is somebody's doing."""

log = structlog.get_logger()


class ClockJumps:
    """Compares the wall clock with the monotonic one. One thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s = self._offset()

    def _offset(self) -> float:
        return self._clock.wall_s() - self._clock.monotonic_ns() / NS_PER_SECOND

    def look(self) -> float | None:
        """By how many seconds the wall clock was set since the last look; None when it was not."""
        offset_s = self._offset()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        return jump_s if abs(jump_s) > JUMP_S else None


class ClockWatch(Worker):
    """Looks once a second."""

    def __init__(self, publish: Publish, clock: Clock | None = None) -> None:
        super().__init__("clock:watch")
        self._publish = publish
        self._clock = clock or SystemClock()

    def run(self) -> None:
        jumps = ClockJumps(self._clock)
        while not self.stopping.wait(LOOK_S):
            jump_s = jumps.look()
            if jump_s is not None:
                before = iso_utc(self._clock.wall_s() - jump_s)
                log.warning("clock_jumped", by_s=round(jump_s, 3), instead_of=before)
                self._publish("clock_jumped", by_s=round(jump_s, 3), instead_of=before)
