"""The way through a named pipe: the first of the channel's pipes that nobody else reads.

Rule: a pipe is locked (flock(2)) before a byte of it is read, as two readers of one pipe would tear the stream between them. Opened
without waiting for its writer; a writer that goes has some seconds to come back, also with another pipe of the same name.
"""

import contextlib
import errno
import fcntl
import os
import select
import stat
import time
from collections.abc import Container, Iterator
from itertools import count
from pathlib import Path

from channeld.telemetry import log
from channeld.viewer.way import Packets, WayLost, Why

FOLDER = "pipes"
RETURN_S = 5.0
"""How long a pipe may be without its writer before the stream counts as ended."""
TAKEN_S = 0.5
"""How long all pipes may be taken: the daemon gives every reader one of its own, and puts another in its place a moment later."""
SERVED_S = 1.0
"""How long a pipe may have nothing for a new reader before the next one is tried."""
_READ_BYTES = 1 << 20
_AGAIN_S = 0.05

_log = log.get("play.transport")


def pipe_paths(runtime_dir: Path, channel: str) -> Iterator[Path]:
    """The channel's pipes in their order, however many: `<channel>.ts`, `<channel>-2.ts` and so on."""
    yield runtime_dir / FOLDER / f"{channel}.ts"
    for number in count(2):
        yield runtime_dir / FOLDER / f"{channel}-{number}.ts"


class NamedPipe:
    """Owns one read end, locked."""

    def __init__(self, channel: str, runtime_dir: Path) -> None:
        """Raises WayLost when there is no pipe, or none that is free."""
        self._runtime_dir, self._channel = runtime_dir, channel
        self._packets, self._has_begun, self._ends_at = Packets(), False, 0.0
        self._tried: set[Path] = set()
        self._moves_on_at = time.monotonic() + SERVED_S
        self._fd, self.path = self._open()

    def receive(self, wait_s: float) -> bytes | None:
        """As `Way`."""
        if not self._has_begun and time.monotonic() >= self._moves_on_at:
            self._try_another()
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        if not poller.poll(wait_s * 1000):
            return None
        try:
            piece = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return None
        if piece:
            self._has_begun, self._ends_at = True, 0.0
            return self._packets.whole(piece)
        if self._has_begun:
            self._miss_writer()
        time.sleep(min(_AGAIN_S, wait_s))  # without a writer the poll does not wait (poll(2), POLLHUP)
        return None

    def facts(self) -> dict[str, object]:
        """As `Way`."""
        return {"path": str(self.path), "has_writer": not self._ends_at}

    def close(self) -> None:
        """As `Way`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> tuple[int, Path]:
        """The first that is free; one that was opened just now is replaced by another soon. Raises WayLost."""
        deadline = time.monotonic() + TAKEN_S
        while (found := self._find(set())) is None:
            if time.monotonic() >= deadline:
                raise WayLost("others read all pipes: raise the `count` of the channel's `named_pipe` output")
            time.sleep(_AGAIN_S)
        return found

    def _find(self, passed: Container[Path]) -> tuple[int, Path] | None:
        """The first that is free, and none of those. Raises WayLost when there is no pipe at all."""
        for number, path in enumerate(pipe_paths(self._runtime_dir, self._channel)):
            if path in passed:
                continue
            fd = _open_pipe(path, is_first=number == 0)
            if fd is None:
                break
            if _lock(fd):
                _log.debug("pipe_opened", path=str(path))
                return fd, path
            os.close(fd)
        return None

    def _try_another(self) -> None:
        """Nothing came, though others may be fed: whoever reads this path without a lock is served before us."""
        self._tried.add(self.path)
        self._moves_on_at = time.monotonic() + SERVED_S
        if (found := self._find(self._tried)) is None:
            self._tried.clear()
            return
        os.close(self._fd)
        self._fd, self.path = found

    def _miss_writer(self) -> None:
        """The writer is gone: look whether it comes back here, or serves another pipe that is in this one's place by now."""
        now = time.monotonic()
        if not self._ends_at:
            _log.debug("writer_missed", path=str(self.path))
            self._ends_at = now + RETURN_S
        if now >= self._ends_at:
            raise WayLost(f"nobody writes into {self.path} any more", Why.ABSENT)
        with contextlib.suppress(OSError, WayLost):
            if self.path.stat().st_ino != os.fstat(self._fd).st_ino:
                fd, self.path = self._open()
                os.close(self._fd)
                self._fd, self._packets = fd, Packets()


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_pipe(path: Path, *, is_first: bool) -> int | None:
    """A read end, or None when there is no such pipe and others were there. Raises WayLost."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            if is_first:
                raise WayLost(f"there is no {path}: give the channel the output `- named_pipe: {{}}`", Why.ABSENT) from None
            return None
        why = Why.FORBIDDEN if error.errno in (errno.EACCES, errno.EPERM) else Why.FAILED
        reason = "not permitted" if why is Why.FORBIDDEN else error.strerror
        raise WayLost(f"{path}: {reason}", why) from None
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise WayLost(f"{path} is not a named pipe")
    return fd
