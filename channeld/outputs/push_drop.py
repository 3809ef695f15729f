"""Freeing a name that a dead session still holds at nginx-rtmp: `<control>/drop/publisher?app=…&name=…`.

Rule: only addresses of this machine or a private network are asked, without redirects or proxies, and ever more seldom:
a name that another living publisher wants must not be fought over. Push's thread; waits ASK_S at most.
"""

import ipaddress
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx

from channeld.process.backoff import Backoff
from channeld.process.ffmpeg_log import FFmpegLine, LineKind
from channeld.telemetry.log import Logger

ASK_S = 2.0
FIRST_S = 2.0
LONGEST_S = 60.0
_CAUSES = frozenset({LineKind.ALREADY_PUBLISHING, LineKind.TIMED_OUT})


def publisher_of(url: str) -> tuple[str, str]:
    """Application and stream name of a push URL, as FFmpeg splits its path: `app/name`, or `app/instance/name`."""
    path = urlsplit(url).path.lstrip("/")
    first, _, rest = path.partition("/")
    second, _, last = rest.partition("/")
    return (f"{first}/{second}", last) if last and ":" not in second else (first, rest)


def is_near(host: str) -> bool:
    """Every address of the host is this machine's or a private network's."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    return bool(addresses) and all(address.is_loopback or address.is_private for address in addresses)


class PublisherDrop:
    """Asks nginx to drop whoever holds a push's name."""

    def __init__(self, control: str, url: str, log: Logger) -> None:
        self._control = control.rstrip("/")
        self._app, self._name = publisher_of(url)
        self._log = log
        self._backoff = Backoff(first_s=FIRST_S, longest_s=LONGEST_S)
        self._not_before_s = 0.0

    def take(self, lines: Iterable[FFmpegLine], *, healthy_s: float) -> None:
        """Ask if these lines tell of a taken name or a half-open session; `healthy_s` of delivery make it patient anew."""
        if time.monotonic() < self._not_before_s or not any(line.kind in _CAUSES for line in lines):
            return
        self._not_before_s = time.monotonic() + self._backoff.next_s(healthy_for_s=healthy_s)
        self._ask()

    def _ask(self) -> None:
        parts = urlsplit(self._control)
        if parts.scheme not in ("http", "https") or not is_near(parts.hostname or ""):
            self._log.warning("publisher_not_dropped", reason="the control address is not of this machine or a private network")
            return
        query = {"app": self._app, "name": self._name.partition("?")[0]}
        try:
            with httpx.Client(timeout=ASK_S, trust_env=False, follow_redirects=False) as client:
                answer = client.get(f"{self._control}/drop/publisher", params=query)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._log.warning("publisher_not_dropped", reason=f"{type(error).__name__}: {error}")
            return
        if answer.is_success:
            self._log.info("publisher_dropped", app=self._app, sessions=answer.text.strip()[:20])
        else:
            self._log.warning("publisher_not_dropped", reason=f"nginx answered {answer.status_code}")
