"""How many watched a channel over time, over HTTP: by minute or hour, as JSON or CSV.

Rule: as all routes, this only translates between HTTP and the desk; numbers only, so that every role may read them. Used by the admin
event loop.
"""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_paths import ChannelId
from channeld.api.problems import json_response
from channeld.channel.as_run_text import csv_text

MAX_ROWS = 10_000
BACK_S = {"minute": 86_400.0, "hour": 31 * 86_400.0}
"""How far back without `from`."""
_PARTS = ("stays", "by_protocol", "by_agent", "by_place")
COLUMNS = ("channel", "step", "at", "viewers", "peak", "viewer_s", "ended", "ended_mean_s", *_PARTS)

Moment = Annotated[datetime | None, Query(description="ISO 8601, UTC if no zone is given")]


class AudienceTotalsOverTimeModel(BaseModel):
    """`peak` viewers at a time; of those that left (`ended`), how long they stayed: on average, and how many for how long (`stays`).

    `by_…`: seconds of watching, by protocol, kind of player and place.
    """

    peak: int
    ended: int
    ended_mean_s: float | None
    stays: dict[str, int]
    by_protocol: dict[str, float]
    by_agent: dict[str, float]
    by_place: dict[str, float]


class AudienceSpanModel(AudienceTotalsOverTimeModel):
    """A minute or an hour from `at` on; `viewers`: on average; `viewer_s`: all their seconds."""

    at: str
    viewers: float
    viewer_s: float


class AudienceSumModel(AudienceTotalsOverTimeModel):
    """Of all rows."""

    viewing_hours: float


class AudienceHistoryModel(BaseModel):
    """`rows`: newest first, only those in which somebody was there. `problem`: why it is only what is in memory."""

    channel: str
    step: str
    rows: list[AudienceSpanModel]
    totals: AudienceSumModel
    problem: str | None


class HistoryReader(Protocol):
    """The desk that answers; see control_attendance."""

    def read(self, channel: str, step: str, since_s: float, until_s: float, limit: int) -> dict[str, Any]:
        """What AudienceHistoryModel says. Raises UnknownChannel."""
        ...


def client_history_routes(desk: HistoryReader, calls: Calls) -> APIRouter:
    """GET /api/v1/channels/{channel}/clients/history."""
    router = APIRouter(tags=["history"])
    described = answers(200, 404, 422, model=AudienceHistoryModel)
    described[200]["content"] = {"text/csv": {"schema": {"type": "string"}}}

    @router.get(
        "/api/v1/channels/{channel}/clients/history", response_model=None, responses=described, summary="How many watched, over time"
    )
    async def history(
        request: Request,
        channel: ChannelId,
        step: Annotated[Literal["minute", "hour"], Query(description="Minutes are kept for two days")] = "hour",
        since: Annotated[datetime | None, Query(alias="from", description="Spans that begin at or after; ISO 8601, UTC if no zone")] = None,
        to: Moment = None,
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 1_000,
        format: Annotated[Literal["json", "csv"], Query()] = "json",
    ) -> Response:
        until_s = time.time() + 1 if to is None else _seconds(to)
        since_s = until_s - BACK_S[step] if since is None else _seconds(since)
        found = await calls.run(desk.read, channel, step, since_s, until_s, limit)
        if format == "json":
            return json_response(found)
        rows = [{**row, "channel": channel, "step": step, **{part: json.dumps(row[part]) for part in _PARTS}} for row in found["rows"]]
        return Response(csv_text(rows, COLUMNS).encode(), media_type="text/csv; charset=utf-8; header=present")

    return router


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
