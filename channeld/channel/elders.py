"""Media workers of other code, which go on serving until those that come after them are loaded.

Rule: a port, and a channel's folder of HLS, has one worker at a time: successors are told what to do when no elder lives any more.
Control loop's thread.
"""

import contextlib
import signal
from collections.abc import Callable, Iterable

import structlog

from channeld.channel.link import Link, wire_name
from channeld.channel.loop import ControlLoop
from channeld.process.holding import HeldProcess, Holding

GRACE_S = 1.5
"""How long an elder may take to end by itself."""

log = structlog.get_logger()


class Elders:
    """The elders of one holder."""

    def __init__(self, loop: ControlLoop, holder: Holding) -> None:
        self._loop, self._holder = loop, holder
        self._living: dict[str, HeldProcess] = {}
        self._then: Callable[[], None] | None = None
        self.successors: dict[int, Link] = {}
        """Those that come after them, by number; they are told nothing yet."""

    def __bool__(self) -> bool:
        return bool(self._living)

    def adopt(self, names: Iterable[str]) -> None:
        """Know the living children of these names, and of their end."""
        for name in names:
            # Between being listed and asked for it may have ended.
            with contextlib.suppress(KeyError):
                self._living[name] = self._adopt(name)

    def _adopt(self, name: str) -> HeldProcess:
        return self._holder.adopt(name, on_exit=lambda status: self._loop.post(lambda: self._gone(name)))

    def end(self, then: Callable[[], None]) -> None:
        """Have all of them end, and call `then` when they are gone; only the first call counts."""
        if self._then is not None:
            return
        if not self._living:
            then()
            return
        self._then = then
        self.signal(signal.SIGINT)
        self._loop.later(GRACE_S, lambda: self.signal(signal.SIGKILL))

    def signal(self, number: int) -> None:
        """Send a signal to all that live."""
        for child in self._living.values():
            child.signal(number)

    def _gone(self, name: str) -> None:
        child = self._living.pop(name)
        self._holder.release(wire_name(child))
        log.info("media_worker_succeeded", elder=name, pid=child.pid)
        then = self._then
        if not self._living and then is not None:
            self._then = None
            then()
