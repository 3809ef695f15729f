"""The holder's end of one connection: reads questions, sends answers and events from a thread of its own.

Rule: never waits for the peer, and does not part from a slow one either: a control that was frozen goes on where it was.
Lines are batched while earlier ones wait, and dropped beyond MAX_LINES, as each child's tail keeps the newest; answers and
exits are as few as questions and children. Made and closed by the holder's main thread.
"""

import contextlib
import socket
import threading
from typing import Any

from channeld.base.wire import Message, Wire
from channeld.process.hold_messages import pages
from channeld.process.outbox import Letter, Outbox

MAX_LINES = 20_000
"""Lines that wait for a peer: with 1 KiB each, what a holder may grow by."""


class _Pen(Outbox):
    """An outbox that takes the lines of children just when it can send them."""

    def __init__(self, name: str, connection: "Connection", wire: Wire) -> None:
        super().__init__(name, wire, max_waiting=1 << 30)
        self._connection = connection

    def _deliver(self, letter: Letter) -> None:
        if letter.kind != "lines":
            super()._deliver(letter)
            return
        for pid, lines in self._connection.take_lines().items():
            for page in pages(lines):
                super()._deliver(Letter("lines", (), {"pid": pid, "lines": page}))


class Connection:
    """One peer."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(None)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._socket = end
        self._wire = Wire(end)
        self._lock = threading.Lock()  # guards the lines; the spawner appends, the outbox takes
        self._lines: dict[int, list[str]] = {}
        self._line_count = 0
        self._outbox = _Pen(f"control:{end.fileno()}", self, self._wire)
        self._outbox.start()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Message | None:
        """The message that has come, None at the end. Raises TimeoutError, ValueError or OSError."""
        return self._wire.receive(0)

    def answer(self, question: Message, fds: tuple[int, ...] = (), **values: Any) -> None:
        """Answer a question soon."""
        self._outbox.put("answer", fds, {"id": question.values["id"], **values})

    def tell(self, kind: str, **values: Any) -> bool:
        """Tell an event soon; False when the peer is gone."""
        return self._outbox.put(kind, (), values)

    def line(self, pid: int, text: str) -> None:
        """Tell a line soon, together with others."""
        with self._lock:
            if self._line_count >= MAX_LINES:
                return
            is_first = not self._lines
            self._lines.setdefault(pid, []).append(text)
            self._line_count += 1
        if is_first:
            self._outbox.put("lines")

    def take_lines(self) -> dict[int, list[str]]:
        """Outbox's thread: all lines that wait, by pid."""
        with self._lock:
            lines, self._lines, self._line_count = self._lines, {}, 0
        return lines

    def close(self) -> list[Letter]:
        """Close it; returns what the peer was not told."""
        try:
            self._outbox.close(0.2)
        except RuntimeError:  # it waits for a peer that does not read
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._outbox.close()
        self._wire.close()
        return self._outbox.left
