"""Whether anybody wants a channel's live sources: always, or while somebody watches and a while after.

Control loop's thread only.
"""

from collections.abc import Callable

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.channel.means import Means

SPARE_S = 0.05

log = structlog.get_logger()


class Interest:
    """One channel's. `idle_s` as in LiveSettings; `on_change()`: it begins or ends."""

    def __init__(self, channel: str, means: Means, idle_s: float | None, on_change: Callable[[], None]) -> None:
        self._channel, self._means, self._on_change = channel, means, on_change
        self.idle_s = idle_s
        self._watched_s: float | None = None
        self._looks = False
        self._is_running = False

    @property
    def is_there(self) -> bool:
        """They are wanted now."""
        return self.idle_s is None or (self._watched_s is not None and self._now_s() - self._watched_s < self.idle_s)

    def begin(self) -> None:
        """The channel is on its way."""
        self._is_running = True

    def end(self) -> None:
        """It is not any more, and nobody watches."""
        self._is_running, self._watched_s = False, None

    def watched(self) -> None:
        """Somebody watches just now."""
        if self.idle_s is None:
            return
        was_there, self._watched_s = self.is_there, self._now_s()
        if not self._is_running:
            return
        if not was_there:
            log.info("sources_wanted", channel=self._channel)
            self._on_change()
        if not self._looks:
            self._look_in(self.idle_s)

    def _look_in(self, wait_s: float) -> None:
        self._looks = True

        def look() -> None:
            self._looks = False
            if not self._is_running or self._watched_s is None:
                return
            if self.idle_s is not None and self.is_there:
                self._look_in(self._watched_s + self.idle_s - self._now_s())
                return
            log.info("sources_idle", channel=self._channel)
            self._watched_s = None
            self._on_change()

        self._means.loop.later(wait_s + SPARE_S, look)

    def _now_s(self) -> float:
        return self._means.clock.monotonic_ns() / NS_PER_SECOND
