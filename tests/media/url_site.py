"""A real HTTP server for tests: routes by path, every connection and request counted."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Route = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; a route writes the answer."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer with a body, without it to HEAD."""
        self.head(status, **({"content_length": str(len(body))} | headers))
        if self.command != "HEAD":
            self.wfile.write(body)

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.requests.append((self.command, self.path, self.headers.get("host", "")))
        site.routes.get(self.path.partition("?")[0], lambda request: request.reply(404))(self)

    do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    site: "Site"

    def get_request(self) -> Any:
        self.site.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what these tests are about."""


class Site:
    """`closing` is set at the end, for routes that wait."""

    def __init__(self, address: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.connections = 0
        self.closing = threading.Event()
        self.server = _Server((address, port), Request)
        self.server.site = self
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]

    def url(self, path: str, host: str = "clips.test", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@contextmanager
def serving(address: str = "127.0.0.1", *, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A site while the block runs."""
    site = Site(address, port, tls)
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        site.server.shutdown()
        thread.join()
        site.server.server_close()
