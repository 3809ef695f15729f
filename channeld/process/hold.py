"""The holder as a process of its own: `python -m channeld.process.hold --socket PATH [--linger SECONDS]`.

Rule: it decides nothing and serves one control at a time; a control that comes takes over from the one before. Whatever a
control does, also nothing at all, children go on. It ends everything and itself when told to, by `end` or SIGTERM, and
when no control came for `linger` seconds. Killed, it takes its children along (their death signal).

| what                       | made by    | waited for by | closed by                                |
|----------------------------|------------|---------------|------------------------------------------|
| lock, listening socket     | serve      | -             | serve, last (the kernel drops the lock)  |
| connection, its outbox     | HoldServer | the selector  | HoldServer: end of it, or the next hello |
| Holder with all it holds   | HoldServer | -             | HoldServer.close                         |
"""

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from channeld.base.descriptors import widen_descriptors
from channeld.base.errors import ChannelError, SpawnError
from channeld.base.wire import Message
from channeld.process.child import Child
from channeld.process.hold_connection import Connection
from channeld.process.hold_messages import MAX_EXITS, PROTOCOL, child_values, exit_values, pages, spec_of
from channeld.process.hold_socket import listening, peer_uid
from channeld.process.holder import Holder
from channeld.process.holding import HeldExit
from channeld.telemetry import log

MAX_CALLERS = 8
"""Connections that have not said hello; the oldest is closed for another."""

_log = log.get("hold")


class HoldServer:
    """Serves a listening socket until told to end. All methods but the callbacks of children belong to one thread.

    Whatever is written to `wake_fd` interrupts its waiting.
    """

    def __init__(self, listener: socket.socket, *, linger_s: float | None = None) -> None:
        self._listener, self._linger_s = listener, linger_s
        self._holder = Holder(is_alone=True)
        self._lock = threading.Lock()  # guards control, children and exits: events and answers of a child keep their order
        self._control: Connection | None = None
        self._children: dict[int, Child] = {}
        self._exits: deque[HeldExit] = deque(maxlen=MAX_EXITS)
        self._callers: dict[int, Connection] = {}
        self._alone_since_s = time.monotonic()
        self._awake_fd, self.wake_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_ending = False
        self._grace_s = 3.0

    def end_soon(self) -> None:
        """Have `serve` return; any thread, and signal handlers."""
        self._is_ending = True
        with contextlib.suppress(OSError):  # closed already, or full: awake in any case
            os.write(self.wake_fd, b"\0")

    def serve(self) -> None:
        """Answer until told to end, or until nobody came for too long."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._awake_fd, selectors.EVENT_READ)
            while not self._is_ending:
                for key, _ in selector.select(self._patience_s()):
                    if key.fileobj is self._listener:
                        self._welcome(selector)
                    elif key.fd == self._awake_fd:
                        os.read(self._awake_fd, 4096)
                    elif key.fd in self._callers:
                        self._read(selector, self._callers[key.fd])
                if self._patience_s() == 0.0:
                    _log.warning("control_stayed_away", linger_s=self._linger_s)
                    break

    def close(self) -> None:
        """End every child, then every connection; control is told the exits."""
        self._holder.close(self._grace_s)
        for connection in list(self._callers.values()):
            connection.close()
        self._callers.clear()
        os.close(self._awake_fd)
        os.close(self.wake_fd)

    def _patience_s(self) -> float | None:
        if self._control is not None or self._linger_s is None:
            return None
        return max(0.0, self._alone_since_s + self._linger_s - time.monotonic())

    def _welcome(self, selector: selectors.BaseSelector) -> None:
        try:
            end, _ = self._listener.accept()
        except OSError as error:  # gone again, or no descriptor free
            _log.warning("caller_not_accepted", error=str(error))
            return
        if peer_uid(end) not in (os.geteuid(), 0):
            _log.warning("caller_refused", uid=peer_uid(end))
            end.close()
            return
        strangers = [each for each in self._callers.values() if each is not self._control]
        if len(strangers) >= MAX_CALLERS:
            self._part(selector, strangers[0])
        try:
            connection = Connection(end)
        except (OSError, RuntimeError) as error:  # no thread is to be had: what is held is worth more than a caller
            _log.error("caller_not_accepted", error=str(error))
            end.close()
            return
        self._callers[connection.fileno()] = connection
        selector.register(connection, selectors.EVENT_READ)

    def _read(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        try:
            message = connection.receive()
            if message is None:
                self._part(selector, connection)
                return
            try:
                self._answer(selector, connection, message)
            finally:
                for fd in message.fds:
                    os.close(fd)
        except TimeoutError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.error("caller_not_understood", error=str(error))
            self._part(selector, connection)

    def _part(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        """Close a connection; what it was not told is for the next one."""
        selector.unregister(connection)
        del self._callers[connection.fileno()]
        with self._lock:
            if self._control is connection:
                self._control, self._alone_since_s = None, time.monotonic()
        for letter in connection.close():
            if letter.kind == "exit":
                values = letter.values
                self._exits.append(HeldExit(values["name"], values["pid"], values["status"], values["tail"]))

    def _answer(self, selector: selectors.BaseSelector, connection: Connection, message: Message) -> None:
        if message.kind == "hello":
            self._take_over(selector, connection, message)
            return
        if connection is not self._control:
            raise ValueError(f"{message.kind} before hello")
        operation = _OPERATIONS.get(message.kind)
        if operation is None:
            raise ValueError(f"unknown message {message.kind!r}")
        operation(self, connection, message)

    def _take_over(self, selector: selectors.BaseSelector, connection: Connection, message: Message) -> None:
        if message.values["protocol"] != PROTOCOL:
            connection.answer(message, protocol=PROTOCOL, pid=os.getpid(), error="another protocol")
            return
        former = self._control
        if former is not None and former is not connection:
            former.tell("superseded")
            self._part(selector, former)
        with self._lock:
            self._control = connection
            connection.answer(message, protocol=PROTOCOL, pid=os.getpid(), lingers=self._linger_s is not None)
        _log.info("control_connected", took_over=former is not None)

    def _spawn(self, connection: Connection, message: Message) -> None:
        spec = spec_of(message.values["child"], message.fds)
        told = _Told(self, connection, message)
        try:
            self._holder.spawn(spec, on_line=told.line, on_exit=told.ended, on_start=told.started)
        except SpawnError as error:
            connection.answer(message, error=str(error))

    def _adopt(self, connection: Connection, message: Message) -> None:
        with self._lock:
            child = next((each for each in reversed(self._children.values()) if each.name == message.values["name"]), None)
            if child is None:
                connection.answer(message, error="unknown")
                return
            spec = child.spec
            values: dict[str, Any] = {"pid": child.pid, "digest": spec.digest, "tail": child.stderr_tail, "told_only": list(spec.told_only)}
            connection.answer(message, **values)

    def _signal(self, _: Connection, message: Message) -> None:
        with self._lock:
            child = self._children.get(message.values["pid"])
        if child is not None:
            child.signal(int(message.values["number"]))

    def _keep(self, connection: Connection, message: Message) -> None:
        (fd,) = message.fds
        try:
            self._holder.keep_fd(str(message.values["name"]), fd)
        except OSError as error:
            connection.answer(message, error=f"no descriptor is free: {error.strerror}")
            return
        connection.answer(message)

    def _borrow(self, connection: Connection, message: Message) -> None:
        try:
            fd = self._holder.borrow(message.values["name"])
        except (KeyError, OSError):  # not there, or no descriptor is free for it
            connection.answer(message, error="unknown")
            return
        connection.answer(message, (fd,))
        os.close(fd)

    def _release(self, connection: Connection, message: Message) -> None:
        self._holder.release(message.values["name"])
        connection.answer(message)

    def _list(self, connection: Connection, message: Message) -> None:
        held = self._holder.held()
        with self._lock:
            exits = list(self._exits)
            self._exits.clear()
        items: list[Any] = [*map(child_values, held.children), *map(exit_values, exits)]
        items += [{"is": "fd", "name": name} for name in held.fds]
        *first, last = pages(items)
        for page in first:
            connection.answer(message, items=page, more=True)
        connection.answer(message, items=last)

    def _end(self, connection: Connection, message: Message) -> None:
        self._grace_s = float(message.values["grace_s"])
        connection.answer(message)
        self.end_soon()

    # Called by _Told in the spawner's thread.

    def started(self, child: Child, connection: Connection, message: Message) -> None:
        """A child runs: the answer to whoever wanted it comes before all that it says."""
        with self._lock:
            self._children[child.pid] = child
            connection.answer(message, pid=child.pid)

    def said(self, child: Child, line: str) -> None:
        """A child wrote a line; dropped while nobody listens, as its tail is kept."""
        with self._lock:
            if self._control is not None:
                self._control.line(child.pid, line)

    def ended(self, child: Child, status: int) -> None:
        """A child ended; told now, or to the next control."""
        with self._lock:
            self._children.pop(child.pid, None)
            tail = child.stderr_tail
            if self._control is None or not self._control.tell("exit", pid=child.pid, name=child.name, status=status, tail=tail):
                self._exits.append(HeldExit(child.name, child.pid, status, tail))


_OPERATIONS: dict[str, Callable[[HoldServer, Connection, Message], None]] = {
    "spawn": HoldServer._spawn,
    "adopt": HoldServer._adopt,
    "signal": HoldServer._signal,
    "keep": HoldServer._keep,
    "borrow": HoldServer._borrow,
    "release": HoldServer._release,
    "held": HoldServer._list,
    "end": HoldServer._end,
}


class _Told:
    """What one child has told, in the spawner's thread."""

    def __init__(self, server: HoldServer, connection: Connection, message: Message) -> None:
        self._server, self._connection, self._message = server, connection, message
        self._child: Child | None = None

    def started(self, child: Child) -> None:
        self._child = child
        self._server.started(child, self._connection, self._message)

    def line(self, text: str) -> None:
        if self._child is not None:
            self._server.said(self._child, text)

    def ended(self, status: int) -> None:
        if self._child is not None:
            self._server.ended(self._child, status)


def serve(path: Path, *, linger_s: float | None = None, in_background: bool = False, on_ready: Callable[[], None] = lambda: None) -> None:
    """Hold until told to end; call it in the main thread. Raises ChannelError when another holder listens at that path.

    `in_background` leaves SIGINT and SIGHUP to the control that started it.
    """
    widen_descriptors()  # three per child and one per kept name
    with listening(path) as listener:
        server = HoldServer(listener, linger_s=linger_s)
        _take_signals(server, in_background)
        _log.info("holder_started", socket=str(path), linger_s=linger_s)
        try:
            on_ready()
            server.serve()
        finally:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, _pass_over)
            server.close()
            _log.info("holder_ended")


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """Take a signal and do nothing. Not SIG_IGN: that would be inherited by every child (execve(2))."""


def _take_signals(server: HoldServer, in_background: bool) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        server.end_soon()

    # Without it a signal that comes just before the wait begins would lie unseen until the next message.
    signal.set_wakeup_fd(server.wake_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, end)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _pass_over if in_background else end)


def main() -> int:
    """Entry of the process."""
    parser = argparse.ArgumentParser(description="Holds children and descriptors for a channeld that may come and go.")
    parser.add_argument("--socket", type=Path, required=True, help="where control connects")
    parser.add_argument("--linger", type=float, default=None, help="seconds without control after which everything ends; default: never")
    parser.add_argument("--background", action="store_true", help="leave SIGINT and SIGHUP to others")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="auto")
    arguments = parser.parse_args()
    log.configure(arguments.log_level, arguments.log_format)
    try:
        serve(arguments.socket, linger_s=arguments.linger, in_background=arguments.background)
    except ChannelError as error:
        sys.stderr.write(f"channeld hold: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
