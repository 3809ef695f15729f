"""A small web server for live streams: one TS to any number of clients, or segments with a manifest.

Rule: GET and HEAD only, a request is bounded in bytes and time, a client that does not read is left. Event loop thread only.
Not the daemon's own media server: what is tested against this shares no code with it.
"""

import asyncio
import base64
import contextlib
import hmac
from abc import abstractmethod
from http import HTTPStatus

from channeld.mock.sinks import Sink
from channeld.mock.wanted import Wanted

MAX_REQUEST_BYTES = 8192
MAX_CLIENTS = 2000
MAX_BEHIND_BYTES = 4 << 20
REQUEST_S = 10.0


class HttpSink(Sink):
    """The server; what it serves at which path is its heirs' matter."""

    path = "/"

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted.seed)
        self._host, self._port = wanted.host, wanted.port
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._is_locked = False
        pair = f"{wanted.access.user}:{wanted.access.password}" if wanted.access else None
        self._secret = None if pair is None else b"basic " + base64.b64encode(pair.encode())

    async def open(self) -> None:
        """Listen; once a port was given by the kernel, at that one for ever."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_REQUEST_BYTES, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"http://{host}:{self._port}{self.path}"

    async def close(self) -> None:
        """Leave the port, and cut every client off."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._cut_off()

    def lock(self, wanted: bool) -> None:
        """Refuse whoever comes, for a password that was right."""
        self._is_locked = wanted
        if wanted:
            self._cut_off()

    def _cut_off(self) -> None:
        for client in tuple(self._clients):
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that went away, or that asks for ever: it is left
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_S)
        lines = head.split(b"\r\n")
        method, path, _ = (*lines[0].split(b" "), b"", b"", b"")[:3]
        if len(self._clients) > MAX_CLIENTS:
            refuse(writer, HTTPStatus.SERVICE_UNAVAILABLE)
        elif method not in (b"GET", b"HEAD"):
            refuse(writer, HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD\r\n")
        elif not self._may(lines[1:]):
            refuse(writer, HTTPStatus.UNAUTHORIZED, 'WWW-Authenticate: Basic realm="mock"\r\n')
        else:
            await self.send(path.decode("ascii", "replace").split("?")[0], writer, with_body=method == b"GET")
        # Whoever was answered is given time to take it.
        with contextlib.suppress(OSError):
            await asyncio.wait_for(writer.drain(), REQUEST_S)

    def _may(self, headers: list[bytes]) -> bool:
        if self._secret is None or self._is_locked:
            return not self._is_locked
        given = next((line.partition(b":")[2].strip() for line in headers if line.lower().startswith(b"authorization:")), b"")
        kind, _, proof = given.partition(b" ")
        return hmac.compare_digest(kind.lower() + b" " + proof.strip(), self._secret)

    @abstractmethod
    async def send(self, path: str, writer: asyncio.StreamWriter, *, with_body: bool) -> None:
        """Answer a request that may be answered."""


def refuse(writer: asyncio.StreamWriter, status: HTTPStatus, headers: str = "") -> None:
    """An answer without anything in it."""
    writer.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())


def answer(writer: asyncio.StreamWriter, kind: str, body: bytes, *, with_body: bool) -> None:
    """A whole answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + (body if with_body else b""))


class TsSink(HttpSink):
    """The stream itself at one path, to whoever comes, from where it is just now."""

    path = "/live.ts"

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._viewers: set[asyncio.StreamWriter] = set()

    def take(self, packets: bytes) -> None:
        """To every viewer; one that is far behind is cut off."""
        for viewer in tuple(self._viewers):
            if viewer.transport.get_write_buffer_size() > MAX_BEHIND_BYTES:
                viewer.transport.abort()
            elif not viewer.is_closing():
                viewer.write(packets)

    async def send(self, path: str, writer: asyncio.StreamWriter, *, with_body: bool) -> None:
        """The endless stream."""
        if path != self.path:
            refuse(writer, HTTPStatus.NOT_FOUND)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n")
        if not with_body:
            return
        self._viewers.add(writer)
        try:
            await writer.wait_closed()
        finally:
            self._viewers.discard(writer)
