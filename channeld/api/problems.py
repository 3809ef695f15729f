"""Problem documents: how every error of the admin interface is told (RFC 9457).

Rule: each error says its status, what is wrong and what to do, never a traceback. One table leads from an error of the
daemon's to its status. No state; used by the admin event loop.
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from channeld.api.control import ConfigRefused, Invalid, Refused, Stale, UnknownChannel
from channeld.api.relay_book import told
from channeld.base.errors import ChannelError, StoreError
from channeld.relay.refusal import ProfileRefused
from channeld.store.relay_errors import AlreadyTaken, EditRefused, ReadOnlyRecord, StillUsed, UnknownRecord
from channeld.telemetry.log import get

MEDIA_TYPE = "application/problem+json"
SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = get("api.admin")


class Problem(ChannelError):
    """An answer that is an error. `facts` become further members of the document."""

    def __init__(
        self, status: int, detail: str, *, title: str | None = None, headers: Mapping[str, str] | None = None, **facts: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.title = status, detail, title
        self.headers, self.facts = dict(headers or {}), facts


def json_bytes(value: Any) -> bytes:
    """JSON as UTF-8; a file name that is no UTF-8 (lone surrogates) is written with \\u escapes."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(json_bytes(value), status, dict(headers or {}), "application/json")


def problem_response(problem: Problem) -> Response:
    """The problem document. Type is about:blank: status and title say what kind it is (RFC 9457, 4.2.1)."""
    document = {
        **problem.facts,
        "type": "about:blank",
        "title": problem.title or _phrase(problem.status),
        "status": problem.status,
        "detail": problem.detail,
    }
    return Response(json_bytes(document), problem.status, {**SECURITY_HEADERS, **problem.headers}, MEDIA_TYPE)


def as_problem(error: Exception) -> Problem:
    """What an error means for whoever asked; one that nobody foresaw is a 500 without its text."""
    if isinstance(error, Problem):
        return error
    for kind, translate in _TRANSLATIONS.items():
        if isinstance(error, kind):
            return translate(error)
    return Problem(500, "The daemon failed at this request; its log says where.")


def install(app: FastAPI) -> None:
    """Every error of the application becomes a problem document."""

    async def answer(_request: Request, error: Exception) -> Response:
        return problem_response(as_problem(error))

    async def answer_and_log(request: Request, error: Exception) -> Response:
        # Starlette raises an unforeseen error again after this answer; the server then logs its traceback.
        _log.error("request_failed", method=request.method, path=request.url.path, error=type(error).__name__)
        answer = problem_response(as_problem(error))
        # The server closes the connection behind such an error: a client that is not told would send its next request into the reset.
        answer.headers["Connection"] = "close"
        return answer

    kinds: tuple[type[Exception], ...] = (Problem, *_TRANSLATIONS)
    for kind in kinds:
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(Exception, answer_and_log)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _from_refusal(error: Any) -> Problem:
    status = error.status if 400 <= error.status <= 599 else 500
    return Problem(status, error.detail, title=error.title)


def _from_stale(error: Any) -> Problem:
    detail = f"The playlist is at revision {error.revision} by now. Read it again, make the change there, and send that with its ETag."
    return Problem(412, detail, headers={"ETag": f'"{error.tag}"'}, revision=error.revision)


def _from_invalid(error: Any) -> Problem:
    return Problem(422, error.message, title="Invalid playlist", line=error.line)


def _from_config(error: Any) -> Problem:
    detail = f"{error}. The running configuration stays."
    return Problem(422, detail, title="Invalid configuration", errors=error.faults)


def _from_validation(error: Any) -> Problem:
    faults = [{"at": ".".join(map(str, fault["loc"])), "message": fault["msg"]} for fault in error.errors()[:20]]
    for fault in faults:
        if fault["at"] in _IDS:
            thing, where = _IDS[fault["at"]]
            return Problem(404, f"No {thing} can have this id. {where}", title=f"Unknown {thing}")
    return Problem(422, "; ".join(f"{fault['at']}: {fault['message']}" for fault in faults), title="Invalid request", errors=faults)


_IDS = {
    "path.channel": ("channel", "GET /api/v1/channels lists all."),
    "path.entry": ("entry", "GET the playlist as JSON for its entries."),
    "path.profile_id": ("profile", "GET /api/v1/relay/profiles lists all."),
    "path.config_id": ("relay", "GET /api/v1/relay/metrics lists all."),
    "path.proxy_id": ("proxy", "GET /api/v1/proxies lists all."),
    "path.channel_id": ("upstream channel", "GET /api/v1/proxies/{proxy_id}/channels lists them."),
}


def _from_edit(error: Any) -> Problem:
    """An edit of what the store keeps: which field, and whether it is that it is not there, stands in the way, or is wrong."""
    kinds = {UnknownRecord: (404, "Unknown"), AlreadyTaken: (409, "Taken"), StillUsed: (409, "In use"), ReadOnlyRecord: (409, "Read-only")}
    status, title = next((answer for kind, answer in kinds.items() if isinstance(error, kind)), (422, "Invalid request"))
    return Problem(status, str(error), title=title, errors=[{"at": error.field, "message": error.message}])


def _from_profile(error: Any) -> Problem:
    refusals = [told(each) for each in error.refusals]
    more = f"; and {len(refusals) - 5} more" if len(refusals) > 5 else ""
    return Problem(422, "; ".join(each["message"] for each in refusals[:5]) + more, title="Invalid profile", errors=refusals)


def _from_http(error: Any) -> Problem:
    details = {
        404: "Nothing is here. /api/openapi.json lists all routes.",
        405: f"Not with this method; {(error.headers or {}).get('Allow', 'another')} is.",
    }
    return Problem(error.status_code, details.get(error.status_code, str(error.detail)), headers=error.headers)


_TRANSLATIONS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    UnknownChannel: lambda error: Problem(
        404, f"There is no channel {error.channel!r}. GET /api/v1/channels lists all.", title="Unknown channel"
    ),
    Refused: _from_refusal,
    Stale: _from_stale,
    Invalid: _from_invalid,
    ConfigRefused: _from_config,
    EditRefused: _from_edit,
    ProfileRefused: _from_profile,
    StoreError: lambda error: Problem(503, str(error), title="Not now"),
    RequestValidationError: _from_validation,
    HTTPException: _from_http,
}
