"""Signing in: a token becomes a cookie, and what a request with that cookie has to show besides.

Rule: no script reads the cookie, no other site sends it (SameSite), and a request that changes something names a second secret that a
page of another origin cannot know (RFC 6265; the Fetch standard, Origin). Used by the admin event loop.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.responses import Response

from channeld.access.accounts import Accounts
from channeld.access.roles import Identity
from channeld.access.secret import is_same
from channeld.access.sessions import ABSOLUTE_S
from channeld.api.admin_body import read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of
from channeld.api.admin_logins import Logins
from channeld.api.admin_roles import SESSION_PATH, who_asks
from channeld.api.problems import Problem, json_response
from channeld.base.clock import iso_utc

COOKIE = "channeld_session"
CSRF_HEADER = "X-CSRF-Token"
_MAX_SECRET_CHARS = 128
_MAX_SIGN_IN_BYTES = 4096  # from anybody


class SignInModel(BaseModel):
    """The token of who signs in."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": {"token": "chd_…"}})
    token: Annotated[str, Field(min_length=1, max_length=512)]


class SessionModel(BaseModel):
    """Who asks. `csrf` goes into X-CSRF-Token with all that is no GET; `media_token` opens the media listener where that needs one.

    Both are null for a program with its token. `expires_at`: unless it is used until then; null is never.
    """

    name: str
    role: Literal["viewer", "operator", "admin"]
    csrf: str | None
    media_token: str | None
    expires_at: str | None


def session_routes(accounts: Accounts, calls: Calls, logins: Logins) -> APIRouter:
    """GET, POST and DELETE of /api/v1/session."""
    router = APIRouter(tags=["access"])

    @router.get(SESSION_PATH, response_model=None, responses=answers(200, model=SessionModel), summary="Who am I?")
    async def session(request: Request) -> Response:
        return json_response(_described(who_asks(request)))

    @router.delete(SESSION_PATH, response_model=None, status_code=204, responses=answers(204), summary="Sign out")
    async def sign_out(request: Request) -> Response:
        await calls.run(accounts.sign_out, who_asks(request))
        return Response(status_code=204, headers={"Set-Cookie": _cookie("", 0, request)})

    _add_sign_in(router, accounts, calls, logins)
    return router


def _add_sign_in(router: APIRouter, accounts: Accounts, calls: Calls, logins: Logins) -> None:
    @router.post(
        SESSION_PATH,
        response_model=None,
        responses=answers(200, 401, 403, 408, 413, 415, 422, 429, model=SessionModel, guarded=False),
        openapi_extra=body_of(model=SignInModel, application_json={"token": "chd_…"}),
        summary="Sign in",
    )
    async def sign_in(request: Request) -> Response:
        wanted = await read_json(request, SignInModel, max_bytes=_MAX_SIGN_IN_BYTES)
        address = request.client.host if request.client else ""
        logins.check(address)
        opened = await calls.run(accounts.sign_in, wanted.token.strip())
        if opened is None:
            logins.failed(address)
            raise Problem(401, "This token is unknown, was revoked, or its time is over.", headers={"WWW-Authenticate": "Bearer"})
        secret, identity = opened
        return json_response(_described(identity), headers={"Set-Cookie": _cookie(secret, int(ABSOLUTE_S), request)})


def cookie_secret(headers: Headers) -> str | None:
    """What the session cookie holds; None without one, or with two of which one is somebody else's."""
    found = [
        value.strip()
        for header in headers.getlist("cookie")
        for name, _, value in (pair.partition("=") for pair in header.split(";"))
        if name.strip() == COOKIE
    ]
    return found[0] if len(found) == 1 and 0 < len(found[0]) <= _MAX_SECRET_CHARS else None


def is_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin asks. A port is another origin, though cookies do not know ports."""
    origins = headers.getlist("origin")
    if not origins:
        return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    scheme, _, place = origins[0].lower().partition("://")
    return len(origins) > 1 or scheme not in ("http", "https") or place != headers.get("host", "").lower()


def session_problem(headers: Headers, identity: Identity, *, is_safe: bool) -> Problem | None:
    """Why a request with a cookie is refused, if so."""
    if is_from_elsewhere(headers):
        return Problem(403, "A page of another site asks with your session. Only the page of this address may.", title="Not allowed")
    if not is_safe and not is_same(headers.get(CSRF_HEADER, ""), identity.csrf or "-"):
        return Problem(403, f"Send {CSRF_HEADER} with the `csrf` of GET {SESSION_PATH}.", title="Not allowed")
    return None


def page_headers(media_origins: Sequence[str]) -> dict[str, str]:
    """The headers of the page and its parts. `media_origins`: scheme, host and port of where previews come from."""
    media = "".join(f" {origin}" for origin in media_origins)
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "manifest-src": "'self'",
        "connect-src": f"'self'{media}",
        "media-src": f"'self' blob:{media}",
        "worker-src": "'self' blob:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


def _described(identity: Identity) -> dict[str, object]:
    return {
        "name": identity.name,
        "role": identity.role.value,
        "csrf": identity.csrf,
        "media_token": identity.media_token,
        "expires_at": iso_utc(identity.expires_at_s) if identity.expires_at_s is not None else None,
    }


def _cookie(secret: str, max_age_s: int, request: Request) -> str:
    """Set-Cookie. Behind a proxy with TLS the page's origin tells of it; the connection does not."""
    is_secure = request.url.scheme == "https" or request.headers.get("origin", "").lower().startswith("https://")
    return f"{COOKIE}={secret}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict" + ("; Secure" if is_secure else "")
