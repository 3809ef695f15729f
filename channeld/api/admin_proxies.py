"""Lists of upstream channels (proxies) over HTTP.

Rule: as all routes, these only translate; who may read them reads no password. Used by the admin event loop.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from channeld.api.admin_body import read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of, plain_answer
from channeld.api.admin_page import media_origin
from channeld.api.admin_relay_models import (
    PROXY_EXAMPLE,
    OneProxyModel,
    ProxyChangeModel,
    ProxyDraftModel,
    ProxyId,
    ProxyModel,
    RefreshModel,
    UpstreamPageModel,
)
from channeld.api.problems import json_response
from channeld.api.proxy_book import ProxyBook, Wanted

PROXIES_PATH = "/api/v1/proxies"
PROXY_PATH = PROXIES_PATH + "/{proxy_id}"
MAX_CHANNELS = 1_000


def proxy_routes(book: ProxyBook, calls: Calls, media_base_url: str) -> APIRouter:
    """Everything below /api/v1/proxies but for what is relayed of a list."""
    router = APIRouter(tags=["relay"])
    _add_collection(router, book, calls)
    _add_one(router, book, calls)
    _add_list(router, book, calls, media_base_url)
    return router


def _add_collection(router: APIRouter, book: ProxyBook, calls: Calls) -> None:
    @router.get(PROXIES_PATH, response_model=None, responses=answers(200, model=list[ProxyModel]), summary="All lists of upstream channels")
    async def proxies() -> Response:
        return json_response(await calls.run(book.all))

    @router.post(
        PROXIES_PATH,
        response_model=None,
        status_code=201,
        responses=answers(201, 408, 409, 413, 415, 422, model=ProxyModel),
        openapi_extra=body_of(model=ProxyDraftModel, application_json=PROXY_EXAMPLE),
        summary="Import a list of upstream channels",
    )
    async def add(request: Request) -> Response:
        wanted = await read_json(request, ProxyDraftModel)
        return json_response(await calls.run(book.add, wanted.draft()), 201)


def _add_one(router: APIRouter, book: ProxyBook, calls: Calls) -> None:
    @router.get(PROXY_PATH, response_model=None, responses=answers(200, 404, model=OneProxyModel), summary="One list and its groups")
    async def one(proxy_id: ProxyId) -> Response:
        return json_response(await calls.run(book.one, proxy_id))

    @router.put(
        PROXY_PATH,
        response_model=None,
        responses=answers(200, 404, 408, 409, 413, 415, 422, model=ProxyModel),
        openapi_extra=body_of(model=ProxyChangeModel, application_json={"name": "TV", "refresh_s": 600}),
        summary="Change a list's name, source or refresh",
    )
    async def change(request: Request, proxy_id: ProxyId) -> Response:
        wanted = await read_json(request, ProxyChangeModel)
        return json_response(await calls.run(book.change, proxy_id, **wanted.model_dump()))

    @router.delete(PROXY_PATH, response_model=None, status_code=204, responses=answers(204, 404, 409), summary="Remove a list")
    async def remove(proxy_id: ProxyId) -> Response:
        await calls.run(book.remove, proxy_id)
        return Response(status_code=204)

    @router.post(
        PROXY_PATH + "/refresh", response_model=None, responses=answers(200, 202, 404, model=RefreshModel), summary="Fetch a list now"
    )
    async def refresh(proxy_id: ProxyId) -> Response:
        told = await calls.run(book.refresh, proxy_id)
        return json_response(told, 202 if told["pending"] else 200)


def _add_list(router: APIRouter, book: ProxyBook, calls: Calls, media_base_url: str) -> None:
    @router.get(
        PROXY_PATH + "/channels",
        response_model=None,
        responses=answers(200, 404, 422, model=UpstreamPageModel),
        summary="The channels of a list, a page at a time",
    )
    async def channels(
        proxy_id: ProxyId,
        after: Annotated[int | None, Query(ge=-1, le=2**31 - 1, description="Only those behind this `position`: the next page")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_CHANNELS)] = 100,
        search: Annotated[str | None, Query(max_length=200, description="Part of a title")] = None,
        group: Annotated[str | None, Query(max_length=500)] = None,
    ) -> Response:
        return json_response(await calls.run(book.channels, proxy_id, Wanted(after, limit, search or None, group)))

    @router.get(
        PROXY_PATH + "/playlist.m3u",
        response_model=None,
        responses=plain_answer(answers(200, 404), audio_x_mpegurl="#EXTM3U\n"),
        summary="What is relayed of a list, as a list of relayed addresses",
    )
    async def playlist(request: Request, proxy_id: ProxyId) -> Response:
        text = await calls.run(book.playlist, proxy_id, media_origin(request, media_base_url))
        return Response(text.encode("utf-8", "replace"), headers={"Content-Type": "audio/x-mpegurl; charset=utf-8"})
