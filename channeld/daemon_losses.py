"""How a control gives way to the next: how long it waits because its holder died, and that nothing of its own keeps it.

Rule: the first time at once, as all that the holder held is dead and viewers wait; a holder that dies again within HEALTHY_S is not
started again and again as fast as the machine can. The count is handed on in the environment, as control replaces itself by exec.
Used by the daemon's main thread.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, MutableMapping

import structlog

VARIABLE = "CHANNELD_HOLDER_LOSSES"
HEALTHY_S = 60.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

log = structlog.get_logger()


@contextlib.contextmanager
def closed_anyway(restarts: Callable[[], bool]) -> Iterator[None]:
    """A part that does not end, as a thread that a dead disk holds, does not keep a successor from its place."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        if not restarts():
            raise
        log.error("daemon_not_closed", error=str(error), consequence="what comes next begins all the same")


class HolderLosses:
    """Made when control starts, so that it knows how long it ran."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ, *, now_s: float | None = None) -> None:
        self._environ = environ
        self._began_s = time.monotonic() if now_s is None else now_s
        before = environ.get(VARIABLE, "")
        self._in_a_row = int(before) if before.isascii() and before.isdigit() else 0

    def count(self, *, now_s: float | None = None) -> tuple[int, float]:
        """The holder died: which one in a row this is, and the seconds to wait; the next control will know."""
        lived_s = (time.monotonic() if now_s is None else now_s) - self._began_s
        self._in_a_row = self._in_a_row + 1 if lived_s < HEALTHY_S else 1
        self._environ[VARIABLE] = str(self._in_a_row)
        repeats = self._in_a_row - 1
        return self._in_a_row, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(repeats - 1, 30)) if repeats else 0.0
