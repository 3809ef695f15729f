"""Fetching as a viewer does, from servers that may be slow, huge, wrong or hostile.

Rule: bounded bytes and bounded time for everything; no redirect is followed, no proxy used, no compression unpacked, and
segments are fetched only from where their manifest came from. Run by the read-back thread's event loop.
"""

import asyncio
import contextlib
import ssl
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from channeld.base.errors import ChannelError
from channeld.base.trust import own_certificate, trusting

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "channeld-readback", "Cache-Control": "no-cache"}
_KEPT_OPEN_S = 1.0
"""Long enough for the segment behind its manifest; each look then begins with a connection of its own, as a new viewer's."""
_MISSING = (404, 410)
_KNOWN_CERTIFICATES = 3


class Unreadable(ChannelError):
    """What was asked for did not come; `is_missing`: the server answers, and says that there is no such thing."""

    def __init__(self, reason: str, *, is_missing: bool = False) -> None:
        super().__init__(reason)
        self.is_missing = is_missing


class Viewer:
    """HTTP clients, one for each certificate that is trusted. Made, used and closed by one event loop."""

    def __init__(self) -> None:
        self._clients: dict[Path | None, httpx.AsyncClient] = {}
        self._known: dict[Path, list[str]] = {}

    async def fetch(self, url: str, *, max_bytes: int, timeout_s: float, trusted: Path | None = None) -> bytes:
        """The whole answer. `trusted`: the server's own certificate, whatever name it stands for. Raises Unreadable."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._fetch(url, max_bytes, trusted)
        except TimeoutError:
            raise Unreadable(f"no whole answer within {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            await self._forget(trusted)  # a renewed certificate is read anew
            raise Unreadable(f"no answer: {str(error) or type(error).__name__}") from error

    async def _fetch(self, url: str, max_bytes: int, trusted: Path | None) -> bytes:
        async with self._client(trusted).stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                hint = ". Redirects are not followed: write the final address" if answer.is_redirect else ""
                raise Unreadable(f"answers {answer.status_code}{hint}", is_missing=answer.status_code in _MISSING)
            body = bytearray()
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > max_bytes:
                    raise Unreadable(f"more than {max_bytes} bytes come")
            return bytes(body)

    def _client(self, trusted: Path | None) -> httpx.AsyncClient:
        client = self._clients.get(trusted)
        if client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEPT_OPEN_S)
            client = httpx.AsyncClient(
                headers=_HEADERS, limits=limits, timeout=None, follow_redirects=False, trust_env=False, verify=self._trust(trusted)
            )
            self._clients[trusted] = client
        return client

    def _trust(self, certificate: Path | None) -> ssl.SSLContext:
        """A listener goes on with the certificate it has when the file becomes one that it cannot use: the newest few are known."""
        if certificate is None:
            return ssl.create_default_context()
        known = self._known.setdefault(certificate, [])
        try:
            newest = own_certificate(certificate)
        except (OSError, ValueError):
            if not known:
                raise
        else:
            self._known[certificate] = known = [*(each for each in known if each != newest), newest][-_KNOWN_CERTIFICATES:]
        return trusting(known)

    async def _forget(self, trusted: Path | None) -> None:
        if trusted is not None and (client := self._clients.pop(trusted, None)) is not None:
            with contextlib.suppress(httpx.HTTPError, OSError):
                await client.aclose()

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


def segment_url(manifest_url: str, uri: str) -> str:
    """Where a listed segment is. Raises ValueError for one on another server: nobody configured that we may ask it."""
    joined = urljoin(manifest_url, uri)
    ours, theirs = urlsplit(manifest_url), urlsplit(joined)
    if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
        raise ValueError("the manifest lists segments on another server, which are not fetched")
    return joined
