"""The endless stream as HTTP: who gets it, from where on, and how a request for it is refused.

Rule: everything is decided before the connection leaves the HTTP server; then the feed sends to it without framing, until its end.
The answer has no length and is not chunked, as players of every age understand it (RFC 9112, 6.3). Run by the media worker's event loop.
"""

import json
import math
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from channeld.outputs.http_ts import Feed, Limits, refusal
from channeld.outputs.ts_client import Guest, printable

MAX_BURST_S = 30.0
RETRY_AFTER_S = 10
# Not chunked: each piece would be framed, and for that copied, for each client.
_STREAM = {"Content-Type": "video/mp2t", "Connection": "close"}


class _Taken(Response):
    """No answer: the feed gives it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass


class Streams:
    """The feeds as HTTP. `common`: headers of every answer. `limits` may be replaced at any time."""

    def __init__(
        self, feeds: Mapping[str, Feed], limits: Limits, common: Mapping[str, str], place_of: Callable[[str], str | None] = lambda _: None
    ) -> None:
        self.limits, self._place_of = limits, place_of
        self._feeds, self._common = feeds, common

    async def answer(self, request: Request, is_admitted: Callable[[], bool]) -> Response:
        """Serve the stream that was asked for, or say why not. `is_admitted`: whether what the client showed still opens."""
        if self._feed(request) is None:
            return self._nothing()
        if (burst_s := _burst(request)) is None:
            detail = f"burst is how many seconds behind the newest picture the stream begins: a number from 0 to {MAX_BURST_S:g}."
            return self._problem(400, detail)
        if not _wants_beginning(request):
            # Whoever goes on "at byte n" would take the stream of now for what it missed, and put it behind what it has. 200 says that
            # to a careful client only, 416 to every one: it then asks anew, without a range. No Content-Range: there is no length to tell.
            return self._problem(416, "The stream has no end and no ranges: ask without Range, or for bytes=0-.")
        if request.method == "HEAD":
            answer = Response(headers={**self._common, **_STREAM})
            del answer.headers["content-length"]
            return answer
        return await self._serve(request, is_admitted, burst_s)

    async def _serve(self, request: Request, is_admitted: Callable[[], bool], burst_s: float) -> Response:
        connection = getattr(request.state, "connection", None)
        assert connection is not None, "the media server gives every request its connection"
        await connection.drain()
        feed = self._feed(request)
        if feed is None:
            return self._nothing()
        address = request.client.host if request.client is not None else "unknown"
        refused = refusal(self._feeds.values(), feed, address, self.limits)
        if refused is not None:
            return self._problem(*refused, {"Retry-After": str(RETRY_AFTER_S)})
        try:
            pipe = connection.hand_over()
        except OSError as error:
            return self._problem(503, f"The server cannot take one more connection: {error.strerror or error}.")
        guest = Guest(address, printable(request.headers.get("user-agent", "")), is_admitted, self._place_of(address))
        feed.join(guest, pipe, head=self._head(), burst_s=burst_s)
        return _Taken()

    def _feed(self, request: Request) -> Feed | None:
        feed = self._feeds.get(request.path_params["channel"])
        return None if feed is None or feed.is_closed else feed

    def _head(self) -> bytes:
        headers = {"Date": formatdate(usegmt=True), **self._common, **_STREAM}
        return "".join(["HTTP/1.1 200 OK\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]).encode("latin-1")

    def _nothing(self) -> Response:
        return PlainTextResponse("Not found\n", 404, headers=dict(self._common))

    def _problem(self, status: int, detail: str, more: Mapping[str, str] | None = None) -> Response:
        """A problem document (RFC 9457)."""
        document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        return Response(json.dumps(document), status, {**self._common, **(more or {})}, "application/problem+json")


def _burst(request: Request) -> float | None:
    """Seconds; None when what stands there is none, or too many."""
    try:
        seconds = float(request.query_params.get("burst", "0"))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= MAX_BURST_S else None


def _wants_beginning(request: Request) -> bool:
    """Whether all of the stream is asked for: `bytes=0-`, as many players do, is. If-Range never matches, as nothing can stand in it."""
    unit, _, ranges = request.headers.get("range", "").partition("=")
    if unit.strip().lower() != "bytes" or "if-range" in request.headers:
        return True
    return ranges.strip() == "0-"
