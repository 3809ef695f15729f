"""Ends children that live and say nothing: each says something every second, so one that does not stands still.

Rule: only at a second look that finds it so: at the first one it may be control, or the machine, that stood still. Control loop's thread.
"""

import signal
import time
from collections.abc import Callable, Collection, Iterable

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.channel.link import Link
from channeld.channel.loop import ControlLoop

SILENT_S, LOOK_S = 15.0, 5.0
SERVING_SILENT_S = 30.0
"""Of media workers, whose code takes longer to load on a machine that is busy beyond its means."""

log = structlog.get_logger()


class StandstillWatch:
    """`links`: those of the children that there are now, none while all are being ended; their ends are told as any."""

    def __init__(self, loop: ControlLoop, links: Callable[[], Iterable[Link]], silent_s: float | None = None) -> None:
        self._loop, self._links = loop, links
        self._silent_s = silent_s or SILENT_S

    def start(self) -> None:
        """Look from now on."""
        self._look(())

    def _look(self, suspects: Collection[Link]) -> None:
        then_ns = time.monotonic_ns() - round(self._silent_s * NS_PER_SECOND)
        silent = [link for link in self._links() if link.heard_ns < then_ns]
        for link in silent:
            if link in suspects:
                log.error("child_stands_still", child=link.child.name, seconds=self._silent_s, consequence="it is ended and replaced")
                link.child.signal(signal.SIGKILL)
        self._loop.later(LOOK_S, lambda: self._look(silent))
