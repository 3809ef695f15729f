"""The sockets that a proxy listens at.

Rule: a Unix socket is for our own user and root (mode 0600), or for a group as well (0660), from its first moment on; one that a killed
proxy left behind is replaced, one that somebody listens at is not; it is removed at the end.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from channeld.base.errors import ChannelError
from channeld.base.unix_socket import address_of
from channeld.far.address import Address, UnixAddress

BACKLOG = 64


@contextlib.contextmanager
def listening(address: Address, gid: int | None = None) -> Iterator[list[socket.socket]]:
    """Sockets that do not block, one for each address of a name. Raises ChannelError."""
    with contextlib.ExitStack() as stack:
        try:
            if isinstance(address, UnixAddress):
                found = [stack.enter_context(_at_path(address.path, gid))]
            else:
                infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
                found = [stack.enter_context(_at(family, where)) for family, where in {info[0]: info[4] for info in infos}.items()]
        except OSError as error:
            raise ChannelError(f"{address} cannot be listened at: {error.strerror}") from error
        yield found


def _at(family: int, where: object) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(where)  # type: ignore[arg-type]
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _at_path(path: Path, gid: int | None) -> Iterator[socket.socket]:
    _clear(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        mask = os.umask(0o177)
        try:
            with address_of(path) as name:
                listener.bind(name)
        finally:
            os.umask(mask)
        ours = path.stat().st_ino
        try:
            if gid is not None:
                os.chown(path, -1, gid)
                path.chmod(0o660)
            listener.listen(BACKLOG)
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == ours:
                    path.unlink()


def _clear(path: Path) -> None:
    """Remove what a killed proxy left there. Raises ChannelError."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ChannelError(f"{path} is there and is no socket: move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as end, address_of(path) as name:
        try:
            end.connect(name)
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # somebody is there, and busy
    raise ChannelError(f"somebody listens at {path} already")
