"""The routes of the named tokens.

Rule: a token is told once, in the answer to who made it; no other answer, log or file holds it. Used by the admin event loop.
"""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from channeld.access.accounts import Accounts, NameTaken, TooManyTokens
from channeld.access.book import BookError
from channeld.access.roles import Role
from channeld.access.tokens import Token
from channeld.api.admin_body import read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of
from channeld.api.admin_roles import who_asks
from channeld.api.problems import Problem, json_response
from channeld.base.clock import iso_utc

TOKENS_PATH = "/api/v1/tokens"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
RoleName = Literal["viewer", "operator", "admin"]
_EXAMPLE: dict[str, Any] = {"name": "wall", "role": "viewer", "expires_at": "2027-01-01T00:00:00Z"}
_MADE: dict[str, Any] = {**_EXAMPLE, "created_at": "2026-11-21T10:00:00.000Z", "token": "chd_…"}


class NewTokenModel(BaseModel):
    """A token that is wanted. `expires_at`: ISO 8601, UTC if no zone is given; null or left out: never."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _EXAMPLE})
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    role: RoleName
    expires_at: Annotated[str, Field(max_length=64)] | None = None


class TokenModel(BaseModel):
    """A token without itself. `sessions`: of people who signed in with it."""

    name: str
    role: RoleName
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None
    is_expired: bool
    sessions: int


class MadeTokenModel(BaseModel):
    """A token, told this once."""

    model_config = ConfigDict(json_schema_extra={"example": _MADE})
    name: str
    role: RoleName
    created_at: str | None
    expires_at: str | None
    token: str


class RevokedModel(BaseModel):
    """What was ended."""

    name: str
    sessions_ended: int


def token_routes(accounts: Accounts, calls: Calls) -> APIRouter:
    """GET and POST of /api/v1/tokens, DELETE of one."""
    router = APIRouter(tags=["access"])

    @router.get(TOKENS_PATH, response_model=None, responses=answers(200, model=list[TokenModel]), summary="All tokens")
    async def tokens() -> Response:
        return json_response([_described(row) for row in await calls.run(accounts.described)])

    _add_making(router, accounts, calls)
    _add_revoking(router, accounts, calls)
    return router


def _add_making(router: APIRouter, accounts: Accounts, calls: Calls) -> None:
    @router.post(
        TOKENS_PATH,
        response_model=None,
        status_code=201,
        responses=answers(201, 408, 409, 413, 415, 422, 507, model=MadeTokenModel),
        openapi_extra=body_of(model=NewTokenModel, application_json=_EXAMPLE),
        summary="Make a token",
    )
    async def make_token(request: Request) -> Response:
        wanted = await read_json(request, NewTokenModel)
        expires_at_s = _moment(wanted.expires_at)
        try:
            secret, token = await calls.run(accounts.add, wanted.name, Role(wanted.role), expires_at_s, by=who_asks(request).name)
        except NameTaken:
            raise Problem(409, f"There is a token {wanted.name!r} already. Revoke it first, or choose another name.") from None
        except TooManyTokens as error:
            raise Problem(409, f"{error}. Revoke one first.".capitalize()) from None
        except BookError as error:
            raise Problem(507, f"{error}. No token was made.") from None
        return json_response(_made(token) | {"token": secret}, 201, {"Location": f"{TOKENS_PATH}/{token.name}"})


def _add_revoking(router: APIRouter, accounts: Accounts, calls: Calls) -> None:
    @router.delete(
        TOKENS_PATH + "/{name}",
        response_model=None,
        responses=answers(200, 404, 409, 422, 507, model=RevokedModel),
        summary="Revoke a token",
    )
    async def revoke_token(request: Request, name: Annotated[str, Path(pattern=NAME_PATTERN, examples=["wall"])]) -> Response:
        if name == "admin":
            raise Problem(409, "This is the token of <state_dir>/admin.token. Remove the file and restart: a new one is made.")
        try:
            ended = await calls.run(accounts.revoke, name, by=who_asks(request).name)
        except BookError as error:
            raise Problem(507, f"{error}. The token is revoked until the daemon restarts; make room and revoke it again then.") from None
        if ended is None:
            raise Problem(404, f"There is no token {name!r}. GET {TOKENS_PATH} lists all.", title="Unknown token")
        return json_response({"name": name, "sessions_ended": ended})


def _moment(text: str | None) -> float | None:
    """Seconds since 1970. Raises Problem 422 for what is no moment to come."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        moment_s = (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
        if not time.time() < moment_s < datetime(9999, 1, 1, tzinfo=UTC).timestamp():
            raise ValueError("it is over")
    except (ValueError, OverflowError):
        fault = {"at": "expires_at", "message": "must be a moment to come, such as 2027-01-01T00:00:00Z"}
        raise Problem(422, f"expires_at: {fault['message']}", title="Invalid request", errors=[fault]) from None
    return moment_s


def _made(token: Token) -> dict[str, Any]:
    moments = {"created_at": _shown(token.created_at_s), "expires_at": _shown(token.expires_at_s)}
    return {"name": token.name, "role": token.role.value, **moments}


def _described(row: dict[str, Any]) -> dict[str, Any]:
    moments = {"created_at": "created_at_s", "expires_at": "expires_at_s", "last_used_at": "used_at_s"}
    return {name: row[name] for name in ("name", "role", "is_expired", "sessions")} | {
        name: _shown(row[kept]) for name, kept in moments.items()
    }


def _shown(moment_s: float | None) -> str | None:
    return iso_utc(moment_s) if moment_s is not None else None
