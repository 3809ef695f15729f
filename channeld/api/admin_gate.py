"""What every request passes before a route sees it: size of its head, its Host, its token.

Rule: closed unless listed as open; this machine is trusted no more than any other. A web page that makes its own name point
here (DNS rebinding) is stopped by the Host list, also on 127.0.0.1. ASGI middleware; used by the admin event loop.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from channeld.api.admin_logins import Logins
from channeld.api.problems import SECURITY_HEADERS, Problem, problem_response
from channeld.telemetry.log import get

MAX_HEAD_BYTES = 16 * 1024
EVENTS_PATH = "/api/v1/events"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
# What the media listener serves; the admin listener only says where.
VIEWER_PATH = re.compile(r"/hls/.+|/ts/.+|/guide\.xml|/channels\.m3u|/api/v1/relay/[^/]+/(?:playlist\.m3u8|stream\.ts|segments/.+|hls/.+)")
_log = get("api.admin")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,253}))(?::\d{1,5})?")


def host_of(header: str) -> str | None:
    """The host of a Host header in lower case, without port, brackets and final dot; None when it is not one."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    return _plain_host(match[1] or match[2])


class Gate:
    """Lets through who knows the token and came by an allowed name; puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, *, token: str, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._logins = Logins()
        self._hosts = LOOPBACK_NAMES | {_plain_host(host.strip("[]")) for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        problem = self._head_problem(scope, headers) or self._host_problem(scope, headers) or self._token_problem(scope, headers)
        if problem is not None:
            await problem_response(problem)(scope, receive, send)
            return
        if scope["method"] == "HEAD" and scope["path"] != EVENTS_PATH:
            # The server leaves the body out by the method it read itself (RFC 9110, 9.3.2).
            scope = {**scope, "method": "GET"}

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_secured)

    def _head_problem(self, scope: Scope, headers: Headers) -> Problem | None:
        size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(name) + len(value) + 4 for name, value in headers.raw)
        if size <= MAX_HEAD_BYTES:
            return None
        return Problem(431, f"The request line and headers are larger than {MAX_HEAD_BYTES} bytes.", headers={"Connection": "close"})

    def _host_problem(self, scope: Scope, headers: Headers) -> Problem | None:
        given = headers.getlist("host")
        host = host_of(given[0]) if len(given) == 1 else None
        if host is None:
            return Problem(400, "The request needs one Host header, with a name or address and perhaps a port.")
        # The very address that the connection came in at is no name which somebody else could point here.
        if host in self._hosts or (scope.get("server") and host == _plain_host(scope["server"][0])):
            return None
        return Problem(421, f"This listener does not serve {host!r}. Use the address it listens on, or add the name to its allowed hosts.")

    def _token_problem(self, scope: Scope, headers: Headers) -> Problem | None:
        if scope["path"] in HEALTH_PATHS or VIEWER_PATH.fullmatch(scope["path"]):
            return None
        given = headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() == "bearer" and token.strip():
            address = scope["client"][0] if scope.get("client") else ""
            if wait_s := self._logins.wait_s(address):
                detail = f"Too many wrong tokens came from your address. Try again in {wait_s} s."
                return Problem(429, detail, headers={"Retry-After": str(wait_s)})
            if hmac.compare_digest(token.strip().encode("latin-1"), self._token):
                return None
            if self._logins.failed(address):
                _log.warning("logins_limited", address=address)
        detail = "Send `Authorization: Bearer <token>` with the token of <state_dir>/admin.token."
        return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="channeld"'})


def _plain_host(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".")
    # A listener on [::] sees who came by IPv4 as ::ffff:a.b.c.d.
    return str(getattr(address, "ipv4_mapped", None) or address)
