"""What the host tells control: a queue, and the one thread that sends it.

Rule: nobody who reports ever waits, however long control does not read. The newest MAX_REPORTS wait, and of those that
only say how things stand (`newest_only`) the last one. Descriptors are duplicated when they are put, and closed here.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from channeld.base.wire import Wire
from channeld.base.worker import Worker

MAX_REPORTS = 10_000
_LOOK_S = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Letter:
    """One report; owns its descriptors."""

    kind: str
    values: dict[str, Any]
    fds: tuple[int, ...] = ()

    def discard(self) -> None:
        """Give the descriptors back."""
        for fd in self.fds:
            os.close(fd)


class Reporter(Worker):
    """`on_sent(kind, values)` runs on this thread when a report was given to the kernel."""

    def __init__(self, wire: Wire, on_sent: Callable[[str, dict[str, Any]], None] = lambda kind, values: None) -> None:
        super().__init__("reporter")
        self._wire = wire
        self._on_sent = on_sent
        self._lock = threading.Lock()  # guards the queue; held for an append or a pop
        self._letters: deque[Letter] = deque()
        self._newest: dict[str, Letter] = {}
        self._waiting = threading.Event()
        self.turned_ns = time.monotonic_ns()
        self.dropped = 0

    def put(self, kind: str, values: dict[str, Any], fds: tuple[int, ...] = (), *, newest_only: bool = False) -> None:
        """Queue one report; any thread. Raises OSError when a descriptor cannot be duplicated."""
        letter = Letter(kind, values, tuple(os.dup(fd) for fd in fds))
        oldest = None
        with self._lock:
            if newest_only:
                self._newest[kind] = letter
            else:
                self._letters.append(letter)
                if len(self._letters) > MAX_REPORTS:
                    oldest = self._letters.popleft()
                    self.dropped += 1
        if oldest is not None:
            oldest.discard()
        self._waiting.set()

    def wake(self) -> None:
        self._waiting.set()

    def _take(self) -> Letter | None:
        with self._lock:
            if self._letters:
                return self._letters.popleft()
            return self._newest.pop(next(iter(self._newest))) if self._newest else None

    def run(self) -> None:
        while not self.stopping.is_set():
            self._waiting.wait(_LOOK_S)
            self._waiting.clear()
            if not self._send_all():
                return
        self._send_all()  # what was put while it was told to stop

    def _send_all(self) -> bool:
        """Send what waits; False when nobody can hear any more."""
        while True:
            self.turned_ns = time.monotonic_ns()
            letter = self._take()
            if letter is None:
                return True
            try:
                self._wire.send(letter.kind, letter.fds, **letter.values)
                self._on_sent(letter.kind, letter.values)
            except OSError:
                return False  # the main thread reads the same and ends the host
            except ValueError as error:
                log.error("report_dropped", kind=letter.kind, error=str(error))
            finally:
                letter.discard()
