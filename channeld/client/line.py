"""A reader's end of the attach socket.

Rule: nothing waits but `receive` where it is told to. Descriptors that come are the receiver's. Not thread-safe.
"""

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from channeld.base.unix_socket import address_of
from channeld.bus.protocol import FOLDER, MAX_MESSAGE_BYTES, MESSAGE, SOCKET_SUFFIX, Kind, Told, pack_request, unpack_told
from channeld.client.errors import Closed, NotPermitted, UnknownChannel

_FD = struct.Struct("i")
_TIMEVAL = struct.Struct("ll")
# Plain numbers: an enum's `&` and `|` are calls of Python functions, and lie between a reader and its bytes.
_CLOEXEC, _AT_ONCE = int(socket.MSG_CMSG_CLOEXEC), int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
_BESIDE_BYTES = socket.CMSG_SPACE(_FD.size)
_HEAD, _HEAD_BYTES, _head_of = int(Kind.HEAD), MESSAGE.size, MESSAGE.unpack
_MOST_BYTES = MAX_MESSAGE_BYTES + 1
"""One more than a message may have, so that a longer one shows."""


_MOST_NAME_BYTES = 64
"""What a channel's id may have."""


class Heard(NamedTuple):
    """One message; with RING comes the ring's descriptor, which the receiver closes."""

    told: Told
    fd: int | None


class LineLost(Exception):
    """The other end is gone."""


class Line:
    """One connection, asked for the ring already. Raises UnknownChannel, Closed, Refused, or BlockingIOError: try again soon."""

    def __init__(self, runtime_dir: Path, channel: str) -> None:
        if (
            not 0 < len(channel.encode(errors="replace")) <= _MOST_NAME_BYTES
            or "/" in channel
            or "\0" in channel
            or channel.startswith(".")
        ):
            raise UnknownChannel(f"{channel!r} is no name of a channel")
        path = runtime_dir / FOLDER / f"{channel}{SOCKET_SUFFIX}"
        self._wait_s: float | None = None
        self._may_bring_ring = True
        """A descriptor may come with the next message: before the first ring, and from the end of one to the next."""
        self._kept: bytes | None = None
        """A message that `receive_head` took and that is none of its kind."""
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise Closed(f"no socket can be made: {error.strerror}") from error
        try:
            with address_of(path) as address:
                self._socket.connect(address)
            # From here on a call waits, unless it says MSG_DONTWAIT: one system call a message where Python's own timeouts are three.
            self._socket.setblocking(True)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused already: the reason is there to be read
                self._socket.send(pack_request(), socket.MSG_DONTWAIT)
        except BaseException as error:
            self._socket.close()
            _raise_plainly(error, path, channel)
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive_head(self, generation: int, wait_s: float | None) -> int:
        """The head that the next message tells of a ring; 0 where it tells something else, or may, which `receive` gives.

        Raises TimeoutError where nothing comes within `wait_s`. As `receive` else, and quicker: it calls nothing of ours (see
        RingReader.copy), and `recv` has less to do than `recvmsg`. It would throw a descriptor away, so it is called only while none
        can come.
        """
        if self._may_bring_ring or self._kept is not None:
            return 0
        if wait_s != self._wait_s:
            self._wait_at_most(wait_s)
        try:
            datagram = self._socket.recv(_MOST_BYTES)
        except BlockingIOError:
            raise TimeoutError from None
        except OSError as error:
            raise LineLost from error
        if len(datagram) == _HEAD_BYTES:
            kind, _, of, head = _head_of(datagram)
            if kind == _HEAD and of == generation:
                told: int = head
                return told
        self._kept = datagram
        return 0

    def receive(self, wait_s: float | None = 0.0) -> Heard | None:
        """The next message, or None where none came within `wait_s` (None: ever). Raises LineLost, also at what is no message."""
        if self._kept is not None:
            datagram, self._kept = self._kept, None
            return self._heard(datagram, ())
        how = _CLOEXEC
        if wait_s is not None and wait_s <= 0:
            how = _AT_ONCE
        elif wait_s != self._wait_s:
            self._wait_at_most(wait_s)
        try:
            datagram, beside, _, _ = self._socket.recvmsg(_MOST_BYTES, _BESIDE_BYTES, how)
        except BlockingIOError:
            return None
        except OSError as error:
            raise LineLost from error
        return self._heard(datagram, _descriptors(beside))

    def _heard(self, datagram: bytes, fds: tuple[int, ...]) -> Heard:
        try:
            told = unpack_told(datagram)
            if len(fds) != (told.kind == Kind.RING):
                raise ValueError("a ring without its descriptor, or a descriptor without a ring")
        except ValueError as error:  # as of no bytes: hung up
            for fd in fds:
                os.close(fd)
            raise LineLost from error
        if told.kind in (Kind.RING, Kind.ENDED):
            self._may_bring_ring = told.kind == Kind.ENDED
        return Heard(told, fds[0] if fds else None)

    def _wait_at_most(self, wait_s: float | None) -> None:
        self._wait_s = wait_s
        seconds = 0.0 if wait_s is None else max(wait_s, 1e-6)  # of 0 there is no end
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6)))

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
        raise NotPermitted(f"{path}: not permitted. Be of the group that attach.group names") from None
    if isinstance(error, ConnectionRefusedError | ConnectionResetError | BrokenPipeError):
        raise Closed(f"nobody listens at {path}") from None
