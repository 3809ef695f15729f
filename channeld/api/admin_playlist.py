"""The routes of a channel's playlist: read it, replace it, edit single entries, and see beforehand what an edit would do.

Rule: a playlist is written only over what was read (If-Match), so two editors never lose each other's work (RFC 9110, 13.1.1;
RFC 6585, 3). Used by the admin event loop.
"""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from channeld.api.admin_body import MAX_PLAYLIST_BYTES, decode_text, media_type_of, read_body, read_json
from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers, body_of, plain_answer
from channeld.api.admin_models import EntriesModel
from channeld.api.admin_paths import ChannelId
from channeld.api.admin_playlist_models import ID, ChangeEntryModel, EditedModel, MoveEntryModel, NewEntryModel, PlaylistModel
from channeld.api.control import Control, Edited, PlaylistDocument, Tags
from channeld.api.problems import Problem, json_response
from channeld.playlist.orders import AddEntry, ChangeEntry, MoveEntry, Order, RemoveEntry

_TAG = re.compile(r'\s*(W/)?"([^"]{0,64})"\s*')
_MAX_TAGS = 16
_LIST = "/api/v1/channels/{channel}/playlist"
_WRITES = (200, 202, 404, 408, 409, 412, 413, 415, 422, 428, 507)

EntryId = Annotated[str, Path(pattern=r"^[a-z][0-9a-f]{1,16}$", description="The entry's id, from the playlist as JSON", examples=[ID])]
IfMatch = Annotated[str | None, Header(description="The ETag of the playlist that was read, or `*` for any")]
DryRun = Annotated[bool, Query(description="Only say what would come of it")]


def playlist_routes(control: Control, calls: Calls) -> APIRouter:
    """Everything of /api/v1/channels/{channel}/playlist."""
    router = APIRouter(tags=["playlists"], dependencies=[Depends(_refuse_misspelt_dry_run)])
    _add_reading(router, control, calls)
    _add_writing(router, control, calls)
    _add_inserting(router, control, calls)
    _add_editing(router, control, calls)
    return router


async def _refuse_misspelt_dry_run(request: Request) -> None:
    """An edit that was meant as a dry run must not be done because of a typing error."""
    if request.method == "GET":
        return
    names = [name for name, _ in request.query_params.multi_items()]
    if unknown := sorted(set(names) - {"dry_run"}):
        raise Problem(
            422, f"{', '.join(unknown)}: no such parameter; an edit has `dry_run` only. Nothing was changed.", title="Invalid request"
        )
    if len(names) > 1:
        raise Problem(422, "dry_run: is given more than once. Nothing was changed.", title="Invalid request")


def _add_reading(router: APIRouter, control: Control, calls: Calls) -> None:
    described = answers(200, 304, 404, 409, 422, model=PlaylistModel)
    described = plain_answer(
        described,
        text_plain="a.mp4\nb.mp4\n",
        audio_x_mpegurl="#EXTM3U\na.mp4\nb.mp4\n",
        application_yaml="- a.mp4\n- b.mp4\n",
        application_json=PlaylistModel.model_config["json_schema_extra"]["example"],  # type: ignore[index]
    )

    @router.get(_LIST, response_model=None, responses=described, summary="Read the playlist")
    async def read_playlist(
        channel: ChannelId,
        accept: Annotated[str, Header()] = "*/*",
        if_none_match: Annotated[str, Header()] = "",
        after: Annotated[str | None, Query(pattern=r"^[a-z][0-9a-f]{1,16}$", description="JSON only: the entries behind this one")] = None,
        limit: Annotated[int | None, Query(ge=1, le=10_000, description="JSON only: so many entries at most")] = None,
    ) -> Response:
        is_json = "application/json" in accept.lower()
        page = (after, limit) if is_json else (None, 1)
        document = await calls.run(control.read_playlist, channel, *page)
        headers = {"ETag": f'"{document.tag}"', "Vary": "Accept"}
        if any(tag in (headers["ETag"], "*") for tag in re.split(r"\s*,\s*", if_none_match.strip())):
            return Response(status_code=304, headers=headers)
        if is_json:
            return json_response(_shown(document), headers=headers)
        kind = f"{document.media_type}; charset=utf-8"
        return Response(document.text.encode("utf-8", "replace"), headers={**headers, "Content-Type": kind})


def _add_writing(router: APIRouter, control: Control, calls: Calls) -> None:
    @router.put(
        _LIST,
        response_model=None,
        responses=answers(*_WRITES, model=EditedModel),
        openapi_extra=body_of(model=EntriesModel, text_plain="a.mp4\nb.mp4\n", application_json={"entries": ["a.mp4", {"path": "b.mp4"}]}),
        summary="Replace the playlist",
    )
    async def write_playlist(request: Request, channel: ChannelId, if_match: IfMatch = None, *, dry_run: DryRun = False) -> Response:
        tags = _tags(if_match)
        text, entries = await _content(request)
        done = await calls.run(control.write_playlist, channel, text=text, entries=entries, if_match=tags, dry_run=dry_run)
        return _edit_answer(done, is_dry_run=dry_run)


def _add_inserting(router: APIRouter, control: Control, calls: Calls) -> None:
    @router.post(
        f"{_LIST}/entries",
        response_model=None,
        responses=answers(*_WRITES, model=EditedModel),
        openapi_extra=body_of(model=NewEntryModel, application_json={"path": "trailers/tonight.mp4", "title": "Tonight"}),
        summary="Add an entry",
    )
    async def add_entry(request: Request, channel: ChannelId, if_match: IfMatch = None, *, dry_run: DryRun = False) -> Response:
        tags = _tags(if_match)
        new = await read_json(request, NewEntryModel)
        order = AddEntry({"path": new.path, **new.fields()}, new.before, new.after)
        return await _edit(control, calls, channel, order, tags, is_dry_run=dry_run)


def _add_editing(router: APIRouter, control: Control, calls: Calls) -> None:
    @router.patch(
        f"{_LIST}/entries/{{entry}}",
        response_model=None,
        responses=answers(*_WRITES, model=EditedModel),
        openapi_extra=body_of(model=ChangeEntryModel, application_json={"title": "Tonight"}),
        summary="Change an entry",
    )
    async def change_entry(
        request: Request, channel: ChannelId, entry: EntryId, if_match: IfMatch = None, *, dry_run: DryRun = False
    ) -> Response:
        tags = _tags(if_match)
        wanted = await read_json(request, ChangeEntryModel)
        return await _edit(control, calls, channel, ChangeEntry(entry, wanted.fields()), tags, is_dry_run=dry_run)

    @router.delete(
        f"{_LIST}/entries/{{entry}}", response_model=None, responses=answers(*_WRITES, model=EditedModel), summary="Remove an entry"
    )
    async def remove_entry(channel: ChannelId, entry: EntryId, if_match: IfMatch = None, *, dry_run: DryRun = False) -> Response:
        return await _edit(control, calls, channel, RemoveEntry(entry), _tags(if_match), is_dry_run=dry_run)

    @router.post(
        f"{_LIST}/entries/{{entry}}/move",
        response_model=None,
        responses=answers(*_WRITES, model=EditedModel),
        openapi_extra=body_of(model=MoveEntryModel, application_json={"to_index": 0}),
        summary="Move an entry",
    )
    async def move_entry(
        request: Request, channel: ChannelId, entry: EntryId, if_match: IfMatch = None, *, dry_run: DryRun = False
    ) -> Response:
        tags = _tags(if_match)
        to = await read_json(request, MoveEntryModel)
        order = MoveEntry(entry, to.before, to.after, to.to_index)
        return await _edit(control, calls, channel, order, tags, is_dry_run=dry_run)


async def _edit(control: Control, calls: Calls, channel: str, order: Order, tags: Tags, *, is_dry_run: bool) -> Response:
    done = await calls.run(control.edit_playlist, channel, order, if_match=tags, dry_run=is_dry_run)
    return _edit_answer(done, is_dry_run=is_dry_run)


def _edit_answer(done: Edited, *, is_dry_run: bool) -> Response:
    """202 when something will change on air, 200 when nothing does."""
    shown = {
        "revision": done.revision,
        "effective_at": done.effective_at,
        "changed": done.changed,
        "dry_run": is_dry_run,
        "entry": done.entry,
        "diff": done.diff,
        "airs": done.airs,
        "airs_left_out": done.airs_left_out,
    }
    return json_response(shown, 202 if done.changed and not is_dry_run else 200, {"ETag": f'"{done.tag}"'})


def _shown(document: PlaylistDocument) -> dict[str, Any]:
    return {
        "text": document.text,
        "media_type": document.media_type,
        "revision": document.revision,
        "can_edit": document.reason is None,
        "reason": document.reason,
        "total": document.total,
        "next": document.next,
        "entries": document.entries,
    }


def _tags(if_match: str | None) -> Tags:
    """What may be overwritten. If-Match compares strongly: a weak or foreign tag matches nothing. Raises Problem 428, 400."""
    if if_match is None:
        raise Problem(428, "Send If-Match with the ETag of the playlist that was read, or `*` to edit whatever is there.")
    if if_match.strip() == "*":
        return None
    found = set()
    for written in if_match.split(",")[:_MAX_TAGS]:
        match = _TAG.fullmatch(written)
        if match is None:
            raise Problem(400, 'If-Match must be an ETag in its quotes, such as "7", a list of them, or `*`.')
        if match[1] is None:
            found.add(match[2])
    return frozenset(found)


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
