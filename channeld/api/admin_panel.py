"""What the dashboard shows besides the channels themselves: figures for its graphs, and the settings.

Rule: as all routes, these only translate between HTTP and Control. Used by the admin event loop.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.config import JsonDict
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_models import ConfigErrorModel
from channeld.api.admin_paths import ChannelId
from channeld.api.control import Control
from channeld.api.problems import json_response


class SampleModel(BaseModel):
    """One step; null where nobody knows. `lateness_ms`: the 99th percentile of the host's releases; `ahead_s`: what lies ready in memory

    behind the frame on air; `behind_slices`: how far the slowest push is behind the bus; `manifest_age_s`: of the oldest manifest.
    """

    at: str
    lateness_ms: float | None
    ahead_s: float | None
    behind_slices: int | None
    bitrate_kbps: float | None
    manifest_age_s: float | None


_SAMPLE: JsonDict = {
    "at": "2026-11-21T10:00:05.000Z",
    "lateness_ms": 1.2,
    "ahead_s": 8.4,
    "behind_slices": 1,
    "bitrate_kbps": 3184.5,
    "manifest_age_s": 2.1,
}


class ReadingsModel(BaseModel):
    """The last ten minutes, oldest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"step_s": 5.0, "samples": [_SAMPLE]}})
    step_s: float
    samples: list[SampleModel]


class SettingModel(BaseModel):
    """One key. `value` is without secrets; `line` is null where the default counts."""

    key: str
    value: str | None
    line: int | None


class SettingsModel(BaseModel):
    """The configuration in force. `error`: why the newest file is not in use; `needs_restart`: keys that keep old values until then."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "path": "/etc/channeld/channeld.yaml",
                "error": None,
                "needs_restart": [],
                "settings": [{"key": "admin.listen", "value": "127.0.0.1:8080", "line": 4}, {"key": "hosts", "value": "1", "line": None}],
            }
        }
    )
    path: str
    error: ConfigErrorModel | None
    needs_restart: list[str]
    settings: list[SettingModel]


def panel_routes(control: Control, calls: Calls) -> APIRouter:
    """GET /api/v1/channels/{channel}/readings and GET /api/v1/settings."""
    router = APIRouter(tags=["watching"])

    @router.get(
        "/api/v1/channels/{channel}/readings",
        response_model=None,
        responses=answers(200, 404, 422, model=ReadingsModel),
        summary="Figures of the last ten minutes",
    )
    async def readings(
        channel: ChannelId,
        since: Annotated[AwareDatetime | None, Query(description="Only those after this moment: the `at` of the last one read")] = None,
    ) -> Response:
        return json_response(await calls.run(control.readings, channel, _moment_s(since)))

    @router.get("/api/v1/settings", response_model=None, responses=answers(200, model=SettingsModel), summary="The configuration in force")
    async def settings() -> Response:
        return json_response(await calls.run(control.settings))

    return router


def _moment_s(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0
