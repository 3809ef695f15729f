"""Who watches a channel's endless stream, and who reads its memory, over HTTP.

Rule: as all routes, this only translates between HTTP and the desk; a viewer's address is shown to those who may do something about
it. Used by the admin event loop.
"""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from channeld.access.roles import Role
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_paths import ChannelId
from channeld.api.admin_roles import who_asks
from channeld.api.problems import json_response

MAX_CLIENTS = 1_000
PAGE = 100


class ClientModel(BaseModel):
    """A connection. `address` and `place` are null for the role viewer, `place` also where nobody knows.

    `position`: the slice that it gets next, null while it waits for a picture to begin with; `lag_bytes`, `lag_s`: published and not yet
    taken by its connection; `skips`: how often it was too slow and lost stream.
    """

    id: str
    address: str | None
    place: str | None
    user_agent: str
    since: str
    connected_s: float
    bytes: int
    position: int | None
    lag_bytes: int
    lag_s: float
    skips: int
    last_read_at: str


class GoneClientModel(ClientModel):
    """A connection that is over. `ended`: left, stale (took nothing for too long), denied (its token opens no more), over (the stream)."""

    ended: str


class LocalReaderModel(BaseModel):
    """A program on the machine that reads the channel's memory. `pid`, `uid` and `command` are null for the role viewer.

    `uid` 65534 may also be a user that the daemon's namespace does not know, `command` is null where /proc hides it. How far it has read,
    only it knows; `heads_dropped`: how often it took so little that it could not be told of a slice.
    """

    pid: int | None
    uid: int | None
    command: str | None
    since: str
    connected_s: float
    heads_dropped: int


class AudienceTotalsModel(BaseModel):
    """Of now, and since control began. `refused`: turned away by a limit; `ended`: connections that are over."""

    clients: int
    bytes: int
    skips: int
    refused: int
    ended: int
    ended_mean_s: float | None


_CLIENT: dict[str, Any] = {
    "id": "4d2-1f",
    "address": "192.0.2.7",
    "place": "DE/Berlin",
    "user_agent": "VLC/3.0.20 LibVLC/3.0.20",
    "since": "2026-11-21T10:00:00.000Z",
    "connected_s": 61.4,
    "bytes": 15350000,
    "position": 3071,
    "lag_bytes": 0,
    "lag_s": 0.0,
    "skips": 0,
    "last_read_at": "2026-11-21T10:01:01.400Z",
}


_READER: dict[str, Any] = {
    "pid": 4711,
    "uid": 1000,
    "command": "mpv",
    "since": "2026-11-21T10:00:00.000Z",
    "connected_s": 61.4,
    "heads_dropped": 0,
}


class AudienceModel(BaseModel):
    """`clients`: those furthest behind first, `left_out` more are there. `readers`: the newest first, `readers_left_out` more are there.

    `is_complete` is false where a media worker or the playout host did not answer in time.

    `gone`: the newest connections that are over, at most 200.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "channel": "live1",
                "totals": {"clients": 1, "bytes": 15350000, "skips": 0, "refused": 0, "ended": 0, "ended_mean_s": None},
                "clients": [_CLIENT],
                "left_out": 0,
                "readers": [_READER],
                "readers_left_out": 0,
                "is_complete": True,
                "gone": [],
            }
        }
    )
    channel: str
    totals: AudienceTotalsModel
    clients: list[ClientModel]
    left_out: int
    readers: list[LocalReaderModel]
    readers_left_out: int
    is_complete: bool
    gone: list[GoneClientModel]


class AudienceReader(Protocol):
    """The desk that answers; see control_audience."""

    def read(self, channel: str, limit: int) -> dict[str, Any]:
        """What AudienceModel says. Raises UnknownChannel."""
        ...


def client_routes(desk: AudienceReader, calls: Calls) -> APIRouter:
    """GET /api/v1/channels/{channel}/clients."""
    router = APIRouter(tags=["watching"])

    @router.get(
        "/api/v1/channels/{channel}/clients",
        response_model=None,
        responses=answers(200, 404, 422, model=AudienceModel),
        summary="Who watches the endless stream, or reads the channel on the machine",
    )
    async def clients(
        request: Request,
        channel: ChannelId,
        limit: Annotated[int, Query(ge=1, le=MAX_CLIENTS, description="So many clients, those furthest behind, and readers")] = PAGE,
    ) -> Response:
        audience = await calls.run(desk.read, channel, limit)
        if not who_asks(request).role.includes(Role.OPERATOR):
            for client in (*audience["clients"], *audience["gone"]):
                client["address"] = client["place"] = None
            for reader in audience["readers"]:
                reader["pid"] = reader["uid"] = reader["command"] = None
        return json_response(audience)

    return router
