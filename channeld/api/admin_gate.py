"""What every request passes before a route sees it: size of its head, its Host, who asks, how often.

Rule: closed unless listed as open (admin_roles); this machine is trusted no more than any other. A web page that makes its own name point
here (DNS rebinding) is stopped by the Host list, also on 127.0.0.1; one that asks with somebody's cookie, by Origin and CSRF token.
ASGI middleware; used by the admin event loop.
"""

import asyncio
import ipaddress
import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from channeld.access.accounts import Accounts
from channeld.access.limits import Requests
from channeld.access.roles import Identity
from channeld.api.admin_logins import Logins
from channeld.api.admin_roles import HEALTH_PATHS, SESSION_PATH, is_open
from channeld.api.admin_sessions import cookie_secret, is_from_elsewhere, session_problem
from channeld.api.problems import SECURITY_HEADERS, Problem, problem_response
from channeld.telemetry.log import get

MAX_HEAD_BYTES = 16 * 1024
EVENTS_PATH = "/api/v1/events"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_log = get("api.admin")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,253}))(?::\d{1,5})?")


def host_of(header: str) -> str | None:
    """The host of a Host header in lower case, without port, brackets and final dot; None when it is not one."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    return _plain_host(match[1] or match[2])


class Gate:
    """Lets through who is known and came by an allowed name; puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, *, accounts: Accounts, logins: Logins, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._accounts, self._logins = accounts, logins
        self._requests = Requests()
        self._hosts = LOOPBACK_NAMES | {_plain_host(host.strip("[]")) for host in allowed_hosts}
        self._saving: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            identity = self._admit(scope, Headers(scope=scope))
        except Problem as problem:
            await problem_response(problem)(scope, receive, send)
            return
        state = {**scope.get("state", {}), "identity": identity}
        is_head = scope["method"] == "HEAD" and scope["path"] != EVENTS_PATH
        # The server leaves the body out by the method it read itself (RFC 9110, 9.3.2).
        inner = {**scope, "state": state, "method": "GET" if is_head else scope["method"]}
        self._save_if_due()
        await self._app(inner, receive, _Answer(send, self._accounts, identity, scope))

    def _admit(self, scope: Scope, headers: Headers) -> Identity | None:
        """Who asks; None where nobody needs to be known. Raises Problem."""
        _check_head(scope, headers)
        self._check_host(scope, headers)
        address = scope["client"][0] if scope.get("client") else ""
        if is_open(scope["method"], scope["path"]):
            if scope["path"] not in HEALTH_PATHS:
                self._count(address)
            if scope["path"] == SESSION_PATH and is_from_elsewhere(headers):
                raise Problem(403, "Nobody signs in from a page of another site.", title="Not allowed")
            return None
        try:
            identity = self._identify(scope, headers, address)
        except Problem:
            self._count(address)
            raise
        self._count(f"{identity.name} {address}")
        return identity

    def _identify(self, scope: Scope, headers: Headers, address: str) -> Identity:
        """By the token in the header, else by the cookie. Raises Problem 401, 403, 429."""
        given = headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() == "bearer" and token.strip():
            return self._by_token(token.strip(), address)
        identity = self._accounts.by_session(secret) if not given and (secret := cookie_secret(headers)) else None
        if identity is not None:
            problem = session_problem(headers, identity, is_safe=scope["method"] in SAFE_METHODS)
            if problem is not None:
                raise problem
            return identity
        detail = "Send `Authorization: Bearer <token>` with the token of <state_dir>/admin.token or another one, or sign in."
        raise Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="channeld"'})

    def _by_token(self, token: str, address: str) -> Identity:
        identity = self._accounts.by_token(token)
        if identity is None:
            self._logins.check(address)
            if self._logins.failed(address):
                _log.warning("logins_limited", address=address)
            detail = "This token is unknown, was revoked, or its time is over."
            raise Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="channeld", error="invalid_token"'})
        self._logins.admitted(address, identity.token_digest)
        return identity

    def _check_host(self, scope: Scope, headers: Headers) -> None:
        given = headers.getlist("host")
        host = host_of(given[0]) if len(given) == 1 else None
        if host is None:
            raise Problem(400, "The request needs one Host header, with a name or address and perhaps a port.")
        # The very address that the connection came in at is no name which somebody else could point here.
        if host in self._hosts or (scope.get("server") and host == _plain_host(scope["server"][0])):
            return
        raise Problem(421, f"This listener does not serve {host!r}. Use the address it listens on, or add the name to its allowed hosts.")

    def _count(self, client: str) -> None:
        if wait_s := self._requests.take(client):
            raise Problem(429, f"Too many requests at once. Try again in {wait_s} s.", headers={"Retry-After": str(wait_s)})

    def _save_if_due(self) -> None:
        """Off the loop, now and then: who was here last."""
        if self._accounts.is_due and (self._saving is None or self._saving.done()):
            self._saving = asyncio.get_running_loop().run_in_executor(None, self._accounts.save)


class _Answer:
    """Sends an answer with the security headers, and ends it when who asked may not have it any more: a stream lasts for days."""

    def __init__(self, send: Send, accounts: Accounts, identity: Identity | None, scope: Scope) -> None:
        self._send, self._accounts, self._identity, self._scope = send, accounts, identity, scope
        self._is_over = False

    async def __call__(self, message: Message) -> None:
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            answer = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                answer.setdefault(name, value)
            self._tell(message["status"])
        elif message.get("more_body") and self._identity is not None and not self._accounts.stands(self._identity):
            self._is_over = True
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def _tell(self, status: int) -> None:
        """Who changed something, or tried to."""
        if self._identity is not None and self._scope["method"] not in SAFE_METHODS:
            by, method, path = self._identity.name, self._scope["method"], self._scope["path"]
            _log.info("request_answered", by=by, method=method, path=path, status=status)


def _check_head(scope: Scope, headers: Headers) -> None:
    size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(name) + len(value) + 4 for name, value in headers.raw)
    if size > MAX_HEAD_BYTES:
        raise Problem(431, f"The request line and headers are larger than {MAX_HEAD_BYTES} bytes.", headers={"Connection": "close"})


def _plain_host(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".")
    # A listener on [::] sees who came by IPv4 as ::ffff:a.b.c.d.
    return str(getattr(address, "ipv4_mapped", None) or address)
