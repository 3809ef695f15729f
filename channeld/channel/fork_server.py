"""The fork server of one module, as control sees it: started once it is worth it, adopted from an earlier control, replaced when it ends.

Rule: it is a help and never needed: as long as it is not ready, children are started as programs. It belongs to the holder, and its wire is
kept there under its own name; one of another version is ended. Control loop's thread.
"""

import contextlib
import signal
import sys
from functools import partial

import structlog

from channeld.base.errors import SpawnError
from channeld.base.wire import socket_pair
from channeld.channel.loop import ControlLoop
from channeld.channel.patience import Patience
from channeld.process.child import ChildSpec
from channeld.process.clone import is_possible
from channeld.process.confine import python_environment
from channeld.process.fork_server import READY
from channeld.process.holding import HeldProcess, Holding
from channeld.telemetry.log import relay

PREFIX = "forks:"
WORTH_STARTS = 2
"""Of children within one life of control, before a server is: its memory is as much as one of them takes alone."""

log = structlog.get_logger()


class ForkServer:
    """`name` is what a ChildSpec's `forked_by` should be now."""

    def __init__(self, module: str, *, loop: ControlLoop, holder: Holding, version: str) -> None:
        self._module, self._loop, self._holder = module, loop, holder
        self._own_name = f"{PREFIX}{module}:{version}"
        self._child: HeldProcess | None = None
        self._is_ready = self._is_waiting = self._is_closing = False
        self._starts = 0
        self._patience = Patience()

    @property
    def name(self) -> str:
        """Empty while there is none that is ready."""
        return self._own_name if self._is_ready else ""

    def adopt(self) -> None:
        """Go on with the one that an earlier control left, if that is of our version."""
        held = self._holder.held()
        for left in held.children:
            if not left.name.startswith(f"{PREFIX}{self._module}:"):
                continue
            with contextlib.suppress(KeyError):  # it ended just now
                if left.name == self._own_name and left.name in held.fds:
                    self._child = self._holder.adopt(left.name, on_line=self._hear, on_exit=self._ended)
                    self._is_ready = READY in self._child.stderr_tail  # else it says so yet
                else:
                    self._holder.adopt(left.name).signal(signal.SIGKILL)
                    self._holder.release(left.name)

    def note_start(self) -> None:
        """A child is about to be started: from the second on a server is worth it."""
        self._starts += 1
        if self._starts >= WORTH_STARTS:
            self._start()

    def close(self) -> None:
        """Start none any more; the holder ends the one there is, or the next control goes on with it."""
        self._is_closing = True

    def _start(self) -> None:
        if self._child is not None or self._is_waiting or self._is_closing or not is_possible():
            return
        try:
            self._spawn()
        except (SpawnError, OSError) as error:
            log.warning("fork_server_not_started", module=self._module, error=str(error), consequence="processes start more slowly")
            self._again()
            return
        self._patience.started()

    def _spawn(self) -> None:
        """Raises SpawnError, OSError."""
        argv = (sys.executable, "-m", "channeld.process.fork_server", "--module", self._module, "--wire-fd", "0")
        # A library's own threads would be lost in a fork, and what they hold be locked for ever.
        env = {**python_environment(), "OPENBLAS_NUM_THREADS": "1"}
        ours, theirs = socket_pair()
        with ours, theirs:
            spec = ChildSpec(self._own_name, argv, env=env, stdin=theirs.fileno())
            self._child = self._holder.spawn(spec, on_line=self._hear, on_exit=self._ended)
            self._holder.keep_fd(self._own_name, ours.fileno())

    def _hear(self, line: str) -> None:
        if line == READY:
            self._loop.post(self._became_ready)
        else:
            relay(line)

    def _became_ready(self) -> None:
        self._is_ready = self._child is not None

    def _ended(self, status: int) -> None:
        self._loop.post(partial(self._gone, status))

    def _gone(self, status: int) -> None:
        if self._is_closing or self._child is None:
            return
        self._child, self._is_ready = None, False
        self._holder.release(self._own_name)
        log.warning("fork_server_ended", module=self._module, status=status, consequence="processes start more slowly")
        self._again()

    def _again(self) -> None:
        def start() -> None:
            self._is_waiting = False
            self._start()

        self._is_waiting = True
        self._loop.later(self._patience.wait_s(), start)
