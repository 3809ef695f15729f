"""Where a holder is found: a SEQPACKET socket in the runtime folder, and a lock beside it.

Rule: the lock says whether a holder lives, so that no second one starts and the socket of a dead one is replaced; only our
own user and root may speak to it (mode 0600, and asked of the kernel at each connection).
"""

import contextlib
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from channeld.base.errors import ProcessError
from channeld.base.unix_socket import address_of

"""Bytes of a path that fit into a socket's address with certainty (unix(7): 108 with its end)."""


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket of mode 0600, removed at the end. Raises ProcessError when a living holder has it."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        _lock(path.with_name(path.name + ".lock"), path, stack)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise ProcessError(f"{path} exists and is not a socket: move it away")
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(listener)
        mask = os.umask(0o177)
        try:
            with address_of(path) as address:
                listener.bind(address)
        except OSError as error:
            raise ProcessError(f"{path} cannot be listened at: {error.strerror}") from error
        finally:
            os.umask(mask)
        stack.callback(path.unlink, missing_ok=True)
        listener.listen(8)
        yield listener


def _lock(lock_path: Path, path: Path, stack: contextlib.ExitStack) -> None:
    fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    stack.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        raise ProcessError(f"a holder (pid {pid or 'unknown'}) already listens at {path}; stop it first") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def connect(path: Path) -> socket.socket | None:
    """A connection to the holder that listens there, or None when none does. Raises ProcessError."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with address_of(path) as address:
            end.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        end.close()
        return None
    except OSError as error:
        end.close()
        raise ProcessError(f"the holder at {path} cannot be reached: {error.strerror}") from error
    if peer_uid(end) not in (os.geteuid(), 0):
        uid = peer_uid(end)
        end.close()
        raise ProcessError(f"{path} belongs to another user ({uid}); it is not our holder")
    return end


def peer_uid(end: socket.socket) -> int:
    """User of the process at the other end."""
    _, uid, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)
