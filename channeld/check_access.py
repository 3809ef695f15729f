"""What another user may read and write, tried in a child that is that user.

Rule: nothing is left changed. The child has that user's groups and ids for good and ends when it has tried; what it tries it does,
as permissions, access lists and read-only mounts are all the kernel's to judge. Blocking; needs root for any user but our own.
"""

import contextlib
import errno
import json
import os
import pwd
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from channeld.base.errors import ChannelError, ConfigError

_PERMISSIONS = {"read": "r", "list": "rx", "write": "rwx"}


class NeedsRoot(ChannelError):
    """Only root may look with another user's eyes."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One access to try: `read` opens a file, `list` reads a folder, `write` puts a file into a folder or its nearest existing parent."""

    path: Path
    mode: str


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a wish was not granted: the system's words, what stands in the way, and which permission it lacks (as setfacl(1) names it)."""

    reason: str
    culprit: Path
    lacks: str


def find_user(name: str) -> pwd.struct_passwd:
    """A user of this machine. Raises ConfigError."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        advice = "Make it (systemd-sysusers, with channeld-sysusers.conf in /etc/sysusers.d), or name another: check --as-service USER"
        raise ConfigError(f"there is no user {name!r} on this machine. {advice}") from None


def require_root(user: pwd.struct_passwd) -> None:
    """Raises NeedsRoot when we may not become that user."""
    if os.geteuid() not in (0, user.pw_uid):
        raise NeedsRoot(f"only root can look as {user.pw_name} does. Run: sudo channeld check --as-service {user.pw_name}")


def try_as(user: pwd.struct_passwd, wishes: Sequence[Wish]) -> list[Denial | None]:
    """For each wish None, or why not. Raises ChannelError."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _answer(user, wishes, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        raw = answers.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise ChannelError(f"the look as {user.pw_name} failed: {raw.decode('utf-8', 'replace')[-400:] or f'status {status}'}")
    return [None if each is None else Denial(each[0], Path(os.fsdecode(bytes.fromhex(each[1]))), each[2]) for each in json.loads(raw)]


def _answer(user: pwd.struct_passwd, wishes: Sequence[Wish], fd: int) -> None:
    """The child's whole life; it never returns."""
    status = 1
    try:
        if os.geteuid() == 0:
            os.initgroups(user.pw_name, user.pw_gid)
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        found = [_try(wish) for wish in wishes]
        told = [None if each is None else (each.reason, os.fsencode(each.culprit).hex(), each.lacks) for each in found]
        _write_all(fd, json.dumps(told).encode())
        status = 0
    except Exception as error:  # noqa: BLE001  # told to the parent, which raises it
        _write_all(fd, str(error).encode("utf-8", "replace"))
    finally:
        # Not sys.exit: nothing of the parent's may be closed or flushed here a second time.
        os._exit(status)


def _write_all(fd: int, raw: bytes) -> None:
    while raw:
        raw = raw[os.write(fd, raw) :]


def _try(wish: Wish) -> Denial | None:
    path = wish.path
    try:
        if wish.mode == "read":
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        elif wish.mode == "list":
            with os.scandir(path) as names:
                next(names, None)
        else:
            path = _nearest_existing(path)
            tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        closed = next((folder for folder in _way(path) if not os.access(folder, os.X_OK)), None)
        reason = os.strerror(error.errno or errno.EIO)
        return Denial(reason, path, _PERMISSIONS[wish.mode]) if closed is None else Denial(reason, closed, "x")
    return None


def _nearest_existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not _exists(path) and path != path.parent:
        path = path.parent
    return path


def _exists(path: Path) -> bool:
    with contextlib.suppress(PermissionError):
        return path.exists()
    return True  # below a folder that may not be entered: the access itself tells


def _way(path: Path) -> Iterator[Path]:
    """The folders above a path from the root on, links followed as far as they can be."""
    with contextlib.suppress(OSError):
        path = Path(os.path.realpath(path))
    yield from (folder for folder in reversed(path.parents) if folder.exists())
