"""The routes of what happens: the stream of events, and the newest of them.

Rule: as all routes, these only translate. Used by the admin event loop.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from channeld.api.admin_docs import answers, plain_answer
from channeld.api.admin_events import EventStreams, last_event_id
from channeld.api.admin_gate import EVENTS_PATH
from channeld.api.admin_models import EventModel
from channeld.api.event_ring import KEPT, Wanted
from channeld.api.problems import json_response

_CHANNELS = r"^[a-z0-9][a-z0-9_-]*(,[a-z0-9][a-z0-9_-]*)*$"
_KINDS = r"^[a-z_]+(,[a-z_]+)*$"
_EXAMPLE = 'id: 42\nevent: entry_started\ndata: {"id":42,"kind":"entry_started","at":"2026-11-21T10:00:00.000Z","channel":"live1"}\n\n'

OfChannels = Annotated[str | None, Query(pattern=_CHANNELS, max_length=8192, description="Only of these channels, with commas between")]
OfKinds = Annotated[str | None, Query(pattern=_KINDS, max_length=2048, description="Only of these kinds, with commas between")]
Limit = Annotated[int, Query(ge=1, le=KEPT, description="At most so many")]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="The id of the event that was read last")]


def event_routes(streams: EventStreams) -> APIRouter:
    """GET /api/v1/events and GET /api/v1/events/recent."""
    router = APIRouter(tags=["history"])

    @router.get(
        EVENTS_PATH,
        response_model=None,
        responses=plain_answer(answers(200, 422), text_event_stream=_EXAMPLE),
        summary="Follow the events",
    )
    async def events(channel: OfChannels = None, kind: OfKinds = None, last_id: LastEventId = None) -> Response:
        return streams.open(last_event_id(last_id), Wanted.of(channel, kind))

    @router.get(
        f"{EVENTS_PATH}/recent", response_model=None, responses=answers(200, 422, model=list[EventModel]), summary="The newest events"
    )
    async def recent(channel: OfChannels = None, kind: OfKinds = None, limit: Limit = 100) -> Response:
        return json_response(streams.newest(Wanted.of(channel, kind), limit))

    return router
