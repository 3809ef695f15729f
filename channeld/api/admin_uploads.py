"""Uploads over HTTP: the tus protocol 1.0.0 (https://tus.io/protocols/resumable-upload), core, creation, termination and expiration.

Rule: as all routes, this only translates; what is sent goes to the disk in pieces, on threads of its own, so that neither the event
loop nor other calls wait for it. A connection that breaks leaves what came. Used by the admin event loop.
"""

import asyncio
import base64
import binascii
import threading
from email.utils import formatdate
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_paths import ChannelId
from channeld.api.control import Refused
from channeld.api.problems import Problem, json_response
from channeld.api.upload_desk import Turn, Upload, Uploads
from channeld.base.clock import iso_utc

TUS = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
UPLOADS_PATH = "/api/v1/channels/{channel}/uploads"
PIECE_BYTES = 1 << 20
SILENCE_S = 20.0
MAX_METADATA_BYTES = 4096
_OFFSET_TYPE = "application/offset+octet-stream"
_MAX_NUMBER = 1 << 53
UploadId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,32}$", description="The upload's id", examples=["0" * 32])]


class UploadModel(BaseModel):
    """A file on its way; `path` is null until it is whole."""

    id: str
    name: str
    length: int
    offset: int
    expires_at: str
    path: str | None


def upload_routes(desk: Uploads, calls: Calls) -> APIRouter:
    """Everything below /api/v1/channels/{channel}/uploads."""
    router = APIRouter(tags=["library"])
    _add_collection(router, desk, calls)
    _add_upload(router, desk, calls)
    return router


def _add_collection(router: APIRouter, desk: Uploads, calls: Calls) -> None:
    @router.options(UPLOADS_PATH, response_model=None, status_code=204, responses=answers(204, 404, 422), summary="What uploads may be")
    async def capabilities(channel: ChannelId) -> Response:
        told = {"Tus-Version": TUS, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(await calls.run_upload(desk.max_bytes, channel))}
        return Response(status_code=204, headers={"Tus-Resumable": TUS, **told})

    @router.get(UPLOADS_PATH, response_model=None, responses=answers(200, 404, 422, model=list[UploadModel]), summary="A channel's uploads")
    async def uploads(channel: ChannelId) -> Response:
        return json_response([_described(upload) for upload in await calls.run_upload(desk.all, channel)])

    @router.post(
        UPLOADS_PATH,
        response_model=None,
        status_code=201,
        responses=answers(201, 404, 409, 412, 413, 422, 507),
        openapi_extra={"parameters": [_header("Tus-Resumable", TUS), _header("Upload-Length", "1048576"), _header("Upload-Metadata", "")]},
        summary="Begin an upload",
    )
    async def begin(request: Request, channel: ChannelId) -> Response:
        _check_version(request)
        if "upload-defer-length" in request.headers:
            raise Problem(400, "Upload-Defer-Length is not supported: send Upload-Length.")
        name = _metadata(request).get("filename")
        if not name:
            raise Problem(422, "Upload-Metadata must hold the `filename`, in Base64.", title="Unfit name")
        upload = await calls.run_upload(desk.begin, channel, name, _number(request, "upload-length"))
        where = f"{UPLOADS_PATH.replace('{channel}', channel)}/{upload.id}"
        return Response(status_code=201, headers={"Location": where, **_told(upload)})


def _add_upload(router: APIRouter, desk: Uploads, calls: Calls) -> None:
    route = UPLOADS_PATH + "/{upload}"

    # HEAD comes here too: the gate makes it a GET whose body is left out.
    @router.get(route, response_model=None, responses=answers(200, 404, 422, 507, model=UploadModel), summary="How far an upload is")
    async def find(channel: ChannelId, upload: UploadId) -> Response:
        found = await calls.run_upload(desk.find, channel, upload)
        return json_response(_described(found), headers=_told(found))

    @router.patch(
        route,
        response_model=None,
        status_code=204,
        responses=answers(204, 404, 408, 409, 412, 413, 415, 422, 423, 507),
        openapi_extra={
            "parameters": [_header("Tus-Resumable", TUS), _header("Upload-Offset", "0")],
            "requestBody": {"required": True, "content": {_OFFSET_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
        },
        summary="Send more of an upload",
    )
    async def send(request: Request, channel: ChannelId, upload: UploadId) -> Response:
        _check_version(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _OFFSET_TYPE:
            raise Problem(415, f"Send {_OFFSET_TYPE}.", headers={"Accept": _OFFSET_TYPE})
        offset, giving = _number(request, "upload-offset"), _Giving(desk)
        try:
            turn = await calls.run_upload(giving.open, channel, upload, offset)
        except BaseException:
            await asyncio.to_thread(giving.give_up)
            raise
        return Response(status_code=204, headers=_told(await _take(request, turn, calls)))

    @router.delete(route, response_model=None, status_code=204, responses=answers(204, 404, 412, 422, 423, 507), summary="End an upload")
    async def remove(request: Request, channel: ChannelId, upload: UploadId) -> Response:
        _check_version(request)
        await calls.run_upload(desk.remove, channel, upload)
        return Response(status_code=204, headers={"Tus-Resumable": TUS})


class _Giving:
    """A turn that may come when nobody waits for it any more, as a disk took too long: it is given back then."""

    def __init__(self, desk: Uploads) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._turn: Turn | None = None
        self._is_given_up = False

    def open(self, channel: str, upload: str, offset: int) -> Turn:
        """As the desk's."""
        turn = self._desk.open(channel, upload, offset)
        with self._lock:
            self._turn = turn
            if self._is_given_up:
                turn.close()
        return turn

    def give_up(self) -> None:
        """Nobody takes it."""
        with self._lock:
            self._is_given_up = True
            if self._turn is not None:
                self._turn.close()


async def _take(request: Request, turn: Turn, calls: Calls) -> Upload:
    """All that the request sends, to the disk; what came before a break stays."""
    failure: Exception | None = None
    try:
        await _stream(request, turn, calls)
    except (Problem, Refused) as error:
        failure = error
    finally:
        # Shielded: the turn must be given back also when the server ends in the midst of it.
        closing = asyncio.ensure_future(calls.run_upload(turn.close))
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
    found = await asyncio.shield(closing)
    if failure is not None:
        raise failure
    return found


async def _stream(request: Request, turn: Turn, calls: Calls) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > turn.left_bytes:
        raise Problem(413, f"More bytes would come than Upload-Length says: {turn.left_bytes} are missing.")
    waiting = bytearray()
    pieces = request.stream().__aiter__()
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                piece = await anext(pieces, None)
            if piece is None:
                break
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                whole = bytes(waiting)
                waiting.clear()  # before: a disk that takes too long for an answer has got it all the same
                await calls.run_upload(turn.write, whole)
    except TimeoutError:
        raise Problem(408, f"Nothing came for {SILENCE_S:.0f} s; what came before counts.") from None
    except ClientDisconnect:
        raise Problem(400, "The connection ended within the body; what came before counts.") from None
    finally:
        if waiting:
            await calls.run_upload(turn.write, bytes(waiting))


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != TUS:
        raise Problem(412, f"Send the header `Tus-Resumable: {TUS}`.", title="Another protocol", headers={"Tus-Version": TUS})


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not text.isascii() or not text.isdecimal() or len(text) > 16 or int(text) > _MAX_NUMBER:
        raise Problem(400, f"The header {name.title()} must hold a number of bytes.")
    return int(text)


def _metadata(request: Request) -> dict[str, str]:
    """Upload-Metadata: keys and Base64 values, with commas between. Raises Problem 400."""
    text = request.headers.get("upload-metadata", "")
    if len(text) > MAX_METADATA_BYTES:
        raise Problem(400, f"Upload-Metadata is longer than {MAX_METADATA_BYTES} bytes.")
    found: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, value = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise Problem(400, "Upload-Metadata must hold keys with values in Base64, of UTF-8.") from None
    return found


def _told(upload: Upload) -> dict[str, str]:
    told = {"Tus-Resumable": TUS, "Upload-Offset": str(upload.offset), "Upload-Length": str(upload.length)}
    if upload.path is not None:
        return {**told, "Channeld-Path": quote(upload.path, errors="surrogatepass")}
    return {**told, "Upload-Expires": formatdate(upload.ends_s, usegmt=True)}


def _described(upload: Upload) -> dict[str, Any]:
    facts = {"id": upload.id, "name": upload.name, "length": upload.length, "offset": upload.offset}
    return {**facts, "expires_at": iso_utc(upload.ends_s), "path": upload.path}


def _header(name: str, example: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "example": example}
