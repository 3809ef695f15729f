"""What viewers can ask a media worker for: files of HLS and DASH, the endless stream, the programme guide, and whether it lives.

Rule: GET, HEAD and OPTIONS only, and names by fixed pattern. No state of its own beyond the feeds and the folder that the
worker gives it. Run by the media worker's event loop; deadlines and sizes of connections are `media_server`'s.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from channeld.access.secret import digest_of, is_same
from channeld.api.media_files import Folder, OpenFile, is_unchanged, read_chunks, wanted_range
from channeld.api.media_guide import channels_answer, guide_headers
from channeld.api.media_stream import Streams
from channeld.base.clock import iso_utc
from channeld.base.relay_id import channel_by
from channeld.outputs import dash_manifest
from channeld.outputs.dash import DASH_FILES
from channeld.outputs.hls_manifest import MANIFEST_NAME, below, with_token
from channeld.outputs.hls_store import CHANNELS_NAME, GUIDE_NAME, HLS_FILES, FileNames
from channeld.outputs.http_ts import Feed, Limits
from channeld.outputs.ts_client import printable

READ_BACK = "channeld-readback"
"""The daemon's own looks at what is published: they are no audience."""
_RELAY = "/api/v1/relay/{config_id}"
_METHODS = ["GET", "HEAD", "OPTIONS"]
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, Date, ETag, Last-Modified",
}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": ", ".join(_METHODS),
    "Access-Control-Allow-Headers": "Authorization, Range, If-None-Match, If-Modified-Since, If-Range",
    "Access-Control-Max-Age": "86400",
}
_PLAIN = {**_CORS, "Cache-Control": "no-store"}
_MANIFEST = {"Cache-Control": "max-age=1"}
# A media sequence is never given twice, so what a segment's name stands for never changes.
_SEGMENT = {"Cache-Control": "max-age=3600, immutable"}


@dataclass(frozen=True, slots=True)
class Packaged:
    """How one way of packaging is served: its files, what they are by the beginning of their names, and how addresses get a token."""

    names: FileNames
    content_types: Mapping[str, str]
    with_token: Callable[[bytes, str], bytes]

    def type_of(self, name: str) -> dict[str, str]:
        """The header that says what a file is."""
        return {"Content-Type": next(found for begins, found in self.content_types.items() if name.startswith(begins))}


_HLS = Packaged(HLS_FILES, {"index": "application/vnd.apple.mpegurl", "segment": "video/mp2t"}, with_token)
_DASH = Packaged(DASH_FILES, {"manifest": "application/dash+xml", "video": "video/mp4", "audio": "audio/mp4"}, dash_manifest.with_token)


@dataclass(slots=True)
class Access:
    """Who may watch: everybody, or who shows the daemon's own token or one of `keys`. The worker replaces both as it is told.

    `keys`: when each ends (seconds since 1970, None: never), by its digest.
    """

    token: str | None = None
    keys: Mapping[str, float | None] = field(default_factory=dict)

    def allows(self, request: Request) -> bool:
        """Whether the request shows something that opens."""
        return self.token is None or self.opens(_shown(request))

    def opens(self, shown: str) -> bool:
        """Whether this opens now; in a time that tells nothing of what would."""
        if self.token is None:
            return True
        if is_same(shown, self.token):
            return True
        # A digest cannot be chosen byte by byte, so that how long its lookup takes tells nothing.
        ends_at_s = self.keys.get(digest_of(shown), 0.0)
        return ends_at_s is None or time.time() < ends_at_s

    def passed_on(self, request: Request) -> str | None:
        """What the addresses in an answer are to carry: what this viewer showed, never another's; None where nobody has to."""
        return None if self.token is None else _shown(request)


def _shown(request: Request) -> str:
    """In the address, as players can; else in a header, as programs do."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return request.query_params.get("token", "") or (token.strip() if scheme.lower() == "bearer" else "")


class PieceByPiece(Response):
    """A body sent piece by piece, until its end or until the viewer has gone; then `fd` is closed."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], headers: Mapping[str, str], *, status: int = 200, fd: int | None = None
    ) -> None:
        super().__init__(status_code=status, headers=dict(headers))
        self._pieces = pieces
        self._fd = fd
        if "content-length" not in (name.lower() for name in headers):
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_body(receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if self._fd is not None:
                os.close(self._fd)

    async def _send_body(self, receive: Receive, send: Send) -> None:
        body = asyncio.ensure_future(self._send_pieces(send))
        gone = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            await asyncio.wait((body, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (body, gone):
                task.cancel()
            outcomes = await asyncio.gather(body, gone, return_exceptions=True)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]

    async def _send_pieces(self, send: Send) -> None:
        # Cancelled in `send`, a generator would learn of its end only when it is collected.
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Witness(Protocol):
    """Hears who watches; see media_audience."""

    def watched(self, channel: str) -> None:
        """Somebody asks for something of a channel."""
        ...

    def asked(self, channel: str, address: str, user_agent: str, protocol: str) -> None:
        """The same of HLS or DASH, with who it is."""
        ...

    def place_of(self, address: str) -> str | None:
        """Where an address is, if anybody knows."""
        ...


class Nobody:
    """Hears nothing."""

    def watched(self, channel: str) -> None:
        """Nothing follows."""

    def asked(self, channel: str, address: str, user_agent: str, protocol: str) -> None:
        """Nothing follows."""

    def place_of(self, address: str) -> str | None:
        """Nobody knows."""
        return None


class MediaRoutes:
    """The routes over one folder and the streams of the channels on air here."""

    def __init__(
        self,
        folder: Folder,
        feeds: Mapping[str, Feed],
        access: Access,
        limits: Limits,
        witness: Witness | None = None,
    ) -> None:
        self._witness = witness = witness or Nobody()
        self.streams = Streams(feeds, limits, _PLAIN, witness.place_of)
        self._folder, self._feeds, self._access = folder, feeds, access

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/hls/{channel}/{name}", self.hls, methods=_METHODS),
                Route(f"/dash/{{channel}}/{dash_manifest.TIME_NAME}", self.dash_time, methods=_METHODS),
                Route("/dash/{channel}/{name}", self.dash, methods=_METHODS),
                Route("/ts/{channel}", self.ts, methods=_METHODS),
                Route(f"{_RELAY}/playlist.m3u8", self.relay_playlist, methods=_METHODS),
                Route(f"{_RELAY}/segments/{{name}}", self.relay_hls, methods=_METHODS),
                Route(f"{_RELAY}/hls/{{name}}", self.relay_hls, methods=_METHODS),
                Route(f"{_RELAY}/stream.ts", self.relay_ts, methods=_METHODS),
                Route(f"/{GUIDE_NAME}", self.guide, methods=_METHODS),
                Route(f"/{CHANNELS_NAME}", self.channels, methods=_METHODS),
                Route("/healthz", self.healthz, methods=_METHODS),
            ]
        )

    async def healthz(self, request: Request) -> Response:
        """Alive: this loop turns."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        return JSONResponse({"status": "ok", "channels": len(self._feeds)}, headers=_PLAIN)

    async def hls(self, request: Request) -> Response:
        """A manifest or a segment."""
        return self._packaged(_HLS, request, request.path_params["channel"], request.path_params["name"])

    async def dash(self, request: Request) -> Response:
        """The same of DASH."""
        return self._packaged(_DASH, request, request.path_params["channel"], request.path_params["name"])

    async def dash_time(self, request: Request) -> Response:
        """Our clock, which players of DASH set theirs by: what is listed is told in its time."""
        return self._refusal(request) or PlainTextResponse(iso_utc(time.time()), headers=_PLAIN)

    async def relay_hls(self, request: Request) -> Response:
        """The same of a relay, which is a channel, by its number."""
        return self._packaged(_HLS, request, _relayed(request), request.path_params["name"])

    async def relay_playlist(self, request: Request) -> Response:
        """A relay's manifest beside the folder of its segments."""
        return self._packaged(_HLS, request, _relayed(request), MANIFEST_NAME, folder=b"segments")

    def _packaged(self, how: Packaged, request: Request, channel: str, name: str, *, folder: bytes | None = None) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        file = self._folder.open(channel, name, how.names)
        if file is None:
            return PlainTextResponse("Not found\n", 404, headers=_PLAIN)
        agent = request.headers.get("user-agent", "")
        if agent != READ_BACK and request.method != "HEAD":  # who looks whether it is there watches nothing
            self._witness.watched(channel)
            self._witness.asked(channel, request.client.host if request.client is not None else "unknown", printable(agent), how.names.type)
        if name == how.names.manifest:
            return self._manifest(how, request, file, folder)
        return _segment(request, file, how.type_of(name))

    async def guide(self, request: Request) -> Response:
        """What airs when, as XMLTV."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        file = self._folder.open_listing(GUIDE_NAME)
        if file is None:
            return PlainTextResponse("Not found\n", 404, headers=_PLAIN)
        headers, is_known = guide_headers(request, file, _CORS)
        if is_known:
            os.close(file.fd)
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(file.size)
        return PieceByPiece(read_chunks(file.fd, 0, file.size), headers, fd=file.fd)

    async def channels(self, request: Request) -> Response:
        """The channels, as M3U."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        file = self._folder.open_listing(CHANNELS_NAME)
        if file is None:
            return PlainTextResponse("Not found\n", 404, headers=_PLAIN)
        return await channels_answer(request, file, self._access.passed_on(request), _CORS)

    async def ts(self, request: Request) -> Response:
        """The endless stream from the newest random access point on."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        shown, channel = _shown(request), request.path_params["channel"]
        answer = await self.streams.answer(request, lambda: self._access.opens(shown))
        if answer.status_code == 200 and request.method != "HEAD":
            self._witness.watched(channel)
        return answer

    async def relay_ts(self, request: Request) -> Response:
        """The same of a relay by its number."""
        request.path_params["channel"] = _relayed(request)
        return await self.ts(request)

    def _refusal(self, request: Request) -> Response | None:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        if not self._access.allows(request):
            return PlainTextResponse("A valid token is needed, as ?token= or in Authorization: Bearer\n", 403, headers=_PLAIN)
        return None

    def _manifest(self, how: Packaged, request: Request, file: OpenFile, folder: bytes | None) -> Response:
        headers = {**_CORS, **_MANIFEST, **how.type_of(how.names.manifest), "ETag": file.etag, "Last-Modified": file.last_modified}
        try:
            if is_unchanged(request, file):
                return Response(status_code=304, headers=headers)
            text = os.read(file.fd, how.names.max_manifest_bytes)
        finally:
            os.close(file.fd)
        text = text if folder is None else below(text, folder)
        token = self._access.passed_on(request)
        return Response(text if token is None else how.with_token(text, token), headers=headers)


def _relayed(request: Request) -> str:
    """The channel of the relay that is asked for; no channel's name where there can be none."""
    return channel_by(request.path_params["config_id"]) or ""


def _segment(request: Request, file: OpenFile, content_type: dict[str, str]) -> Response:
    headers = {**_CORS, **_SEGMENT, **content_type, "ETag": file.etag, "Last-Modified": file.last_modified, "Accept-Ranges": "bytes"}
    if is_unchanged(request, file):
        os.close(file.fd)
        return Response(status_code=304, headers=headers)
    try:
        wanted = wanted_range(request, file)
    except ValueError:
        os.close(file.fd)
        return Response(status_code=416, headers={**_PLAIN, "Content-Range": f"bytes */{file.size}"})
    start, end = wanted or (0, file.size)
    headers["Content-Length"] = str(end - start)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    return PieceByPiece(read_chunks(file.fd, start, end), headers, status=206 if wanted else 200, fd=file.fd)
