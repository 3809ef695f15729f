"""One daemon per folder: nobody else may use what a running daemon writes, whichever configuration named it.

Rule: the kernel drops a lock with the process that holds it, so no lock is ever stale; a file that is left means nothing.
Taken first at start, by the main thread.
"""

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from channeld.base.errors import ChannelError
from channeld.config_values import Config

LOCK_NAME = "daemon.lock"

log = structlog.get_logger()


@contextlib.contextmanager
def only_one(config: Config) -> Iterator[None]:
    """Refuse to share a folder with another daemon, or to prepare beside `channeld prepare`. Raises ChannelError naming it."""
    folders = config.folders
    named = (("hls_dir", folders.hls), ("runtime_dir", folders.runtime), ("state_dir", folders.state))
    wanted = {(folder / LOCK_NAME).resolve(): key for key, folder in named}  # each once: folders may be the same
    with contextlib.ExitStack() as locks:
        for path, key in wanted.items():
            if key == "hls_dir" and _takes_nothing(path.parent):
                log.warning("folder_not_locked", folder=str(path.parent))  # a full disk under HLS keeps no channel off the air
                continue
            locks.enter_context(_lock(path, "a channeld daemon", f"Stop it, or give this one another {key}", config))
            locks.callback(path.unlink, missing_ok=True)
        path = folders.state / "cache" / "writer.lock"
        locks.enter_context(_lock(path, "channeld prepare", "Wait for it, or give this daemon another state_dir", config))
        yield


@contextlib.contextmanager
def _lock(path: Path, other: str, advice: str, config: Config) -> Iterator[None]:
    with _opened(path) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ChannelError(f"{other} ({_holder_of(fd)}) already uses {path.parent}. {advice}") from None
        if not _has_name(fd, path):
            raise ChannelError(f"{other} that ends just now uses {path.parent}. Start again")
        # Only for people: what counts is the lock, so a full disk is no reason not to go on air.
        with contextlib.suppress(OSError):
            path.write_text(f"{os.getpid()} {config.path}\n")
        yield


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        # Read-only: a file that stays open for writing would keep people from mounting its file system read-only.
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        raise ChannelError(f"{path} cannot be written: {error.strerror}. The daemon's user must own its folder") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _takes_nothing(folder: Path) -> bool:
    """The file system is full or read-only."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return False


def _has_name(fd: int, path: Path) -> bool:
    """The file that is locked is still the one of this name: whoever had it before us may have removed it."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


def _holder_of(fd: int) -> str:
    pid, _, config = os.pread(fd, 4096, 0).decode("utf-8", "replace").strip().partition(" ")
    return f"pid {pid or 'unknown'}" + (f", {config}" if config else "")
