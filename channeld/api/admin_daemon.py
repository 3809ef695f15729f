"""The routes of the daemon itself: its configuration and its troubles.

Rule: as all routes, these only translate between HTTP and Control. Used by the admin event loop.
"""

from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_models import ReloadModel, RestartModel, StatusModel
from channeld.api.control import Control
from channeld.api.problems import json_response

Part = Literal["control", "hosts"]


def daemon_routes(control: Control, calls: Calls) -> APIRouter:
    """POST /api/v1/reload, POST /api/v1/restart and GET /api/v1/status."""
    router = APIRouter(tags=["daemon"])

    @router.post(
        "/api/v1/reload", response_model=None, responses=answers(202, 422, model=ReloadModel), summary="Take the configuration file anew"
    )
    async def reload_configuration() -> Response:
        return json_response(await calls.run(control.reload), 202)

    @router.post(
        "/api/v1/restart",
        response_model=None,
        responses=answers(202, 422, model=RestartModel),
        summary="Go over to other processes",
    )
    async def restart(part: Part = "control") -> Response:
        return json_response(await calls.run(lambda: control.restart(part)), 202)

    @router.get("/api/v1/status", response_model=None, responses=answers(200, model=StatusModel), summary="The daemon, and its alarms")
    async def status() -> Response:
        return json_response(await calls.run(control.status))

    return router
