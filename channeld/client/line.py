"""A reader's end of the attach socket.

Rule: nothing here waits: who wants to, polls `fileno`. Descriptors that come are the receiver's. Not thread-safe.
"""

import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from channeld.base.unix_socket import address_of
from channeld.bus.protocol import FOLDER, MAX_MESSAGE_BYTES, SOCKET_SUFFIX, Kind, Told, pack_request, unpack_told
from channeld.client.errors import Closed, Refused, UnknownChannel

"""Bytes of a path that fit into a socket's address with certainty (unix(7): 108 with its end)."""

_FD = struct.Struct("i")
_BESIDE_BYTES = socket.CMSG_SPACE(_FD.size)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message; with RING comes the ring's descriptor, which the receiver closes."""

    told: Told
    fd: int | None


class LineLost(Exception):
    """The other end is gone."""


class Line:
    """One connection, asked for the ring already. Raises UnknownChannel, Closed, Refused, or BlockingIOError: try again soon."""

    def __init__(self, runtime_dir: Path, channel: str) -> None:
        if not channel or "/" in channel or channel.startswith("."):
            raise UnknownChannel(f"{channel!r} is no name of a channel")
        path = runtime_dir / FOLDER / f"{channel}{SOCKET_SUFFIX}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            with address_of(path) as address:
                self._socket.connect(address)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused already: the reason is there to be read
                self._socket.send(pack_request())
        except BaseException as error:
            self._socket.close()
            _raise_plainly(error, path, channel)
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Heard | None:
        """The next message, or None where none is there. Raises LineLost, also at what is no message."""
        try:
            datagram, beside, flags, _ = self._socket.recvmsg(MAX_MESSAGE_BYTES, _BESIDE_BYTES, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError as error:
            raise LineLost from error
        fds = _descriptors(beside) if beside else ()
        if not datagram:
            raise LineLost
        try:
            told = unpack_told(datagram)
            if flags & socket.MSG_TRUNC or len(fds) != (told.kind is Kind.RING):
                raise ValueError("a ring without its descriptor, or a descriptor without a ring")
        except ValueError as error:
            for fd in fds:
                os.close(fd)
            raise LineLost from error
        return Heard(told, fds[0] if fds else None)

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()


def _descriptors(beside: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    rights = [data for level, kind, data in beside if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)]
    return tuple(fd for data in rights for (fd,) in _FD.iter_unpack(data[: len(data) // _FD.size * _FD.size]))


def _raise_plainly(error: BaseException, path: Path, channel: str) -> None:
    if isinstance(error, FileNotFoundError):
        if path.parent.is_dir():
            raise UnknownChannel(f"no channel {channel} at {path.parent}") from None
        raise Closed(f"no daemon with local readers enabled at {path.parent}: is it running, and attach.enabled set?") from None
    if isinstance(error, PermissionError):
        raise Refused(f"{path}: not permitted. Be of the group that attach.group names") from None
    if isinstance(error, ConnectionRefusedError | ConnectionResetError | BrokenPipeError):
        raise Closed(f"nobody listens at {path}") from None
