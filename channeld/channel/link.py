"""Control's ends of the wires: the playout host and the media worker as children, one reading thread each.

Rule: messages are handed to the control loop; nothing is decided here. A child that ends is told once, by `on_gone`.
The process belongs to the holder; the wire and the reading thread belong to the Link and end with `close`.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.errors import SpawnError
from channeld.base.wire import Message, Wire, socket_pair
from channeld.base.worker import Worker
from channeld.process.child import Child, ChildSpec, clean_environment
from channeld.process.holder import Holding

log = structlog.get_logger()


class Link(Worker):
    """A child that speaks the wire protocol. `on_message` and `on_gone` run on the link's thread: they should post."""

    def __init__(
        self,
        name: str,
        module: str,
        *,
        holder: Holding,
        on_message: Callable[[Message], None],
        on_gone: Callable[[str], None],
        arguments: tuple[str, ...] = (),
        farewell: str = "quit",
    ) -> None:
        super().__init__(f"link:{name}")
        self.name = name
        self._on_message = on_message
        self._on_gone = on_gone
        self._farewell = farewell
        self._closing = threading.Event()
        ours, theirs = socket_pair()
        self._wire = Wire(ours)
        argv = (sys.executable, "-m", module, "--wire-fd", str(theirs.fileno()), *arguments)
        try:
            self.child: Child = holder.spawn(ChildSpec(name, argv, env=_environment(), pass_fds=(theirs.fileno(),)), on_line=self._tell)
        except SpawnError:
            ours.close()
            raise
        finally:
            theirs.close()

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool:
        """Send one message; False when the child is gone (its end is told by `on_gone`). Any thread."""
        try:
            self._wire.send(kind, fds, **values)
        except OSError:
            return False
        return True

    def _tell(self, line: str) -> None:
        # A child's own log lines are already formatted and redacted.
        sys.stderr.write(line + "\n")

    def run(self) -> None:
        while True:
            try:
                message = self._wire.receive(0.5)
            except TimeoutError:
                if self._closing.is_set() and self.child.poll() is not None:
                    break
                continue
            except (OSError, ValueError) as error:
                log.warning("wire_broken", link=self.name, error=str(error))
                break
            if message is None:
                break
            self._on_message(message)
        if not self._closing.is_set():
            self._on_gone(self._last_words())

    def _last_words(self) -> str:
        with contextlib.suppress(TimeoutError):
            return f"{self.name} ended with status {self.child.wait(1.0)}: {self.child.stderr_tail[-500:]}"
        return f"{self.name} closed its wire"

    def close(self, timeout_s: float = 5.0) -> None:
        """Ask the child to end, see to it that it does, and end the thread. Idempotent."""
        if not self._closing.is_set():
            self._closing.set()
            self.send(self._farewell)
            try:
                self.child.wait(timeout_s)
            except TimeoutError:
                self.child.terminate(0.5)
        super().close(timeout_s)
        self._wire.close()


def _environment() -> dict[str, str]:
    """A clean one, with what Python needs to find this package where it is not installed."""
    environment = clean_environment()
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
