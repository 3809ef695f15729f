"""The admin interface: every route of the contract over one Control.

Rule: routes only translate between HTTP and Control; what a request may be is decided before (admin_gate, admin_body), what
an error looks like after (problems). Built by the daemon; run by AdminServer's event loop.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from channeld import __version__
from channeld.access.accounts import Accounts
from channeld.api.admin_as_run import as_run_routes
from channeld.api.admin_body import Linger, read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_clips import clip_routes
from channeld.api.admin_daemon import daemon_routes
from channeld.api.admin_desks import Desks, desk_routes
from channeld.api.admin_docs import answers, body_of, complete, plain_answer
from channeld.api.admin_event_routes import event_routes
from channeld.api.admin_events import HEARTBEAT_S, MAX_READERS, EventStreams
from channeld.api.admin_gate import Gate
from channeld.api.admin_logins import Logins
from channeld.api.admin_models import ChannelModel, HealthModel, PlayNextModel, ReadinessModel, TriggerModel
from channeld.api.admin_page import media_origin, page_routes
from channeld.api.admin_panel import panel_routes
from channeld.api.admin_paths import ChannelId, trigger_answer
from channeld.api.admin_playlist import playlist_routes
from channeld.api.admin_roles import VIEWER_PATH, permit
from channeld.api.admin_sessions import session_routes
from channeld.api.admin_timing import Answered, Lookout, Timing
from channeld.api.admin_tokens import token_routes
from channeld.api.control import ACTIONS, Control, UnknownChannel
from channeld.api.problems import Problem, install, json_response

_VIEWER_ROUTES = ("/hls/{rest:path}", "/dash/{rest:path}", "/ts/{rest:path}", "/guide.xml", "/channels.m3u", "/api/v1/relay/{rest:path}")


def build_app(
    control: Control,
    *,
    accounts: Accounts,
    allowed_hosts: Sequence[str],
    media_base_url: str,
    heartbeat_s: float = HEARTBEAT_S,
    max_event_readers: int = MAX_READERS,
    answered: Answered | None = None,
    desks: Desks | None = None,
) -> FastAPI:
    """The ASGI application.

    `accounts`: who may come in.
    `allowed_hosts`: names besides the loopback ones and the listener's own address. `media_base_url`: where viewers go, without
    a final slash; `{host}` in it stands for the host that the request came to. `answered` is told of each answer. `desks`: what
    serves media to people; without them their routes are not there.
    """
    calls = Calls()
    streams = EventStreams(control, heartbeat_s=heartbeat_s, max_readers=max_event_readers)
    logins = Logins()

    app = _bare_app(calls, streams)
    routers = (
        _watch_routes(control, calls),
        daemon_routes(control, calls),
        _channel_routes(control, calls),
        playlist_routes(control, calls),
        event_routes(streams),
        as_run_routes(control, calls),
        clip_routes(control, calls),
        session_routes(accounts, calls, logins),
        token_routes(accounts, calls),
        panel_routes(control, calls),
        desk_routes(control, desks, calls, media_base_url),
    )
    for router in (*routers, _viewer_routes(media_base_url), page_routes(media_base_url)):
        app.include_router(router)
    complete(app)
    install(app)
    # The last one added is the outermost.
    app.add_middleware(Lookout)
    app.add_middleware(Gate, accounts=accounts, logins=logins, allowed_hosts=allowed_hosts)
    if answered is not None:
        app.add_middleware(Timing, answered=answered)
    app.add_middleware(Linger)
    return app


def _bare_app(calls: Calls, streams: EventStreams) -> FastAPI:
    """An application without routes that follows the events, and closes its threads when the server ends."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[dict[str, EventStreams], None]:
        await streams.start(calls)
        yield {"event_readers": streams}
        await streams.close()
        calls.close()

    return FastAPI(
        title="channeld",
        version=__version__,
        description="Errors are problem documents (RFC 9457).",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        dependencies=[Depends(permit)],
        default_response_class=JSONResponse,
    )


def _watch_routes(control: Control, calls: Calls) -> APIRouter:
    """What monitoring asks."""
    router = APIRouter(tags=["watching"])

    @router.get("/healthz", response_model=None, responses=answers(200, model=HealthModel, guarded=False), summary="Does every part turn?")
    async def healthz() -> Response:
        health = await calls.run_health(control.health)
        if not health.ok:
            raise Problem(503, "A part of the daemon does not turn.", title="Not healthy", ok=False, parts=health.parts)
        return json_response({"ok": True, "parts": health.parts})

    @router.get("/readyz", response_model=None, responses=answers(200, model=ReadinessModel, guarded=False), summary="Is a channel on air?")
    async def readyz() -> Response:
        readiness = await calls.run_health(control.readiness)
        told: dict[str, Any] = {"channels": readiness.channels, "verdicts": readiness.verdicts}
        if not readiness.ok:
            raise Problem(503, "No channel is on air.", title="Not ready", ok=False, **told)
        return json_response({"ok": True, **told, "store_problem": readiness.store_problem})

    @router.get(
        "/metrics", response_model=None, responses=plain_answer(answers(200), text_plain="channel_on_air 1\n"), summary="Prometheus"
    )
    async def metrics() -> Response:
        text = await calls.run(control.metrics)
        return Response(text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return router


def _channel_routes(control: Control, calls: Calls) -> APIRouter:
    """Channels and what can be done with them."""
    router = APIRouter(tags=["channels"])

    @router.get("/api/v1/channels", response_model=None, responses=answers(200, model=list[ChannelModel]), summary="All channels")
    async def channels() -> Response:
        return json_response(await calls.run(control.channels))

    @router.get("/api/v1/channels/{channel}", response_model=None, responses=answers(200, 404, model=ChannelModel), summary="One channel")
    async def one_channel(channel: ChannelId) -> Response:
        found = await calls.run(control.channel, channel)
        if found is None:
            raise UnknownChannel(channel)
        return json_response(found)

    @router.post(
        "/api/v1/channels/{channel}/play-next",
        response_model=None,
        responses=answers(200, 202, 404, 408, 409, 413, 415, 422, 507, model=TriggerModel),
        openapi_extra=body_of(model=PlayNextModel, application_json={"path": "trailers/tonight.mp4"}),
        summary="Air a clip next, once",
    )
    async def play_next(request: Request, channel: ChannelId) -> Response:
        wanted = await read_json(request, PlayNextModel)
        return trigger_answer(await calls.run(control.trigger, channel, "play-next", path=wanted.path))

    for action in ACTIONS:
        _add_trigger(router, control, calls, action)
    return router


def _add_trigger(router: APIRouter, control: Control, calls: Calls, action: str) -> None:
    described = answers(200, 202, 404, 409, 422, 507, model=TriggerModel)

    @router.post(
        f"/api/v1/channels/{{channel}}/{action}",
        name=action,
        response_model=None,
        responses=described,
        summary=f"{action.capitalize()} a channel",
    )
    async def trigger(channel: ChannelId) -> Response:
        return trigger_answer(await calls.run(control.trigger, channel, action))


def _viewer_routes(media_base_url: str) -> APIRouter:
    """Where viewers find what they look for: on the media listener."""
    router = APIRouter(include_in_schema=False)

    async def elsewhere(request: Request) -> Response:
        if not VIEWER_PATH.fullmatch(request.scope["path"]):
            raise Problem(404, "Nothing is here. /api/openapi.json lists all routes.")
        base = media_origin(request, media_base_url)
        # The raw path holds only what the HTTP parser let through: no line breaks, still escaped as it came.
        target = request.scope["raw_path"].decode("ascii") + (
            "?" + request.scope["query_string"].decode("latin-1") if request.url.query else ""
        )
        return Response(status_code=307, headers={"Location": base + target})

    for route in _VIEWER_ROUTES:
        router.add_api_route(route, elsewhere, methods=["GET"])
    return router
