"""What each route of the admin interface needs: the one place where that is said.

Rule: a route that is not in this table needs an admin, and a test names it. HEAD needs what GET needs. Whoever is open here is asked
for nothing; all else wants a token or a session before a route is even looked for (admin_gate). Read by the admin event loop.
"""

import re
from collections.abc import Mapping

from starlette.requests import Request

from channeld.access.roles import Identity, Role
from channeld.api.problems import Problem

_CHANNEL = "/api/v1/channels/{channel}"
_ENTRY = _CHANNEL + "/playlist/entries/{entry}"
_UPLOAD = _CHANNEL + "/uploads/{upload}"
_PROFILES = "/api/v1/relay/profiles"
_PROFILE = _PROFILES + "/{profile_id}"
_PROXIES = "/api/v1/proxies"
_PROXY = _PROXIES + "/{proxy_id}"
_ASSIGNED = _PROXY + "/channels/{channel_id}/relay"
_RELAY = "/api/v1/relay/{config_id}"
SESSION_PATH = "/api/v1/session"
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
# What the media listener serves; the admin listener only says where.
VIEWER_PATH = re.compile(
    r"/(?:hls|dash|ts)/.+|/guide\.xml|/channels\.m3u|/api/v1/relay/[^/]+/(?:playlist\.m3u8|stream\.ts|segments/.+|hls/.+)"
)
# The page and its parts hold nothing that is secret: what they show is asked from the routes below.
_PAGE_PATH = re.compile(r"/|/relay|/favicon\.ico|/assets/.+")

ROLE_OF: Mapping[tuple[str, str], Role | None] = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("POST", SESSION_PATH): None,
    ("GET", SESSION_PATH): Role.VIEWER,
    ("DELETE", SESSION_PATH): Role.VIEWER,
    ("GET", "/metrics"): Role.VIEWER,
    ("GET", "/api/v1/channels"): Role.VIEWER,
    ("GET", _CHANNEL): Role.VIEWER,
    ("GET", _CHANNEL + "/playlist"): Role.VIEWER,
    ("GET", _CHANNEL + "/clients"): Role.VIEWER,
    ("GET", _CHANNEL + "/clients/history"): Role.VIEWER,
    ("GET", _CHANNEL + "/readings"): Role.VIEWER,
    ("GET", _CHANNEL + "/thumbnail.jpg"): Role.VIEWER,
    ("GET", "/api/v1/events"): Role.VIEWER,
    ("GET", "/api/v1/events/recent"): Role.VIEWER,
    ("GET", "/api/v1/alerts"): Role.VIEWER,
    ("GET", "/api/v1/as-run"): Role.VIEWER,
    ("GET", "/api/v1/as-run/totals"): Role.VIEWER,
    ("GET", "/api/v1/clips"): Role.VIEWER,
    ("GET", "/api/v1/library"): Role.VIEWER,
    ("GET", "/api/v1/settings"): Role.VIEWER,
    ("GET", "/api/v1/status"): Role.VIEWER,
    ("PUT", _CHANNEL + "/playlist"): Role.OPERATOR,
    ("POST", _CHANNEL + "/playlist/entries"): Role.OPERATOR,
    ("PATCH", _ENTRY): Role.OPERATOR,
    ("DELETE", _ENTRY): Role.OPERATOR,
    ("POST", _ENTRY + "/move"): Role.OPERATOR,
    ("POST", _CHANNEL + "/play-next"): Role.OPERATOR,
    **{("POST", f"{_CHANNEL}/{action}"): Role.OPERATOR for action in ("start", "stop", "restart", "skip", "reload")},
    **{(method, path): Role.OPERATOR for method in ("PUT", "DELETE") for path in (_CHANNEL + "/override", "/api/v1/override")},
    ("OPTIONS", _CHANNEL + "/uploads"): Role.OPERATOR,
    ("GET", _CHANNEL + "/uploads"): Role.OPERATOR,
    ("POST", _CHANNEL + "/uploads"): Role.OPERATOR,
    ("HEAD", _UPLOAD): Role.OPERATOR,
    ("GET", _UPLOAD): Role.OPERATOR,
    ("PATCH", _UPLOAD): Role.OPERATOR,
    ("DELETE", _UPLOAD): Role.OPERATOR,
    ("GET", _PROFILES): Role.VIEWER,
    ("POST", _PROFILES): Role.ADMIN,
    ("POST", _PROFILES + "/validate"): Role.ADMIN,
    ("GET", _PROFILE): Role.VIEWER,
    ("PUT", _PROFILE): Role.ADMIN,
    ("DELETE", _PROFILE): Role.ADMIN,
    ("POST", _PROFILE + "/copy"): Role.ADMIN,
    ("GET", _PROXIES): Role.VIEWER,
    ("POST", _PROXIES): Role.ADMIN,
    ("GET", _PROXY): Role.VIEWER,
    ("PUT", _PROXY): Role.ADMIN,
    ("DELETE", _PROXY): Role.ADMIN,
    ("POST", _PROXY + "/refresh"): Role.ADMIN,
    ("GET", _PROXY + "/channels"): Role.VIEWER,
    ("GET", _PROXY + "/playlist.m3u"): Role.VIEWER,
    ("GET", _ASSIGNED): Role.VIEWER,
    ("POST", _ASSIGNED): Role.ADMIN,
    ("DELETE", _ASSIGNED): Role.ADMIN,
    ("GET", _RELAY + "/status"): Role.VIEWER,
    ("POST", _RELAY + "/start"): Role.OPERATOR,
    ("POST", _RELAY + "/stop"): Role.OPERATOR,
    ("GET", "/api/v1/relay/metrics"): Role.VIEWER,
    ("GET", "/api/v1/relay/health"): Role.VIEWER,
    ("GET", "/api/v1/relay/health/{config_id}"): Role.VIEWER,
    ("POST", "/api/v1/reload"): Role.ADMIN,
    ("POST", "/api/v1/restart"): Role.ADMIN,
    ("GET", "/api/v1/tokens"): Role.ADMIN,
    ("POST", "/api/v1/tokens"): Role.ADMIN,
    ("DELETE", "/api/v1/tokens/{name}"): Role.ADMIN,
}


def is_open(method: str, path: str) -> bool:
    """Whether anybody may ask for it."""
    if path == SESSION_PATH:
        return method == "POST"
    return path in HEALTH_PATHS or VIEWER_PATH.fullmatch(path) is not None or _PAGE_PATH.fullmatch(path) is not None


def role_of(method: str, template: str) -> Role | None:
    """What a route needs; `template` is its path as the OpenAPI document has it. None: nothing."""
    return ROLE_OF.get((method, template), Role.ADMIN)


async def permit(request: Request) -> None:
    """A dependency of every route. Raises Problem 403 that says which role is needed."""
    if is_open(request.method, request.scope["path"]):
        return
    needed = role_of(request.method, getattr(request.scope.get("route"), "path", "")) or Role.VIEWER
    asking = who_asks(request)
    if not asking.role.includes(needed):
        detail = f"This needs the role {needed.value}; the token {asking.name!r} is of a {asking.role.value}."
        raise Problem(403, detail, title="Not allowed", needed=needed.value, role=asking.role.value)


def who_asks(request: Request) -> Identity:
    """Whom the gate let in."""
    identity = request.scope["state"].get("identity")
    if not isinstance(identity, Identity):
        raise Problem(401, "Sign in first.", headers={"WWW-Authenticate": 'Bearer realm="channeld"'})
    return identity
