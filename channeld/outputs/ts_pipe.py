"""Connections to clients of the endless stream, taken over from the HTTP server.

Rule: what a client does not take stays in the ring, not in a buffer of its own: the kernel holds at most UNSENT_BYTES that are not
on their way, and nothing is copied per client. Event loop only; whoever makes a pipe closes it.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

UNSENT_BYTES = 128 * 1024
MAX_CHATTER_BYTES = 64 * 1024
"""What a client may send behind its request, which nobody reads."""
_READ_BYTES = 4096


class SocketPipe:
    """A plain connection. The socket is owned from here on."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.setblocking(False)
        # The kernel's own buffer grows to megabytes for a client that reads slowly; what is on its way does not count (tcp(7)).
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._loop = asyncio.get_running_loop()
        self._on_room: Callable[[], None] = lambda: None
        self._on_gone: Callable[[], None] = lambda: None
        self._chatter = 0

    def start(self, on_room: Callable[[], None], on_gone: Callable[[], None]) -> None:
        self._on_room, self._on_gone = on_room, on_gone
        self._loop.add_reader(self._socket.fileno(), self._listen)

    def send(self, data: memoryview | bytes) -> int:
        try:
            taken = self._socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._loop.call_soon(self._on_gone)
            return 0
        if taken < len(data):
            self._loop.add_writer(self._socket.fileno(), self._has_room)
        return taken

    def close(self, *, at_once: bool) -> None:
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        if at_once:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _has_room(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._on_room()

    def _listen(self) -> None:
        try:
            said = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            said = b""
        self._chatter += len(said)
        if not said or self._chatter > MAX_CHATTER_BYTES:
            self._on_gone()


class TransportPipe(asyncio.Protocol):
    """A connection behind TLS, whose transport encrypts; it holds one send at most."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._is_full = False
        self._on_room: Callable[[], None] = lambda: None
        self._on_gone: Callable[[], None] = lambda: None
        self._chatter = 0

    def start(self, on_room: Callable[[], None], on_gone: Callable[[], None]) -> None:
        self._on_room, self._on_gone = on_room, on_gone
        # Not 0: uvloop's TLS pauses at "as much as", and would at once and for ever.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    def send(self, data: memoryview | bytes) -> int:
        if self._is_full or self._transport.is_closing():
            return 0
        self._transport.write(data)
        return len(data)

    def close(self, *, at_once: bool) -> None:
        if at_once:
            self._transport.abort()
        else:
            self._transport.close()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        # Not at once: a transport may say so within the very `write` whose bytes are not counted yet.
        asyncio.get_running_loop().call_soon(self._on_room)

    def data_received(self, data: bytes) -> None:
        self._chatter += len(data)
        if self._chatter > MAX_CHATTER_BYTES:
            self._on_gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_gone()
