"""The catalogue of clips over HTTP.

Rule: as all routes, this only translates between HTTP and Control. Used by the admin event loop.
"""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.control import Control
from channeld.api.problems import json_response

CLIPS_PATH = "/api/v1/clips"
MAX_CLIPS = 10_000


class ClipModel(BaseModel):
    """A source as one profile has it. `refusal` null: it is prepared. `gain_db`: by how much its sound was made louder."""

    clip: str
    profile: str
    source: str
    key: str | None
    duration_s: float | None
    bytes: int | None
    gain_db: float | None
    prepared_at: str | None
    warnings: list[str]
    refusal: str | None


def clip_routes(control: Control, calls: Calls) -> APIRouter:
    """GET /api/v1/clips."""
    router = APIRouter(tags=["history"])

    @router.get(CLIPS_PATH, response_model=None, responses=answers(200, 422, model=list[ClipModel]), summary="What became of each clip")
    async def clips(
        after: Annotated[str | None, Query(max_length=8192, description="Only those behind this `clip`: the next page")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_CLIPS)] = 1_000,
    ) -> Response:
        rows = await calls.run(control.clips, after, limit)
        headers = {}
        if len(rows) == limit:
            query = urlencode({"limit": limit, "after": rows[-1]["clip"]}, errors="backslashreplace")
            headers["Link"] = f'<{CLIPS_PATH}?{query}>; rel="next"'
        return json_response(rows, headers=headers)

    return router
