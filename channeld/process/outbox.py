"""What waits to be sent down a wire, and the thread that sends it.

Rule: whoever leaves a message never waits for a peer that does not read, and messages keep their order. Descriptors are
duplicated when left and owned here until they are sent. Made and closed by whoever owns the wire.
"""

import contextlib
import os
import queue
import select
from dataclasses import dataclass
from typing import Any

from channeld.base.wire import Wire
from channeld.base.worker import Worker
from channeld.telemetry import log

MAX_WAITING = 10_000
"""Messages that wait for a peer before it counts as gone."""

_log = log.get("wire")


@dataclass(frozen=True, slots=True)
class Letter:
    """One message that waits; the descriptors are ours."""

    kind: str
    fds: tuple[int, ...]
    values: dict[str, Any]


class Outbox(Worker):
    """Sends what is left here; once the wire is broken, nothing more (whoever reads from it sees the same and tells it)."""

    def __init__(self, name: str, wire: Wire, *, max_waiting: int = MAX_WAITING) -> None:
        super().__init__(f"outbox:{name}")
        self._wire, self._max_waiting = wire, max_waiting
        self._letters: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
        self._is_broken = False
        self._left: list[Letter] = []

    def put(self, kind: str, fds: tuple[int, ...] = (), values: dict[str, Any] | None = None) -> bool:
        """Leave a message; False when the peer is gone or has long stopped reading, or no descriptor is free. Any thread; never waits."""
        if self._is_broken or self.stopping.is_set() or self._letters.qsize() >= self._max_waiting:
            return False
        copies: list[int] = []
        try:
            for fd in fds:
                copies.append(os.dup(fd))
        except OSError as error:
            for copy in copies:
                os.close(copy)
            _log.error("message_not_sent", kind=kind, error=error.strerror)
            return False
        self._letters.put(Letter(kind, tuple(copies), values or {}))
        return True

    @property
    def is_behind(self) -> bool:
        """Something waits: the peer does not read, and what is only the newest of its kind need not wait, too."""
        return not self._letters.empty()

    def wake(self) -> None:
        self._letters.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            letter = self._letters.get()
            if letter is not None:
                self._deliver(letter)
        with contextlib.suppress(queue.Empty):
            while True:
                letter = self._letters.get_nowait()
                if letter is not None:
                    self._part_with(letter)

    @property
    def left(self) -> list[Letter]:
        """What could not be sent, without descriptors; whole once the thread is closed."""
        return self._left

    def _part_with(self, letter: Letter) -> None:
        """Send at the end what the peer takes without waiting."""
        poller = select.poll()
        with contextlib.suppress(OSError, ValueError):
            poller.register(self._wire, select.POLLOUT)
            if poller.poll(0) == [(self._wire.fileno(), select.POLLOUT)]:
                self._deliver(letter)
                return
        self._set_aside(letter)

    def _set_aside(self, letter: Letter) -> None:
        for fd in letter.fds:
            os.close(fd)
        self._left.append(Letter(letter.kind, (), letter.values))

    def _deliver(self, letter: Letter) -> None:
        if self._is_broken:
            self._set_aside(letter)
            return
        try:
            self._wire.send(letter.kind, letter.fds, **letter.values)
        except OSError:
            self._is_broken = True
            self._set_aside(letter)
        except ValueError as error:
            _log.error("message_not_sent", kind=letter.kind, error=str(error))
            self._set_aside(letter)
        else:
            for fd in letter.fds:
                os.close(fd)
