"""The admin HTTP server: one thread with an event loop of its own.

Rule: when `start` returns, requests are answered; when `close` returns, thread and socket are gone. Whoever makes an
AdminServer closes it.

| what | made by | waited for by | closed by |
|---|---|---|---|
| thread `admin-http` | start | close | close |
| listening socket | start | | the loop at its end; close when there is none |
| connections, call threads | the loop | the loop, SHUTDOWN_S | the loop |
"""

import asyncio
import os
import socket
import threading
from typing import Any

import uvicorn

from channeld.api.admin_connection import BoundedConnection
from channeld.api.admin_gate import MAX_HEAD_BYTES
from channeld.api.certificate import Certificate, Tell
from channeld.api.quiet_server import QuietServer
from channeld.base.errors import ConfigError
from channeld.base.tls import TlsSpec
from channeld.base.worker import Worker
from channeld.config_values import ListenSpec, parse_listen

START_TIMEOUT_S = 20.0
KEEP_ALIVE_S = 15
BACKLOG = 1024  # everybody who followed the events comes again at once after a restart
SHUTDOWN_S = 1
TLS_HANDSHAKE_TIMEOUT_S = 10.0
TLS_POLL_TICKS = 50  # of uvicorn's 0.1 s


class AdminServer(Worker):
    """Serves one ASGI application at one address."""

    def __init__(
        self,
        app: Any,
        listen: str,
        tls: TlsSpec | None = None,
        tell_certificate: Tell = lambda _: None,
        listener: socket.socket | None = None,
    ) -> None:
        """`listen` is host:port; port 0 takes any free one.

        `tell_certificate`: see Certificate. `listener`: what `take_address` gave for the address; ours to close from `start` on.
        Raises ConfigError for a bad address or certificate.
        """
        super().__init__("admin-http")
        try:
            self._listen = parse_listen(listen)
        except ValueError as error:
            raise ConfigError(f"admin.listen: {error}", key="admin.listen") from None
        self._ready = threading.Event()
        self._listener = listener
        self._port = 0
        certificate = Certificate(tls, "admin.tls", tell_certificate) if tls else None
        self._server = _Server(_settings(app), certificate, self._ready)

    @property
    def port(self) -> int:
        """The port in use; 0 before `start`."""
        return self._port

    def start(self) -> None:
        """Bind and serve. Raises ConfigError when the address cannot be had."""
        self._listener = self._listener or take_address(self._listen)
        self._port = int(self._listener.getsockname()[1])
        super().start()
        if not self._ready.wait(START_TIMEOUT_S) or not self._server.started:
            self.close()
            raise RuntimeError("the admin server did not start; the log says why")

    def run(self) -> None:
        assert self._listener is not None
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._listener.close()
            self._ready.set()

    def wake(self) -> None:
        self._server.stop()


class _Server(QuietServer):
    """uvicorn, telling when it serves, with a bound on TLS handshakes and a certificate that follows its files."""

    def __init__(self, config: uvicorn.Config, certificate: Certificate | None, ready: threading.Event) -> None:
        super().__init__(config)
        self._certificate, self._ready = certificate, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        # uvicorn's own way gives a handshake 60 s, in which no connection is counted yet.
        context, timeout_s = (self._certificate.context, TLS_HANDSHAKE_TIMEOUT_S) if self._certificate else (None, None)
        self.servers = [
            await loop.create_server(self._connection, sock=listener, ssl=context, ssl_handshake_timeout=timeout_s)
            for listener in sockets or ()
        ]
        self.started = True
        self._ready.set()

    async def on_tick(self, counter: int) -> bool:
        if self._certificate is not None and counter % TLS_POLL_TICKS == 0:
            self._certificate.follow_files()
        return await super().on_tick(counter)

    def _connection(self) -> asyncio.Protocol:
        return BoundedConnection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _settings(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def take_address(listen: ListenSpec) -> socket.socket:
    """A socket that listens, and that nobody answers yet. Raises ConfigError that says what to do."""
    try:
        family, _, _, _, address = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # The protocol by its name: asyncio sets TCP_NODELAY only where it stands, and without that each answer waits 40 ms for an ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Now, not in the loop: Linux gives the same address to two that bind, and refuses only the second to listen.
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        advice = "Stop what listens there (ss -ltnp), or give admin.listen another port"
        raise ConfigError(f"admin.listen: cannot listen on {listen}: {reason}. {advice}", key="admin.listen") from None
    return listener
