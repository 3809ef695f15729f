"""The thread that feeds a push in real time, as a playout host does.

Rule: shares no code with the daemon; owns and closes every write end it is given.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable

STREAM_S = 60
Until = Callable[[Callable[[], object]], None]


class Feeding(threading.Thread):
    """Writes the stream into one write end in real time, begun with a burst of 2 s; it owns and closes that end."""

    def __init__(self, stream: bytes, fd: int, position: int = 0) -> None:
        super().__init__(name=f"test-feeding:{fd}", daemon=True)
        self._stream, self._fd, self._position = stream, fd, position
        self._ending = threading.Event()
        self.start()

    def run(self) -> None:
        started, first = time.monotonic(), self._position
        with contextlib.suppress(BrokenPipeError):
            while not self._ending.wait(0.05):
                due_s = time.monotonic() - started + 2
                self._write_until(first + int(due_s / STREAM_S * len(self._stream)) // 188 * 188)
        os.close(self._fd)

    def end(self) -> int:
        """Close the write end; returns how far it had written, when that is closed."""
        self._ending.set()
        self.join(20)
        return self._position

    def _write_until(self, due: int) -> None:
        while self._position < due and not self._ending.is_set():
            if select.select([], [self._fd], [], 0.1)[1]:
                with contextlib.suppress(BlockingIOError):
                    self._position += os.write(self._fd, self._stream[self._position : min(due, self._position + 4096)])


class Feeder:
    """What a playout host does with the write ends it is given."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._feeding: Feeding | None = None
        self._position = 0
        self.told: list[bool] = []
        self.continued: list[bool] = []

    def take(self, fd: int | None, continues: bool) -> None:
        """`on_writer`: feed the new write end, from the start or from where the former feeding ended; or stop feeding."""
        self.told.append(fd is not None)
        self.continued.append(continues)
        position = self._feeding.end() if self._feeding is not None else self._position
        self._position = position if continues or fd is None else 0
        self._feeding = None if fd is None else Feeding(self._stream, fd, self._position)

    def pause(self) -> None:
        """End feeding, as a host does that dies: the write end is closed, and nobody is told."""
        if self._feeding is not None:
            self._position, self._feeding = self._feeding.end(), None
