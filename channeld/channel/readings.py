"""Which reading of a playlist file is the newest, where files are read on one thread and written by others."""

import itertools
import threading


class Readings:
    """Which reading of a playlist file is the newest. `take` before a file is read or after it is written; any thread."""

    def __init__(self) -> None:
        self.writing = threading.Lock()  # one writer of the playlist file at a time; held over the write by API threads only
        self._count = itertools.count(1)
        self._newest = 0

    def take(self) -> int:
        """A number that is greater than all before."""
        return next(self._count)

    def accept(self, reading: int | None) -> bool:
        """Whether what was read under a number (None: just now) is not older than what was accepted. Control loop's thread."""
        number = self.take() if reading is None else reading
        if number < self._newest:
            return False
        self._newest = number
        return True
