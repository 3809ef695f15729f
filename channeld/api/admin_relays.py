"""Relays over HTTP: which channels of a list are relayed, how they do, and starting and stopping them.

Rule: as all routes, these only translate; a relay is a channel, and what can be asked of a channel is not asked here again. Used by the
admin event loop.
"""

from typing import Any, Protocol

from fastapi import APIRouter, Request
from starlette.responses import Response

from channeld.api.admin_body import read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of
from channeld.api.admin_models import TriggerModel
from channeld.api.admin_paths import trigger_answer
from channeld.api.admin_relay_models import (
    ASSIGN_EXAMPLE,
    AssignModel,
    ConfigId,
    ProxyId,
    RelayHealthModel,
    RelayMetricsModel,
    RelayModel,
    RelaysHealthModel,
    RelayStatusModel,
    UpstreamId,
)
from channeld.api.control import Trigger
from channeld.api.problems import json_response
from channeld.api.relay_assign import AssignBook

RELAY_PATH = "/api/v1/relay"
ASSIGN_PATH = "/api/v1/proxies/{proxy_id}/channels/{channel_id}/relay"


class RelayRuns(Protocol):
    """What runs of relays; may block, any thread. Raises UnknownRecord where there is no such relay, StoreError."""

    def status(self, config_id: int) -> dict[str, Any]:
        """All of one."""
        ...

    def trigger(self, config_id: int, action: str) -> Trigger:
        """`start` or `stop` it. Raises Refused."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Figures of each, of all, and of the machine."""
        ...

    def health(self) -> dict[str, Any]:
        """Of all."""
        ...

    def health_of(self, config_id: int) -> dict[str, Any]:
        """Of one."""
        ...


def relay_routes(book: AssignBook, runs: RelayRuns, calls: Calls) -> APIRouter:
    """Assignments, and what runs."""
    router = APIRouter(tags=["relay"])
    _add_assignment(router, book, calls)
    _add_figures(router, runs, calls)
    _add_one(router, runs, calls)
    return router


def _add_assignment(router: APIRouter, book: AssignBook, calls: Calls) -> None:
    @router.get(
        ASSIGN_PATH, response_model=None, responses=answers(200, 404, model=RelayModel), summary="How an upstream channel is relayed"
    )
    async def one(proxy_id: ProxyId, channel_id: UpstreamId) -> Response:
        return json_response(await calls.run(book.one, proxy_id, channel_id))

    @router.post(
        ASSIGN_PATH,
        response_model=None,
        responses=answers(200, 201, 404, 408, 409, 413, 415, 422, model=RelayModel),
        openapi_extra=body_of(model=AssignModel, application_json=ASSIGN_EXAMPLE),
        summary="Relay an upstream channel, or relay it otherwise",
    )
    async def assign(request: Request, proxy_id: ProxyId, channel_id: UpstreamId) -> Response:
        wanted = await read_json(request, AssignModel)
        told, is_new = await calls.run(book.assign, proxy_id, channel_id, wanted.assignment())
        return json_response(told, 201 if is_new else 200)

    @router.delete(
        ASSIGN_PATH, response_model=None, status_code=204, responses=answers(204, 404), summary="Relay an upstream channel no more"
    )
    async def remove(proxy_id: ProxyId, channel_id: UpstreamId) -> Response:
        await calls.run(book.remove, proxy_id, channel_id)
        return Response(status_code=204)


def _add_figures(router: APIRouter, runs: RelayRuns, calls: Calls) -> None:
    @router.get(
        RELAY_PATH + "/metrics", response_model=None, responses=answers(200, model=RelayMetricsModel), summary="Figures of all relays"
    )
    async def metrics() -> Response:
        return json_response(await calls.run(runs.metrics))

    @router.get(
        RELAY_PATH + "/health", response_model=None, responses=answers(200, model=RelaysHealthModel), summary="Are all relays well?"
    )
    async def health() -> Response:
        return json_response(await calls.run(runs.health))

    @router.get(
        RELAY_PATH + "/health/{config_id}",
        response_model=None,
        responses=answers(200, 404, model=RelayHealthModel),
        summary="Is this relay well?",
    )
    async def health_of(config_id: ConfigId) -> Response:
        return json_response(await calls.run(runs.health_of, config_id))


def _add_one(router: APIRouter, runs: RelayRuns, calls: Calls) -> None:
    route = RELAY_PATH + "/{config_id}"

    @router.get(route + "/status", response_model=None, responses=answers(200, 404, model=RelayStatusModel), summary="How a relay does")
    async def status(config_id: ConfigId) -> Response:
        return json_response(await calls.run(runs.status, config_id))

    @router.post(
        route + "/start", response_model=None, responses=answers(200, 202, 404, 409, 422, model=TriggerModel), summary="Start a relay"
    )
    async def start(config_id: ConfigId) -> Response:
        return trigger_answer(await calls.run(runs.trigger, config_id, "start"))

    @router.post(route + "/stop", response_model=None, responses=answers(200, 202, 404, 409, model=TriggerModel), summary="Stop a relay")
    async def stop(config_id: ConfigId) -> Response:
        return trigger_answer(await calls.run(runs.trigger, config_id, "stop"))
