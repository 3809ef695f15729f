"""Playlist files as they are read and replaced on an editor's behalf.

Rule: a file is replaced whole or not at all, keeps its mode and owner, and only where it is still the one that was read.
"""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from channeld.api.control import Refused
from channeld.base.drafts import draft_prefix
from channeld.base.errors import PlaylistError
from channeld.playlist.parse import read_bounded
from channeld.playlist.trail import is_being_written

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Overtaken(Exception):
    """The file became another one while its successor was made; it was left as it is."""


def read_file(path: Path) -> bytes | None:
    """Its bytes; None where there is no file. Raises Refused."""
    try:
        return read_bounded(path)
    except FileNotFoundError:
        return None
    except PlaylistError as error:
        raise Refused(409, "Unreadable", f"{path.name}: {error.message}") from error
    except OSError as error:
        raise Refused(500, "Unreadable", f"{path.name}: {error.strerror}") from error


def replace_file(path: Path, content: bytes, *, seen: bytes | None) -> None:
    """Write the file whole: temporary name, fsync, rename; through a link to its target.

    `seen`: what stood there when the successor was made, None for no file. Raises Overtaken, Refused (507 on a full disk).
    """
    target = path.resolve()
    try:
        fd, temporary = tempfile.mkstemp(prefix=draft_prefix(target.name), dir=target.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                _keep_access(fd, target)
                os.fsync(fd)
            # Looked at last: what is left is the time between two system calls.
            if path.resolve() != target or read_file(target) != seen or is_being_written(str(target)):
                raise Overtaken
            Path(temporary).replace(target)
            _sync_folder(target.parent)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        status = 507 if error.errno in _FULL else 500
        raise Refused(status, "Not written", f"{path.name}: {error.strerror}; the playlist is as it was") from error


def _keep_access(fd: int, target: Path) -> None:
    try:
        found = target.stat()
    except FileNotFoundError:
        os.fchmod(fd, 0o644)
        return
    made = os.fstat(fd)
    if (made.st_uid, made.st_gid) != (found.st_uid, found.st_gid):
        try:
            os.fchown(fd, found.st_uid, found.st_gid)
        except PermissionError:
            # Who is not root may give a file to a group of its own, and to no other user.
            with contextlib.suppress(PermissionError):
                os.fchown(fd, -1, found.st_gid)
    os.fchmod(fd, found.st_mode & 0o777)


def _sync_folder(folder: Path) -> None:
    # A rename is on disk only when its directory is (fsync(2)).
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
