"""A media file opened once, by us, where it was judged to lie: what FFmpeg reads is that very file, whatever its path becomes.

Rule: a path that leads elsewhere by the time it is opened, by a link put in its place or in that of a folder above it, is not opened.
Whoever opens closes, by leaving the `with`.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def open_judged(path: Path) -> int:
    """A descriptor of the file that really has this path, links resolved. Raises OSError, ESTALE for one that leads elsewhere."""
    *folders, name = os.path.abspath(path).split("/")[1:]  # noqa: PTH100 - resolving would follow the very links
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Step by step, as nothing that a link leads to may be opened, not even to be closed again.
        for folder in folders:
            below = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        # O_NONBLOCK: opening a FIFO would wait for its writer; ffprobe refuses it afterwards.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(errno.ESTALE, "the path leads to another file by now", str(path)) from None
        raise
    finally:
        os.close(here)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The path by which FFmpeg opens the judged file, good for the time of the `with`. Raises OSError."""
    fd = open_judged(path)
    try:
        # Not /proc/self: it is our descriptor that FFmpeg opens again, as a description of its own.
        yield Path(f"/proc/{os.getpid()}/fd/{fd}")
    finally:
        os.close(fd)


def open_for_reading(path: Path) -> BinaryIO:
    """The judged file as Python reads it. Raises OSError."""
    return os.fdopen(open_judged(path), "rb")
