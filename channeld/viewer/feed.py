"""Figures of what one way gave one player, told every 5 s to those who look closely.

Rule: counts only; used by one thread.
"""

import time

from channeld.telemetry import log
from channeld.viewer.way import Way

TELL_S = 5.0
WAITED_S = 0.01
"""A write that took longer counts as one that waited."""
STOOD_S = 3.0
"""A player that took nothing for so long stood still, and explains why a way was shut on us or ran over, also a little later: what had
come before is played first."""
LATELY_S = 15.0

_feeder, _transport = log.get("play.feeder"), log.get("play.transport")


class Feed:
    """Of one way."""

    def __init__(self) -> None:
        self.written_bytes = self.waits = self.lost_bytes = 0
        self.waited_s = 0.0
        self._still_s = 0.0
        self._stood_until_s = float("-inf")
        self._told_s = time.monotonic()

    def note(self, taken: int, took_s: float) -> None:
        """A write of which the player took so many bytes, after so long."""
        self.written_bytes += taken
        if took_s >= WAITED_S:
            self.waits += not self._still_s
            self.waited_s += took_s
        self._still_s += took_s
        if self._still_s >= STOOD_S:
            self._stood_until_s = time.monotonic()
        if taken:
            self._still_s = 0.0

    def lose(self, lost_bytes: int) -> None:
        """So many were lost on the way."""
        self.lost_bytes += lost_bytes

    @property
    def has_stood_lately(self) -> bool:
        """The player took nothing for a while, not long ago."""
        return time.monotonic() - self._stood_until_s < LATELY_S

    def tell_now_and_then(self, way: Way) -> None:
        """Tell, if it is time."""
        if time.monotonic() - self._told_s >= TELL_S:
            self.tell(way)

    def tell(self, way: Way) -> None:
        """How it stands."""
        self._told_s = time.monotonic()
        _feeder.debug("fed", bytes=self.written_bytes, lost_bytes=self.lost_bytes, waits=self.waits, waited_s=round(self.waited_s, 2))
        _transport.debug("stands", **way.facts())
