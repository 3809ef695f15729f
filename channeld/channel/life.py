"""One channel's attempts to be on air: which one counts, what it holds, and how long to wait before the next.

Rule: an answer to an earlier attempt means nothing to a later one. Control loop's thread only.
"""

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.channel.settings import ChannelSettings
from channeld.process.backoff import Backoff


class Life:
    """`has_air`: the host was told to start and has not yet said that all of it is gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backoff = Backoff()
        self._on_air_since_ns: int | None = None
        self._begun_ns = 0
        self.attempt = 0
        self.has_air = False
        self.restart_wanted = False
        self.successor: ChannelSettings | None = None
        """Settings that count once all of the present air is gone."""

    def begin(self) -> int:
        """A new attempt; gives its number."""
        self.attempt += 1
        self._begun_ns, self._on_air_since_ns = self._clock.monotonic_ns(), None
        return self.attempt

    @property
    def age_s(self) -> float:
        """How long ago the attempt began."""
        return (self._clock.monotonic_ns() - self._begun_ns) / NS_PER_SECOND

    def aired(self) -> None:
        """Something went on air."""
        if self._on_air_since_ns is None:
            self._on_air_since_ns = self._clock.monotonic_ns()

    def wait_s(self) -> float:
        """How long to wait after an attempt that failed now."""
        since_ns, self._on_air_since_ns = self._on_air_since_ns, None
        healthy_s = 0.0 if since_ns is None else (self._clock.monotonic_ns() - since_ns) / NS_PER_SECOND
        return self._backoff.next_s(healthy_for_s=healthy_s)
