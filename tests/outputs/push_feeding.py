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

    def __init__(self, stream: bytes, fd: int) -> None:
        super().__init__(name=f"test-feeding:{fd}", daemon=True)
        self._stream, self._fd = stream, fd
        self._ending = threading.Event()
        self.start()

    def run(self) -> None:
        started, position = time.monotonic(), 0
        with contextlib.suppress(BrokenPipeError):
            while not self._ending.wait(0.05):
                due_s = time.monotonic() - started + 2
                due = int(due_s / STREAM_S * len(self._stream)) // 188 * 188
                position = self._write(position, due)
        os.close(self._fd)

    def end(self) -> None:
        """Close the write end; returns when it is closed."""
        self._ending.set()
        self.join(20)

    def _write(self, position: int, due: int) -> int:
        while position < due and not self._ending.is_set():
            if select.select([], [self._fd], [], 0.1)[1]:
                with contextlib.suppress(BlockingIOError):
                    position += os.write(self._fd, self._stream[position : min(due, position + 4096)])
        return position


class Feeder:
    """What a playout host does with the write ends it is given."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._feeding: Feeding | None = None
        self.told: list[bool] = []

    def take(self, fd: int | None) -> None:
        """`on_writer`: feed the new write end, or stop feeding."""
        self.told.append(fd is not None)
        if self._feeding is not None:
            self._feeding.end()
        self._feeding = None if fd is None else Feeding(self._stream, fd)
