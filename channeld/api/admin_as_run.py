"""The as-run log over HTTP: lines and totals, filtered, a page at a time, as JSON or CSV.

Rule: as all routes, these only translate between HTTP and Control. Used by the admin event loop.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_paths import CHANNEL_PATTERN
from channeld.api.control import Control
from channeld.api.problems import Problem, json_response
from channeld.channel.as_run import Page
from channeld.channel.as_run_text import LINE, PROBLEM_HEADER, TOTAL, csv_text
from channeld.store.questions import AiringFilter
from channeld.store.records import AIRED, Outcome

MAX_AS_RUN = 10_000
AS_RUN_PATH = "/api/v1/as-run"
_OUTCOMES: Mapping[str, tuple[Outcome, ...]] = {"aired": AIRED, "any": tuple(Outcome), **{each.value: (each,) for each in Outcome}}

ChannelQuery = Annotated[str | None, Query(pattern=CHANNEL_PATTERN, description="One channel only")]
FromQuery = Annotated[datetime | None, Query(alias="from", description="Began at or after; ISO 8601, UTC if no zone is given")]
ToQuery = Annotated[datetime | None, Query(description="Began before")]
PathQuery = Annotated[str | None, Query(min_length=1, max_length=4096, description="As in the playlist, or its last parts")]
OutcomeQuery = Annotated[str, Query(max_length=200, description="`aired`, `any`, or outcomes with commas between")]
BeforeQuery = Annotated[int | None, Query(ge=1, lt=2**53, description="Lines with a smaller id only")]
LimitQuery = Annotated[int, Query(ge=1, le=MAX_AS_RUN)]
FormatQuery = Annotated[Literal["json", "csv"] | None, Query(description="Default: what Accept asks for")]


async def _wanted(
    channel: ChannelQuery = None, since: FromQuery = None, to: ToQuery = None, path: PathQuery = None, outcome: OutcomeQuery = "aired"
) -> AiringFilter:
    return AiringFilter(channel, _seconds(since), _seconds(to), path, _outcomes(outcome))


Wanted = Annotated[AiringFilter, Depends(_wanted)]


class AsRunModel(BaseModel):
    """A line. `path` null is the filler; `planned_at` null: as soon as it could. `ended` is the outcome of what aired and is over."""

    id: int
    channel: str
    outcome: str
    path: str | None
    title: str | None
    entry: str | None
    planned_at: str | None
    started_at: str
    ended_at: str | None
    frames_planned: int | None
    frames: int | None
    reason: str | None
    timeline: str | None
    serial: int | None
    ticks: int | None
    ended: str | None
    error: str | None


class AsRunTotalModel(BaseModel):
    """How often and how long a clip aired on a channel."""

    channel: str
    path: str | None
    title: str | None
    airings: int
    frames: int
    aired_s: float
    first_at: str
    last_at: str


def as_run_routes(control: Control, calls: Calls) -> APIRouter:
    """GET /api/v1/as-run and /api/v1/as-run/totals."""
    router = APIRouter(tags=["history"])

    @router.get(AS_RUN_PATH, response_model=None, responses=_answers(list[AsRunModel]), summary="What has aired, newest first")
    async def as_run(
        request: Request,
        wanted: Wanted,
        before: BeforeQuery = None,
        limit: LimitQuery = 100,
        format: FormatQuery = None,
    ) -> Response:
        page = await calls.run(control.as_run, replace(wanted, before=before), limit)
        headers = {}
        if len(page.rows) == limit:
            headers["Link"] = f'<{_next_page(request, page.rows[-1]["id"])}>; rel="next"'
        return _answer(page, LINE, format or _accepted(request), headers)

    @router.get(
        f"{AS_RUN_PATH}/totals",
        response_model=None,
        responses=_answers(list[AsRunTotalModel]),
        summary="How often each clip aired",
    )
    async def totals(
        request: Request,
        wanted: Wanted,
        format: FormatQuery = None,
    ) -> Response:
        return _answer(await calls.run(control.as_run_totals, wanted), TOTAL, format or _accepted(request), {})

    return router


def _answers(model: Any) -> dict[int | str, dict[str, Any]]:
    described = answers(200, 404, 422, model=model)
    described[200]["content"] = {"text/csv": {"schema": {"type": "string"}}}
    return described


def _answer(page: Page, columns: tuple[str, ...], format: str, headers: dict[str, str]) -> Response:
    if page.problem is not None:
        headers = {
            **headers,
            PROBLEM_HEADER: page.problem.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " "),
        }
    if format == "json":
        return json_response(page.rows, headers=headers)
    text = csv_text(page.rows, columns).encode("utf-8", "backslashreplace")
    return Response(text, headers=headers, media_type="text/csv; charset=utf-8; header=present")


def _accepted(request: Request) -> str:
    wanted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    return "csv" if "text/csv" in wanted and "application/json" not in wanted else "json"


def _next_page(request: Request, last_id: int) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "before"]
    return f"{AS_RUN_PATH}?{urlencode([*kept, ('before', str(last_id))])}"


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _outcomes(text: str) -> tuple[Outcome, ...]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in _OUTCOMES]
    if unknown:
        raise Problem(
            422, f"outcome: {unknown[0]!r} is none. Write some of {', '.join(_OUTCOMES)}, with commas between", title="Invalid request"
        )
    return tuple(dict.fromkeys(each for name in names for each in _OUTCOMES[name]))
