"""The dashboard's files: one page at / (and at /relay, which opens its relays), its parts below /assets/.

Rule: they hold nothing secret and change only with the program, so anybody may have them; what they show is asked from the API. The
files are read once; a part's path holds the edition of all, so that a browser may keep it and never mixes two programs.
Used by the admin event loop.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from channeld.api.admin_gate import host_of
from channeld.api.admin_sessions import page_headers
from channeld.api.problems import Problem

WEB = Path(__file__).parent / "web"
PAGES = ("/", "/relay")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_ASK_AGAIN = "no-cache"
_KEEP = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Part:
    """A file as it is sent."""

    content: bytes
    packed: bytes
    media_type: str
    etag: str


def page_routes(media_base_url: str) -> APIRouter:
    """GET PAGES and /assets/…; `media_base_url` as for `build_app`: previews come from there."""
    files = {path.relative_to(WEB).as_posix(): path.read_bytes() for path in sorted(WEB.rglob("*")) if path.is_file()}
    edition = _edition(files)
    parts = {name: _part(name, content.replace(b"{{edition}}", edition.encode())) for name, content in files.items() if _is_served(name)}
    router = APIRouter(include_in_schema=False)

    async def page(request: Request) -> Response:
        return _answer(request, parts["index.html"], _ASK_AGAIN, media_base_url)

    async def asset(request: Request, asked: str, name: str) -> Response:
        part = parts.get(f"assets/{name}")
        if part is None:
            raise Problem(404, "The page has no such part. Reload it: the daemon may be a newer one.")
        return _answer(request, part, _KEEP if asked == edition else _ASK_AGAIN, media_base_url)

    for path in PAGES:
        router.add_api_route(path, page, methods=["GET"])
    router.add_api_route("/assets/{asked}/{name:path}", asset, methods=["GET"])
    return router


def media_origin(request: Request, media_base_url: str) -> str:
    """Where viewers go who came to this listener as this request did."""
    host = host_of(request.headers["host"]) or ""
    return media_base_url.replace("{host}", f"[{host}]" if ":" in host else host)


def _is_served(name: str) -> bool:
    return name == "index.html" or (name.startswith("assets/") and Path(name).suffix in _TYPES)


def _edition(files: Mapping[str, bytes]) -> str:
    """A name for just these files."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
    return digest.hexdigest()[:12]


def _part(name: str, content: bytes) -> _Part:
    return _Part(content, gzip.compress(content, 6, mtime=0), _TYPES[Path(name).suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def _answer(request: Request, part: _Part, caching: str, media_base_url: str) -> Response:
    headers = {
        **page_headers([media_origin(request, media_base_url)]),
        "Cache-Control": caching,
        "ETag": part.etag,
        "Vary": "Accept-Encoding",
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if part.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    accepted = [offer.split(";")[0].strip() for offer in request.headers.get("accept-encoding", "").lower().split(",")]
    if "gzip" in accepted and len(part.packed) < len(part.content):
        return Response(part.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=part.media_type)
    return Response(part.content, headers=headers, media_type=part.media_type)
