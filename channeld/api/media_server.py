"""The media worker's HTTP server: uvicorn with bounds on what a connection may hold and for how long.

Rule: a request's head is small and arrives soon, a viewer that takes nothing is cut off, and the number of connections has
a limit; whoever breaks one loses its own connection only. Run by the media worker's event loop.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from channeld.api.certificate import Certificate
from channeld.api.quiet_server import QuietServer
from channeld.base.client_address import address_key, is_loopback
from channeld.outputs.ts_client import Pipe
from channeld.outputs.ts_pipe import SocketPipe, TransportPipe

MAX_HEAD_BYTES = 16 * 1024
HEAD_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 30.0
KEEP_ALIVE_S = 15
MAX_CONNECTIONS = 4096
MAX_CONNECTIONS_EACH = 1024
"""From one address (a network of IPv6), so that nobody takes the room of all. Loopback has no limit: a proxy may stand there."""
SHUTDOWN_S = 2
DRAIN_TICK_S = 0.02
TLS_POLL_TICKS = 50  # of uvicorn's 0.1 s


class BoundedHttpProtocol(HttpToolsProtocol):
    """A connection that is aborted when a head grows or lasts too long, or when nothing is taken for too long.

    uvicorn itself bounds neither a head under httptools nor the time for it, and `close` waits for a peer that reads nothing.
    """

    _sides: ClassVar[Counter[str]] = Counter()
    """Connections from each address."""
    _side: str | None = None
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()
        self._count_in()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self._is_answering:
            self._reset()
            return
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES:  # the next request's, sent while this one is answered
            self._reset()
        elif self._is_answering:
            self._stop_timers("_head_timer")
        else:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = max(0, self._head_bytes - len(body))
        super().on_body(body)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_timers("_stall_timer")
        self._stall_timer = self.loop.call_later(STALL_TIMEOUT_S, self._reset)

    def resume_writing(self) -> None:
        self._stop_timers("_stall_timer")
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers("_head_timer", "_stall_timer")
        self._count_out()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["connection"] = self

    async def drain(self) -> None:
        """Return when answers to earlier requests are with the kernel, or the connection is lost: a stall ends it."""
        while self.transport.get_write_buffer_size() and not self.transport.is_closing():
            await asyncio.sleep(DRAIN_TICK_S)

    def hand_over(self) -> Pipe:
        """The connection, for who answers the request from now on without uvicorn, which frames and copies every piece for every client.

        To be called in a request, drained. Raises OSError when there is no descriptor left, or the connection is lost.
        """
        if self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        is_plain = self.transport.get_extra_info("sslcontext") is None
        same = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno())) if is_plain else None
        # uvicorn is to believe that it has answered.
        self.cycle.response_started = self.cycle.response_complete = True
        self._stop_timers("_head_timer", "_stall_timer")
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        self._count_out()
        if same is None:
            return TransportPipe(self.transport)
        # Closes its own descriptor only: the connection lives on in the other.
        self.transport.abort()
        return SocketPipe(same)

    def _count_in(self) -> None:
        address = self.client[0] if self.client is not None else ""
        if address and not is_loopback(address):
            self._side = address_key(address)
            self._sides[self._side] += 1
            if self._sides[self._side] > MAX_CONNECTIONS_EACH:
                self._reset()

    def _count_out(self) -> None:
        side, self._side = self._side, None
        if side is not None:
            self._sides[side] -= 1
            if not self._sides[side]:
                del self._sides[side]

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up_head)

    def _give_up_head(self) -> None:
        self._head_timer = None
        if not self._is_answering:
            self._reset()

    def _reset(self) -> None:
        """End the connection now, with what is still unsent."""
        inner = self.transport.get_extra_info("socket")
        # Without it the kernel would keep a full send buffer for minutes, for a peer that may never read (socket(7)).
        with contextlib.suppress(OSError), socket.fromfd(inner.fileno(), inner.family, inner.type) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _stop_timers(self, *names: str) -> None:
        for name in names:
            timer = getattr(self, name)
            if timer is not None:
                timer.cancel()
                setattr(self, name, None)


class MediaServer(QuietServer):
    """uvicorn without signal handlers of its own; `on_ready` is called once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], certificate: Certificate | None = None) -> None:
        super().__init__(config)
        self._on_ready, self._certificate = on_ready, certificate

    async def on_tick(self, counter: int) -> bool:
        if self._certificate is not None and counter % TLS_POLL_TICKS == 0:
            self._certificate.follow_files()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def server_config(application: Any, context: ssl.SSLContext | None) -> uvicorn.Config:
    """uvicorn's settings; `context` of a TLS listener."""
    config = uvicorn.Config(
        application,
        http=BoundedHttpProtocol,
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # a query may carry a viewer's token
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=1024,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    config.load()
    config.ssl = context
    return config


def listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A listening address; port 0 takes any free one. Raises OSError when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
