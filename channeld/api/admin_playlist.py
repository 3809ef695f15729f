"""The routes of a channel's playlist: read it, and replace it if nobody else has since.

Rule: a playlist is written only over the revision that was read (If-Match), so two editors never lose each other's work
(RFC 9110, 13.1.1; RFC 6585, 3). Used by the admin event loop.
"""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from channeld.api.admin_body import MAX_PLAYLIST_BYTES, decode_text, media_type_of, read_body, read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of, plain_answer
from channeld.api.admin_models import EntriesModel, TriggerModel
from channeld.api.admin_paths import ChannelId, trigger_answer
from channeld.api.control import Control
from channeld.api.problems import Problem, json_response

_TAG = re.compile(r'\s*(W/)?"([^"]{0,64})"\s*')
_NEVER = -1  # no revision is negative, so this one is always stale
_MAX_TAGS = 16


def playlist_routes(control: Control, calls: Calls) -> APIRouter:
    """GET and PUT of /api/v1/channels/{channel}/playlist."""
    router = APIRouter(tags=["playlists"])
    _add_reading(router, control, calls)
    _add_writing(router, control, calls)
    return router


def _add_reading(router: APIRouter, control: Control, calls: Calls) -> None:
    described = plain_answer(
        answers(200, 304, 404, 409, 422), text_plain="#EXTM3U\na.mp4\nb.mp4\n", application_json={"revision": 7, "entries": []}
    )

    @router.get("/api/v1/channels/{channel}/playlist", response_model=None, responses=described, summary="Read the playlist")
    async def read_playlist(
        channel: ChannelId, accept: Annotated[str, Header()] = "*/*", if_none_match: Annotated[str, Header()] = ""
    ) -> Response:
        document = await calls.run(control.read_playlist, channel)
        headers = {"ETag": f'"{document.revision}"', "Vary": "Accept"}
        if any(tag in (headers["ETag"], "*") for tag in re.split(r"\s*,\s*", if_none_match.strip())):
            return Response(status_code=304, headers=headers)
        if "application/json" in accept.lower():
            return json_response({"revision": document.revision, "entries": document.entries}, headers=headers)
        return Response(
            document.text.encode("utf-8", "replace"), headers={**headers, "Content-Type": f"{document.media_type}; charset=utf-8"}
        )


def _add_writing(router: APIRouter, control: Control, calls: Calls) -> None:
    @router.put(
        "/api/v1/channels/{channel}/playlist",
        response_model=None,
        responses=answers(200, 202, 404, 408, 409, 412, 413, 415, 422, 428, 507, model=TriggerModel),
        openapi_extra=body_of(text_plain="a.mp4\nb.mp4\n", application_json={"entries": ["a.mp4", {"path": "b.mp4", "title": "B"}]}),
        summary="Replace the playlist",
    )
    async def write_playlist(request: Request, channel: ChannelId, if_match: Annotated[str | None, Header()] = None) -> Response:
        if if_match is None:
            raise Problem(428, "Send If-Match with the ETag of the playlist that was read, or `*` to replace any.")
        revision = await _matched_revision(if_match, control, calls, channel)
        text, entries = await _content(request)
        done = await calls.run(control.write_playlist, channel, text=text, entries=entries, if_match=revision)
        return trigger_answer(done, {"ETag": f'"{done.revision}"'})


async def _matched_revision(if_match: str, control: Control, calls: Calls, channel: str) -> int:
    """The one revision that may be replaced. If-Match compares strongly: a weak or foreign tag matches none."""
    tags = if_match.split(",")
    if if_match.strip() != "*":
        revisions = [_revision(tag) for tag in tags[:_MAX_TAGS]]
        if len(revisions) == 1:
            return revisions[0]
    present = (await calls.run(control.read_playlist, channel)).revision
    return present if if_match.strip() == "*" or present in revisions else _NEVER


def _revision(tag: str) -> int:
    match = _TAG.fullmatch(tag)
    if match is None:
        raise Problem(400, 'If-Match must be an ETag in its quotes, such as "7", a list of them, or `*`.')
    is_ours = match[1] is None and re.fullmatch(r"[0-9]{1,18}", match[2])
    return int(match[2]) if is_ours else _NEVER


async def _content(request: Request) -> tuple[str | None, list[dict[str, Any]] | None]:
    kind = media_type_of(request)
    if kind == "text/plain":
        return decode_text(await read_body(request, max_bytes=MAX_PLAYLIST_BYTES)), None
    if kind == "application/json":
        entries = (await read_json(request, EntriesModel)).entries
        return None, [{"path": entry} if isinstance(entry, str) else entry for entry in entries]
    raise Problem(
        415, "Send text/plain (the file's own text) or application/json (entries).", headers={"Accept": "text/plain, application/json"}
    )
