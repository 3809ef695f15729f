"""Time as a value that tests can replace.

Rule: intervals use the monotonic clock; the wall clock only labels.
"""

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

NS_PER_SECOND = 1_000_000_000


class Clock(Protocol):
    """What the project reads time from."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        ...

    def wall_s(self) -> float:
        """Seconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_s(self) -> float:
        return time.time()


class FakeClock:
    """A clock that moves only when told; safe to read from other threads."""

    def __init__(self, *, monotonic_ns: int = 0, wall_s: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self._monotonic_ns = monotonic_ns
        self._wall_s = wall_s

    def monotonic_ns(self) -> int:
        with self._lock:
            return self._monotonic_ns

    def wall_s(self) -> float:
        with self._lock:
            return self._wall_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        with self._lock:
            self._monotonic_ns += int(seconds * NS_PER_SECOND)
            self._wall_s += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock, forward or back; the monotonic one goes on."""
        with self._lock:
            self._wall_s += seconds


def iso_utc(wall_s: float) -> str:
    """ISO 8601 in UTC with milliseconds, as the API and HLS write it."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
