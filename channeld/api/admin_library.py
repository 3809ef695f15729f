"""The media library over HTTP.

Rule: as all routes, this only translates between HTTP and the desk. Used by the admin event loop.
"""

from typing import Annotated, Protocol
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_paths import CHANNEL_PATTERN
from channeld.api.problems import json_response
from channeld.api.shelf import Shelf

LIBRARY_PATH = "/api/v1/library"
MAX_FILES = 1_000
PAGE = 200


class LibraryFileModel(BaseModel):
    """A file that the channel's playlist could name by `path`. `entries`: how many name it; `aired`: how often, on this channel."""

    path: str
    bytes: int
    modified_at: str
    duration_s: float | None
    width: int | None
    height: int | None
    fps: float | None
    video_codec: str | None
    audio_codec: str | None
    state: str
    reason: str | None
    entries: int
    aired: int
    aired_at: str | None


class LibraryReader(Protocol):
    """The desk that answers; see control_library."""

    def read(self, channel: str, *, after: str | None, limit: int, words: str = "") -> Shelf:
        """A page of a channel's library. Raises UnknownChannel, Refused."""
        ...


def library_routes(desk: LibraryReader, calls: Calls) -> APIRouter:
    """GET /api/v1/library."""
    router = APIRouter(tags=["library"])

    @router.get(
        LIBRARY_PATH,
        response_model=None,
        responses=answers(200, 404, 422, model=list[LibraryFileModel]),
        summary="The files that a channel's playlist could name",
    )
    async def library(
        channel: Annotated[str, Query(pattern=CHANNEL_PATTERN, examples=["live1"])],
        after: Annotated[str | None, Query(max_length=8192, description="Only those behind this `path`: the next page")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_FILES)] = PAGE,
        q: Annotated[str, Query(max_length=200, description="Words that the path holds")] = "",
    ) -> Response:
        shelf = await calls.run(desk.read, channel, after=after, limit=limit, words=q)
        headers = {"Channeld-Total": str(shelf.total), "Channeld-Unknown": str(shelf.unknown)}
        if shelf.is_cut:
            headers["Channeld-Problem"] = "there are more files than are listed"
        if shelf.next is not None:
            asked = {"channel": channel, "limit": limit, **({"q": q} if q else {}), "after": shelf.next}
            headers["Link"] = f'<{LIBRARY_PATH}?{urlencode(asked, errors="backslashreplace")}>; rel="next"'
        return json_response(shelf.files, headers=headers)

    return router
