"""Control's ends of the wires: the playout host and the media worker as children, one reading and one sending thread each.

Rule: messages are handed to the control loop; nothing is decided here, and nobody who sends ever waits for a child that
does not read. A child that ends is told once, by `on_gone`; it is dead by then.
The process belongs to the holder, which keeps a duplicate of our end of the wire, `wire:<name>/<pid>`: so a child does not lose
its wire with control, and a later control adopts both. The wire and both threads belong to the Link and end with `close` or `leave`.
"""

import contextlib
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from channeld.base.errors import ProcessError, SpawnError
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


def wire_name(child: HeldProcess) -> str:
    """Under which name the holder keeps control's end of a child's wire."""
    return f"wire:{child.name}/{child.pid}"


def _release_stale(holder: Holding, name: str) -> None:
    """Have the wires closed of children of that name that ended while nobody was there to see it."""
    held = holder.held()
    living = {f"wire:{child.name}/{child.pid}" for child in held.children}
    for kept in held.fds:
        if kept.startswith(f"wire:{name}/") and kept not in living:
            holder.release(kept)


class Link(Worker):
    """A child that speaks the wire protocol. `on_message` and `on_gone` run on the link's thread: they should post.

    With `adopt` it goes on with the living child of that name that an earlier control left; messages which that one did
    not read are told now. `forked_by`: see ChildSpec. Raises SpawnError when the child cannot be started, or there is none to adopt.
    """

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
        adopt: bool = False,
        forked_by: str = "",
    ) -> None:
        super().__init__(f"link:{name}")
        self.name = name
        self._holder = holder
        self._on_message, self._on_gone = on_message, on_gone
        self._farewell = farewell
        self.heard_ns = time.monotonic_ns()
        """When the child last said anything."""
        self._closing, self._leaving = threading.Event(), threading.Event()
        _release_stale(holder, name)
        try:
            self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise SpawnError(f"{name}: {error.strerror}") from error
        try:
            self.child, end = self._adopt() if adopt else self._spawn(module, arguments, forked_by)
        except BaseException:
            os.close(self._wake_fd)
            raise
        self._wire = Wire(end)
        self._outbox = Outbox(name, self._wire)

    def _spawn(self, module: str, arguments: tuple[str, ...], forked_by: str) -> tuple[HeldProcess, socket.socket]:
        try:
            ours, theirs = socket_pair()
        except OSError as error:
            raise SpawnError(f"{self.name}: {error.strerror}") from error
        argv = (sys.executable, "-m", module, "--wire-fd", "0", *arguments)
        spec = ChildSpec(self.name, argv, env=python_environment(), stdin=theirs.fileno(), forked_by=forked_by)
        try:
            child = self._holder.spawn(spec, on_line=self._tell)
            self._holder.keep_fd(wire_name(child), ours.fileno())
        except SpawnError:
            ours.close()
            raise
        except OSError as error:
            ours.close()
            raise SpawnError(f"{self.name}: {error.strerror}") from error
        finally:
            theirs.close()
        return child, ours

    def _adopt(self) -> tuple[HeldProcess, socket.socket]:
        try:
            child = self._holder.adopt(self.name, on_line=self._tell)
        except KeyError:
            raise SpawnError(f"{self.name}: there is no such child to adopt") from None
        try:
            return child, socket.socket(fileno=self._holder.borrow(wire_name(child)))
        except (KeyError, OSError):
            child.terminate(0.5)  # nobody can reach it any more
            raise SpawnError(f"{self.name}: its wire was not kept, so it was ended") from None

    def start(self) -> None:
        """Start both threads; where the machine has none left, the child is ended and gone."""
        try:
            self._outbox.start()
            super().start()
        except RuntimeError as error:
            log.error("link_not_started", link=self.name, error=str(error))
            self._on_gone(f"{self.name} was ended: {error}. {self._last_words()}")

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool:
        """Send one message soon; False when the child is gone (its end is told by `on_gone`). Any thread; never waits."""
        return self.child.poll() is None and self._outbox.put(kind, fds, values)

    def _tell(self, line: str) -> None:
        # A child's own log lines are already formatted and redacted.
        relay(line)

    def wake(self) -> None:
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def run(self) -> None:
        while not self._leaving.is_set():
            try:
                message = self._receive()
            except TimeoutError:
                if self._closing.is_set() and self.child.poll() is not None:
                    return
                continue
            except ValueError as error:  # as one whose descriptors found no room here: what it airs is worth more
                log.error("message_lost", link=self.name, error=str(error))
                continue
            except OSError as error:
                log.warning("wire_broken", link=self.name, error=str(error))
                break
            if message is None:
                break
            self.heard_ns = time.monotonic_ns()
            self._on_message(message)
        if not self._closing.is_set():
            self._on_gone(self._last_words())

    def _receive(self) -> Message | None:
        """The next message; also ended by `wake`. Raises TimeoutError."""
        poller = select.poll()
        poller.register(self._wire, select.POLLIN)
        poller.register(self._wake_fd, select.POLLIN)
        ready = [fd for fd, _ in poller.poll(_LOOK_S * 1000)]
        if self._wire.fileno() not in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)
            raise TimeoutError
        return self._wire.receive(0)

    def _last_words(self) -> str:
        try:
            status = self.child.wait(1.0)
        except TimeoutError:
            # Its wire is broken, so nobody can reach it: it must not live on beside its successor.
            try:
                status = self.child.terminate(0.5)
            except (TimeoutError, ProcessError) as error:  # whoever holds it does not answer
                return f"{self.name} is out of reach: {error}"
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
            self._holder.release(wire_name(self.child))
        self._part()

    def leave(self) -> None:
        """End the threads and let the child live on, with its wire kept by the holder; what was left to send is sent first."""
        self._closing.set()
        self._leaving.set()
        self._part()

    def _part(self) -> None:
        try:
            self._outbox.close()
        finally:
            super().close()
            self._wire.close()
            wake_fd, self._wake_fd = self._wake_fd, -1
            if wake_fd >= 0:
                os.close(wake_fd)


def close_all(links: Iterable[Link], grace_s: float) -> None:
    """Each, whatever becomes of the others: see Link.close."""
    for link in tuple(links):
        try:
            link.close(grace_s)
        except (RuntimeError, OSError) as error:
            log.error("link_not_closed", link=link.name, error=str(error))


def leave_all(links: Iterable[Link]) -> None:
    """Each, whatever becomes of the others: see Link.leave."""
    for link in tuple(links):
        try:
            link.leave()
        except (RuntimeError, OSError) as error:
            log.error("link_not_left", link=link.name, error=str(error))
