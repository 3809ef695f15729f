"""Control's ends of the wires: the playout host and the media worker as children, one reading and one sending thread each.

Rule: messages are handed to the control loop; nothing is decided here, and nobody who sends ever waits for a child that
does not read. A child that ends is told once, by `on_gone`; it is dead by then.
The process belongs to the holder; the wire and both threads belong to the Link and end with `close`.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.errors import SpawnError
from channeld.base.wire import Message, Wire, socket_pair
from channeld.base.worker import Worker
from channeld.process.child import ChildSpec
from channeld.process.confine import python_environment
from channeld.process.holding import HeldProcess, Holding
from channeld.process.outbox import Outbox
from channeld.telemetry.log import relay

_LOOK_S = 2.0
"""How often a closing link looks after its child; usually the end of the wire tells it at once."""

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
        self._outbox = Outbox(name, self._wire)
        argv = (sys.executable, "-m", module, "--wire-fd", "0", *arguments)
        spec = ChildSpec(name, argv, env=python_environment(), stdin=theirs.fileno())
        try:
            self.child: HeldProcess = holder.spawn(spec, on_line=self._tell)
        except SpawnError:
            ours.close()
            raise
        finally:
            theirs.close()

    def start(self) -> None:
        """Start both threads."""
        self._outbox.start()
        super().start()

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool:
        """Send one message soon; False when the child is gone (its end is told by `on_gone`). Any thread; never waits."""
        return self.child.poll() is None and self._outbox.put(kind, fds, values)

    def _tell(self, line: str) -> None:
        # A child's own log lines are already formatted and redacted.
        relay(line)

    def run(self) -> None:
        while True:
            try:
                message = self._wire.receive(_LOOK_S)
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
        try:
            status = self.child.wait(1.0)
        except TimeoutError:
            # Its wire is broken, so nobody can reach it: it must not live on beside its successor.
            status = self.child.terminate(0.5)
        return f"{self.name} ended with status {status}: {self.child.stderr_tail[-500:]}"

    def close(self, timeout_s: float = 5.0) -> None:
        """Ask the child to end, see to it that it does, and end the threads. Idempotent."""
        if not self._closing.is_set():
            self._closing.set()
            self.send(self._farewell)
            try:
                self.child.wait(timeout_s)
            except TimeoutError:
                self.child.terminate(0.5)
        self._outbox.close(timeout_s)
        super().close(timeout_s)
        self._wire.close()
