"""Bodies of requests: read within bounds of size, time and depth, or refused.

Rule: nothing is kept of a body that is too large, and a connection whose body was not read to its end is closed after the
answer. Used by the admin event loop.
"""

import asyncio
import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from channeld.api.problems import Problem

MAX_BODY_BYTES = 1024 * 1024
MAX_PLAYLIST_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 16
BODY_TIMEOUT_S = 30.0
MIN_BYTES_PER_S = 256 * 1024
LINGER_S = 2.0

ModelT = TypeVar("ModelT", bound=BaseModel)


def media_type_of(request: Request) -> str:
    """The body's media type in lower case. Raises Problem 415 when it is said to be in another encoding than UTF-8, or compressed."""
    kind, *parameters = request.headers.get("content-type", "").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
            raise Problem(415, f"The text must be UTF-8, not {value[:40]!r}.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "The body must not be compressed.", headers={"Accept-Encoding": "identity"})
    return kind.strip()


async def read_body(request: Request, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises Problem: 413 when it is larger, 408 when it comes too slowly.

    It may last BODY_TIMEOUT_S, and a second more for each MIN_BYTES_PER_S that have come.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    begun_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(begun_s + BODY_TIMEOUT_S) as limit:
            async for piece in request.stream():
                body += piece
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                limit.reschedule(begun_s + BODY_TIMEOUT_S + len(body) / MIN_BYTES_PER_S)
    except TimeoutError:
        raise Problem(408, f"The body did not come within {BODY_TIMEOUT_S:.0f} s.") from None
    except ClientDisconnect:
        raise Problem(400, "The connection ended within the body.") from None
    return bytes(body)


async def read_json(request: Request, model: type[ModelT], *, max_bytes: int = MAX_BODY_BYTES) -> ModelT:
    """The body as a value of the model. Raises Problem: 415 for other types, 400 for what is no JSON, 422 for another shape."""
    if media_type_of(request) != "application/json":
        raise Problem(415, "Send application/json.", headers={"Accept": "application/json"})
    value = parse_json(await read_body(request, max_bytes=max_bytes))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [{"at": ".".join(map(str, fault["loc"])), "message": fault["msg"]} for fault in error.errors()[:20]]
        detail = "; ".join(f"{fault['at'] or 'body'}: {fault['message']}" for fault in faults)
        raise Problem(422, detail, title="Invalid request", errors=faults) from None


def parse_json(body: bytes) -> Any:
    """JSON in UTF-8, at most MAX_DEPTH levels deep, without NaN and lone surrogates. Raises Problem 400."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise Problem(400, f"The JSON is not UTF-8 at byte {error.start}.") from None
    except ValueError as error:
        raise Problem(400, f"The body is no JSON: {error}.") from None
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return value
        level = [child for item in level for child in _children(item)]
    raise _too_deep()


def decode_text(body: bytes) -> str:
    """A playlist's text. Raises Problem 422 with the line that is not UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Problem(422, "This line is not UTF-8.", title="Invalid playlist", line=line) from None


class Linger:
    """Closes the connection after an answer whose request body was not read to its end.

    A close with bytes unread is a reset, which can overtake the answer on its way (RFC 9112, 9.6): so the rest is taken
    and dropped for LINGER_S, with the answer sent already. ASGI middleware.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        is_read = False

        async def receive_counted() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def send_lingering(message: Message) -> None:
            if not is_read and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            elif not is_read and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await drop_rest()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        async def drop_rest() -> None:
            try:
                async with asyncio.timeout(LINGER_S):
                    while not is_read:
                        await receive_counted()
            except TimeoutError:
                return

        await self._app(scope, receive_counted, send_lingering)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    if isinstance(item, list):
        return item
    if isinstance(item, str) and not item.isascii():
        try:
            item.encode("utf-8")
        except UnicodeEncodeError:
            raise Problem(400, "The JSON holds half of a surrogate pair.") from None
    return []


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _too_deep() -> Problem:
    return Problem(400, f"The JSON is more than {MAX_DEPTH} levels deep.")


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"The body is larger than {max_bytes} bytes.")
