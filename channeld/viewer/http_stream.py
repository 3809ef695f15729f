"""The way over HTTP: the endless transport stream of the media listener, for where neither memory nor a pipe can be had.

Rule: standard library only, no proxy of the environment in between, no redirect followed; the token goes in a header, not in an
address that is logged.
"""

import http.client
import json
import select
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from channeld.telemetry import log
from channeld.viewer.way import Packets, WayLost, Why

_READ_BYTES = 1 << 18
_HINTS = {
    401: (Why.FORBIDDEN, "a token is needed: pass one with $CHANNELD_TOKEN or --token"),
    403: (Why.FORBIDDEN, "a token is needed: pass one with $CHANNELD_TOKEN or --token"),
    404: (Why.UNKNOWN, "no such stream: is the channel on air, with the output `- ts: {}`?"),
}

_log = log.get("play.transport")


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """The media listener: `http://host:port`, with the TLS context that knows it where the system does not, and a token if it wants one."""

    url: str
    tls: ssl.SSLContext | None = None
    token: str | None = field(default=None, repr=False)


class HttpStream:
    """Owns one connection that has answered 200."""

    def __init__(self, channel: str, address: MediaAddress, timeout_s: float) -> None:
        """Raises WayLost for every other answer, and for none within `timeout_s`."""
        self.url = f"{address.url.rstrip('/')}/ts/{quote(channel, safe='')}"
        self._packets = Packets()
        connection = _connection(address, timeout_s)
        try:
            connection.connect()
            self._socket: socket.socket = connection.sock
            headers = {"User-Agent": "channeld-play", **({"Authorization": f"Bearer {address.token}"} if address.token else {})}
            connection.request("GET", urlsplit(self.url).path, headers=headers)
            self._answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            why = Why.ABSENT if isinstance(error, ConnectionRefusedError | TimeoutError | socket.gaierror) else Why.FAILED
            raise WayLost(f"{self.url}: {getattr(error, 'strerror', None) or error or 'no answer'}", why) from error
        if self._answer.status != 200:
            why, hint = _HINTS.get(self._answer.status, (Why.FAILED, ""))
            reason = _refusal(self._answer, hint)
            self.close()
            raise WayLost(f"{self.url} answered {self._answer.status}: {reason}", why)
        _log.debug("http_answered", url=self.url, status=self._answer.status)

    def receive(self, wait_s: float) -> bytes | None:
        """As `Way`."""
        # TLS may hold bytes of a record already, of which the socket knows nothing.
        is_pending = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        if not is_pending and not select.select([self._socket], [], [], wait_s)[0]:
            return None
        try:
            # More than the answer's own buffer holds: nothing stays in it that the socket would not tell of.
            piece = self._answer.read1(_READ_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise WayLost(f"{self.url} broke off: {error}") from error
        if not piece:
            raise WayLost(f"{self.url} ended", Why.ABSENT)
        return self._packets.whole(piece)

    def facts(self) -> dict[str, object]:
        """As `Way`."""
        return {"url": self.url}

    def close(self) -> None:
        """As `Way`."""
        self._answer.close()
        self._socket.close()


def _connection(address: MediaAddress, timeout_s: float) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(address.url)
        host, port, is_tls = parts.hostname, parts.port, parts.scheme == "https"
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise WayLost(f"{address.url} is not an address: write http://host:port")
    if is_tls:
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=address.tls or ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _refusal(answer: http.client.HTTPResponse, hint: str) -> str:
    """What the daemon says of it, or ours."""
    try:
        told = json.loads(answer.read(4096))
        return hint or str(told["detail"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return hint or answer.reason
