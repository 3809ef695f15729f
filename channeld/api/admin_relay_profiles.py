"""Relay profiles over HTTP.

Rule: as all routes, these only translate; what is wrong with a profile is told at once and whole, argument by argument. Used by the admin
event loop.
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from channeld.api.admin_body import read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of
from channeld.api.admin_relay_models import (
    PROFILE_EXAMPLE,
    CopyModel,
    JudgementModel,
    ProfileDraftModel,
    ProfileId,
    ProfileModel,
)
from channeld.api.problems import json_response
from channeld.api.relay_book import ProfileBook, judged

PROFILES_PATH = "/api/v1/relay/profiles"
_BODY = body_of(model=ProfileDraftModel, application_json=PROFILE_EXAMPLE)


def profile_routes(book: ProfileBook, calls: Calls) -> APIRouter:
    """Everything below /api/v1/relay/profiles."""
    router = APIRouter(tags=["relay"])
    _add_collection(router, book, calls)
    _add_one(router, book, calls)
    return router


def _add_collection(router: APIRouter, book: ProfileBook, calls: Calls) -> None:
    @router.get(PROFILES_PATH, response_model=None, responses=answers(200, model=list[ProfileModel]), summary="All relay profiles")
    async def profiles() -> Response:
        return json_response(await calls.run(book.all))

    @router.post(
        PROFILES_PATH,
        response_model=None,
        status_code=201,
        responses=answers(201, 408, 409, 413, 415, 422, model=ProfileModel),
        openapi_extra=_BODY,
        summary="Make a relay profile",
    )
    async def add(request: Request) -> Response:
        wanted = await read_json(request, ProfileDraftModel)
        return json_response(await calls.run(book.add, wanted.draft()), 201)

    @router.post(
        PROFILES_PATH + "/validate",
        response_model=None,
        responses=answers(200, 408, 413, 415, 422, model=JudgementModel),
        openapi_extra=_BODY,
        summary="Judge a relay profile without storing it",
    )
    async def validate(request: Request) -> Response:
        wanted = await read_json(request, ProfileDraftModel)
        return json_response(await calls.run(judged, wanted.draft()))


def _add_one(router: APIRouter, book: ProfileBook, calls: Calls) -> None:
    route = PROFILES_PATH + "/{profile_id}"

    @router.get(route, response_model=None, responses=answers(200, 404, model=ProfileModel), summary="One relay profile")
    async def one(profile_id: ProfileId) -> Response:
        return json_response(await calls.run(book.one, profile_id))

    @router.put(
        route,
        response_model=None,
        responses=answers(200, 404, 408, 409, 413, 415, 422, model=ProfileModel),
        openapi_extra=_BODY,
        summary="Change a relay profile, all of it",
    )
    async def change(request: Request, profile_id: ProfileId) -> Response:
        wanted = await read_json(request, ProfileDraftModel)
        return json_response(await calls.run(book.change, profile_id, wanted.draft()))

    @router.delete(route, response_model=None, status_code=204, responses=answers(204, 404, 409), summary="Remove a relay profile")
    async def remove(profile_id: ProfileId) -> Response:
        await calls.run(book.remove, profile_id)
        return Response(status_code=204)

    @router.post(
        route + "/copy",
        response_model=None,
        status_code=201,
        responses=answers(201, 404, 408, 409, 413, 415, 422, model=ProfileModel),
        openapi_extra=body_of(model=CopyModel, application_json={"name": "Ours"}),
        summary="Copy a relay profile",
    )
    async def copy(request: Request, profile_id: ProfileId) -> Response:
        wanted = await read_json(request, CopyModel)
        return json_response(await calls.run(book.copy, profile_id, wanted.name), 201)
