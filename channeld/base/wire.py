"""Messages between channeld's processes: one JSON object per SEQPACKET datagram, with file descriptors beside it.

Rule: both ends are ours and local; still, everything read is bounded and a malformed datagram raises.
It stands on floor 0, because the playout host speaks it and imports nothing above floor 3.
"""

import json
import os
import select
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

MAX_DATAGRAM_BYTES = 192 * 1024
MAX_FDS = 8


@dataclass(frozen=True, slots=True)
class Message:
    """One message: a kind, plain values, and descriptors that the receiver now owns."""

    kind: str
    values: dict[str, Any]
    fds: tuple[int, ...] = field(default=())


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected SEQPACKET sockets with room for a burst of messages."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (left, right):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return left, right


class Wire:
    """One end of a pair. Sending is safe from any thread; receiving belongs to one thread."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._lock = threading.Lock()  # one datagram at a time; never held over anything but the send

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> None:
        """Send one message; blocks while the peer's buffer is full. Raises OSError when the peer is gone."""
        payload = json.dumps({"kind": kind, **values}, separators=(",", ":")).encode()
        if len(payload) > MAX_DATAGRAM_BYTES:
            raise ValueError(f"message {kind} of {len(payload)} bytes is larger than {MAX_DATAGRAM_BYTES}")
        with self._lock:
            if fds:
                socket.send_fds(self._socket, [payload], list(fds))
            else:
                self._socket.send(payload)

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Next message, or None when the peer is gone. Raises TimeoutError; ValueError on a malformed datagram."""
        # poll, not settimeout: a socket's timeout would also cut short a send in another thread.
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        if not poller.poll(None if timeout_s is None else timeout_s * 1000):
            raise TimeoutError("no message")
        payload, fds, flags, _ = socket.recv_fds(self._socket, MAX_DATAGRAM_BYTES, MAX_FDS)
        if not payload:
            return None
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError("truncated message")
            values = json.loads(payload)
            return Message(values.pop("kind"), values, tuple(fds))
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            for fd in fds:
                os.close(fd)
            raise ValueError(f"malformed datagram of {len(payload)} bytes: {error}") from error

    def close(self) -> None:
        """Close this end; the peer reads None."""
        self._socket.close()
