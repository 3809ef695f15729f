"""Logs in a file that others rotate: when it is moved away, the next line begins a new one.

Rule: logging never fails whoever logs: what cannot be written to the file goes to stderr. Safe from any thread.
"""

import contextlib
import logging
import os
import sys
import threading
from pathlib import Path


class LogFile(logging.Handler):
    """The file at a path; looked at before each line, and opened again when another stands there, or none."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when it cannot be opened."""
        super().__init__()
        self._path = path
        self._guard = threading.Lock()  # guards _fd; held over the write of one line, as every log handler's is
        self._fd: int | None = self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.write_line(self.format(record))

    def write_line(self, line: str) -> None:
        """Write a line that is formatted already."""
        text = (line + "\n").encode("utf-8", "backslashreplace")
        try:
            with self._guard:
                self._follow()
                if self._fd is None:
                    self._fd = self._open()
                if os.write(self._fd, text) == len(text):
                    return
        except OSError:  # a full disk, a folder that was taken away
            pass
        with contextlib.suppress(OSError, ValueError, AttributeError):  # there is nowhere left to say it
            sys.stderr.write(line + "\n")

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._guard:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
        super().close()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _follow(self) -> None:
        """Let go of a file that has this name no more."""
        if self._fd is None:
            return
        ours = os.fstat(self._fd)
        try:
            named = os.stat(self._path)  # noqa: PTH116  # once a line, no Path overhead
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
            os.close(self._fd)
            self._fd = None
