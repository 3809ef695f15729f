"""The folders and links that a path leads through, and what stands at its end.

Rule: only looks, never reads. Whatever can change what a path means is a name in one of the folders of its trail.
"""

import fcntl
import os
import signal
import stat
from dataclasses import dataclass
from pathlib import Path

# As in path_resolution(7): the kernel gives up with ELOOP after 40 links.
_MAX_LINKS = 40

Identity = tuple[int, int]
"""Device and inode."""

Stamp = tuple[Identity, int, int]
"""Identity, size in bytes and modification time in nanoseconds of what a path leads to."""


@dataclass(frozen=True, slots=True)
class Trail:
    """One look at a path. `steps` are (real folder, name looked up in it); `end` is None when the path leads nowhere."""

    steps: frozenset[tuple[str, str]]
    folders: frozenset[str]
    real: str | None
    end: Stamp | None
    is_directory: bool


def follow(path: Path) -> Trail:
    """Resolve a path one name at a time, as far as it goes. Errors of the file system end the trail, nothing raises."""
    steps: set[tuple[str, str]] = set()
    names = os.path.abspath(path).split("/")[:0:-1]  # noqa: PTH100 - links must stay; reversed: a stack
    at, links = "/", 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)  # noqa: PTH120 - a string, since `at` is real already
            continue
        steps.add((at, name))
        step = os.path.join(at, name)  # noqa: PTH118
        found = _lstat(step)
        if found is None:
            return _trail(steps, at, None)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            target = _readlink(step)
            if target is None or links > _MAX_LINKS:
                return _trail(steps, at, None)
            at = "/" if target.startswith("/") else at
            names.extend(reversed(target.split("/")))
            continue
        at = step
    return _trail(steps, at, _lstat(at))


def _trail(steps: set[tuple[str, str]], at: str, found: os.stat_result | None) -> Trail:
    is_directory = found is not None and stat.S_ISDIR(found.st_mode)
    end = None if found is None else ((found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)
    folders = {folder for folder, _ in steps}
    if is_directory:
        folders.add(at)
    return Trail(frozenset(steps), frozenset(folders), at if found is not None else None, end, is_directory)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _readlink(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return None


def is_being_written(path: str) -> bool | None:
    """Some process has the file open for writing; None when the kernel will not tell (not our file, a network file system)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None
    try:
        # A read lease is granted only while nobody has the file open for writing: EAGAIN then (fcntl(2), "Leases"). A writer
        # that comes in these microseconds waits for the unlock below and makes the kernel signal us: SIGURG, ignored by default,
        # where the default SIGIO would end the process.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)
    return False
