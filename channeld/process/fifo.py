"""The named pipe between a feeder and its egress FFmpeg.

Rule: FIFOs live in a folder that only we can enter (0700, ours), and nothing but a FIFO in such a folder is ever
replaced or removed. Opened for writing only, never read-write: that would hide EPIPE.
Made and removed by the output that owns it.
"""

import errno
import fcntl
import os
import stat
import sys
import termios
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from channeld.base.errors import ProcessError

WANT_BYTES = 256 * 1024
_RETRY_S = 0.01


@contextmanager
def _private_folder(folder: Path) -> Iterator[int]:
    """A descriptor of a folder that is ours alone; made (0700) if it is missing. Raises ProcessError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ProcessError(f"{folder} is not a folder of ours: {error.strerror}") from error
    try:
        facts = os.fstat(fd)
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise ProcessError(f"{folder} must belong to this user alone (mode 0700)")
        yield fd
    finally:
        os.close(fd)


def _remove_fifo(name: str, folder_fd: int) -> bool:
    """Unlink a FIFO; False if there is nothing. Raises ProcessError for anything that is not a FIFO."""
    try:
        facts = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISFIFO(facts.st_mode):
        raise ProcessError(f"{name} exists and is not a FIFO: left alone")
    os.unlink(name, dir_fd=folder_fd)
    return True


def clean_stale(folder: Path, keep: Collection[str] = ()) -> int:
    """Remove FIFOs that a killed daemon left in our folder, but for those names; returns how many. Other files stay."""
    if not folder.is_dir():
        return 0
    removed = 0
    with _private_folder(folder) as folder_fd:
        for name in os.listdir(folder_fd):  # noqa: PTH208 (by descriptor: the folder that was judged)
            if name not in keep and stat.S_ISFIFO(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
                removed += _remove_fifo(name, folder_fd)
    return removed


class Fifo:
    """One FIFO on disk, of mode 0600."""

    def __init__(self, path: Path, identity: tuple[int, int], want_bytes: int) -> None:
        self.path = path
        self._identity = identity
        self._want_bytes = want_bytes

    @classmethod
    def create(cls, path: Path, want_bytes: int = WANT_BYTES) -> "Fifo":
        """Make a new FIFO, in place of a stale one: a new inode, so that nothing a former writer left can come out.

        `path` is absolute. Raises ProcessError when the folder is not ours alone or another kind of file is there.
        """
        with _private_folder(path.parent) as folder_fd:
            _remove_fifo(path.name, folder_fd)
            os.mkfifo(path.name, 0o600, dir_fd=folder_fd)
            facts = os.stat(path.name, dir_fd=folder_fd, follow_symlinks=False)
        return cls(path, (facts.st_dev, facts.st_ino), want_bytes)

    @classmethod
    def existing(cls, path: Path, want_bytes: int = WANT_BYTES) -> "Fifo":
        """A FIFO that an earlier life made. Raises ProcessError when there is none, or the folder is not ours alone."""
        with _private_folder(path.parent) as folder_fd:
            try:
                facts = os.stat(path.name, dir_fd=folder_fd, follow_symlinks=False)
            except FileNotFoundError:
                raise ProcessError(f"{path.name} is gone") from None
            if not stat.S_ISFIFO(facts.st_mode):
                raise ProcessError(f"{path.name} is not a FIFO")
        return cls(path, (facts.st_dev, facts.st_ino), want_bytes)

    def open_writer(self, deadline_s: float, should_stop: Callable[[], bool]) -> int | None:
        """Open the write end (non-blocking) once a reader has opened its own; None when told to stop.

        Waits at most `deadline_s` seconds, then raises ProcessError. The caller owns the descriptor.
        """
        # Non-blocking until a deadline: a blocking open would hang for ever on a child that died before
        # opening its end; without a reader the kernel answers ENXIO (fifo(7)).
        ends = time.monotonic() + deadline_s
        while not should_stop():
            try:
                fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise ProcessError(f"{self.path.name} could not be opened: {error.strerror}") from error
            else:
                widen(fd, self._want_bytes)
                return fd
            if time.monotonic() >= ends:
                raise ProcessError(f"nobody opened {self.path.name} for reading within {deadline_s:g} s")
            time.sleep(_RETRY_S)
        return None

    def remove(self) -> None:
        """Unlink this FIFO, unless another has taken its name; idempotent."""
        try:
            facts = self.path.lstat()
        except FileNotFoundError:
            return
        if (facts.st_dev, facts.st_ino) == self._identity:
            self.path.unlink(missing_ok=True)


def widen(fd: int, want_bytes: int) -> None:
    """Ask for a larger pipe and take less where it is refused: an ordinary user's 65th widened pipe gets EPERM (pipe(7))."""
    while want_bytes > fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ):
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, want_bytes)
        except PermissionError:
            want_bytes //= 2
        else:
            return


def waiting_bytes(fd: int) -> int:
    """Bytes in a pipe that nobody has read yet; either end will do (pipe(7), FIONREAD)."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def pipe_bytes(fd: int) -> int:
    """Size of a pipe's buffer in bytes."""
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
