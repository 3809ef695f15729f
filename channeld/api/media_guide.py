"""The programme guide as viewers get it: XMLTV as control wrote it, and the list of channels with the addresses of their streams.

Rule: the list names the listener as the viewer's own request names it, so that it works from wherever it was asked for; where a token
is needed every address carries the viewer's own. Run by the media worker's event loop.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from channeld.api.media_files import OpenFile, is_unchanged, read_whole
from channeld.outputs.hls_store import GUIDE_NAME

MAX_LISTING_BYTES = 4 * 1024 * 1024
_AUTHORITY = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(?::\d{1,5})?")
_SCHEMES = ("http", "https")


def base_address(request: Request) -> str | None:
    """Scheme and authority by which the viewer came, without a final slash; None when the Host header is not one.

    `X-Forwarded-Proto` is what a proxy in front says that the viewer spoke with it; it can only change the asker's own answer.
    """
    spoken = request.headers.get("x-forwarded-proto", request.url.scheme)
    scheme = spoken if spoken in _SCHEMES else request.url.scheme
    authority = request.headers.get("host")
    if authority is None:  # HTTP/1.0
        host, port = request.scope["server"]
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{scheme}://{authority}" if _AUTHORITY.fullmatch(authority) else None


async def channels_answer(request: Request, file: OpenFile, token: str | None, headers: Mapping[str, str]) -> Response:
    """The M3U. Closes the file."""
    try:
        base = base_address(request)
        if base is None:
            return PlainTextResponse("The Host header is not one\n", 400, headers=dict(headers))
        written = await read_whole(file, MAX_LISTING_BYTES)
    finally:
        os.close(file.fd)
    text = complete(written.decode(), base, token).encode()
    etag = f'"{hashlib.blake2b(text, digest_size=12).hexdigest()}"'
    answered = {**headers, "Content-Type": "audio/x-mpegurl; charset=utf-8", "ETag": etag, "Vary": "Host, X-Forwarded-Proto"}
    if etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=answered)
    return Response(text, headers={**answered, "Cache-Control": "no-cache"})


def complete(entries: str, base: str, token: str | None) -> str:
    """The list with its first line and whole addresses."""
    suffix = "" if token is None else f"?token={quote(token, safe='')}"
    guide = f"{base}/{GUIDE_NAME}{suffix}"
    lines = [f'#EXTM3U url-tvg="{guide}" x-tvg-url="{guide}"']
    lines += [line if line.startswith("#") else f"{base}{line}{suffix}" for line in entries.splitlines()]
    return "\n".join(lines) + "\n"


def guide_headers(request: Request, file: OpenFile, headers: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """Headers of the XMLTV, and whether the viewer has it already."""
    answered = {**headers, "ETag": file.etag, "Last-Modified": file.last_modified, "Cache-Control": "no-cache"}
    return {**answered, "Content-Type": "application/xml; charset=utf-8"}, is_unchanged(request, file)
