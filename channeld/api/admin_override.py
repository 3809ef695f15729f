"""The routes that put something in place of all that airs: a maintenance slate, an emergency text, an announcement.

Rule: on one channel or on all of them at once; what is ordered stays until its time is over or it is lifted. Used by the admin event loop.
"""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from channeld.api.admin_body import read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of
from channeld.api.admin_paths import ChannelId
from channeld.api.problems import json_response

MAX_SECONDS = 31_536_000
_EXAMPLE: dict[str, Any] = {"text": "Back at 14:00", "seconds": 3600}


class OrderModel(BaseModel):
    """What is to air: a `text` on a slate, or the file at `path`, again and again.

    `seconds`: how long; else until it is lifted. `once`: one time, and then what would air without it.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})
    text: Annotated[str | None, Field(max_length=80)] = None
    path: Annotated[str | None, Field(max_length=4096)] = None
    seconds: Annotated[float | None, Field(gt=0, le=MAX_SECONDS)] = None
    once: bool = False


class OverriddenModel(BaseModel):
    """The channels that it counts for."""

    model_config = ConfigDict(json_schema_extra={"example": {"channels": ["live1"]}})
    channels: list[str]


class Overrides(Protocol):
    """Who carries it out; may block, any thread."""

    def order(self, channel: str | None, *, text: str | None, path: str | None, seconds: float | None, once: bool) -> list[str]:
        """Raises UnknownChannel, Refused."""
        ...

    def lift(self, channel: str | None) -> list[str]:
        """Raises UnknownChannel, Refused."""
        ...


def override_routes(overrides: Overrides, calls: Calls) -> APIRouter:
    """Of one channel, and of all."""
    router = APIRouter(tags=["channels"])
    _add_of_one(router, overrides, calls)
    _add_of_all(router, overrides, calls)
    return router


def _add_of_one(router: APIRouter, overrides: Overrides, calls: Calls) -> None:
    route = "/api/v1/channels/{channel}/override"
    body = body_of(model=OrderModel, application_json=_EXAMPLE)

    @router.put(
        route,
        response_model=None,
        responses=answers(200, 404, 408, 413, 415, 422, 507, model=OverriddenModel),
        openapi_extra=body,
        summary="Air this in place of everything",
    )
    async def order(request: Request, channel: ChannelId) -> Response:
        wanted = await read_json(request, OrderModel)
        return json_response({"channels": await calls.run(overrides.order, channel, **wanted.model_dump())})

    @router.delete(route, response_model=None, responses=answers(200, 404, 422, 507, model=OverriddenModel), summary="Air what would air")
    async def lift(channel: ChannelId) -> Response:
        return json_response({"channels": await calls.run(overrides.lift, channel)})


def _add_of_all(router: APIRouter, overrides: Overrides, calls: Calls) -> None:
    route = "/api/v1/override"
    body = body_of(model=OrderModel, application_json=_EXAMPLE)

    @router.put(
        route,
        response_model=None,
        responses=answers(200, 408, 413, 415, 422, 507, model=OverriddenModel),
        openapi_extra=body,
        summary="Air this on all channels in place of everything",
    )
    async def order_all(request: Request) -> Response:
        wanted = await read_json(request, OrderModel)
        return json_response({"channels": await calls.run(overrides.order, None, **wanted.model_dump())})

    @router.delete(
        route, response_model=None, responses=answers(200, 507, model=OverriddenModel), summary="Air on all channels what would air"
    )
    async def lift_all() -> Response:
        return json_response({"channels": await calls.run(overrides.lift, None)})
