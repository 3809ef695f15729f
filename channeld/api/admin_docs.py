"""How routes are described in the OpenAPI document: each status they can answer with, and the shape of each body.

Rule: a status that a route answers with is declared here by the route; tests hold both together. Used while the app is built.
"""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from channeld.api.admin_models import ProblemModel
from channeld.api.admin_roles import role_of
from channeld.api.problems import MEDIA_TYPE

_MEANINGS = {
    200: "As asked",
    201: "Made",
    202: "Accepted; `effective_at` says when it shows on air",
    204: "Done; there is no more to say",
    304: "Not changed since the ETag of If-None-Match",
    307: "The media listener has it",
    400: "The request is malformed",
    401: "No token, or another one",
    403: "Not with this role, or not without the session's CSRF token",
    404: "Nothing of this name",
    405: "Not with this method",
    408: "The body came too slowly",
    409: "Not in the present state of the channel, or of what is named",
    412: "The playlist has changed since; `revision` is its present one",
    413: "The body is too large",
    415: "Not this media type",
    421: "Not for this Host",
    423: "Somebody else has it just now",
    422: "The content is invalid; `errors` or `line` say where",
    428: "If-Match is missing",
    429: "Too many wrong tokens, or too many requests at once",
    431: "The head is too large",
    500: "The daemon failed; its log says where",
    503: "Not now",
    507: "No room on the disk",
}
EVERYWHERE = (400, 421, 431, 500, 503)
_KINDS = {
    "text_plain": "text/plain",
    "text_event_stream": "text/event-stream",
    "application_json": "application/json",
    "application_yaml": "application/yaml",
    "audio_x_mpegurl": "audio/x-mpegurl",
}
_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemModel"}}}}


def answers(*statuses: int, model: type[BaseModel] | Any = None, guarded: bool = True) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route; `model` is the body of its 2xx, `guarded` says that it wants the token."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, *EVERYWHERE, *((401, 403, 429) if guarded else ())}):
        described[status] = {"description": _MEANINGS[status]}
        if status < 300 and model is not None:
            described[status]["model"] = model
        elif status >= 400:
            described[status] |= _PROBLEM
    return described


def plain_answer(described: dict[int | str, dict[str, Any]], **content: Any) -> dict[int | str, dict[str, Any]]:
    """The same with another body for its 200: examples by media type, as _KINDS names these."""
    examples = {_KINDS[kind]: {"example": example} for kind, example in content.items()}
    described[200] = {"description": _MEANINGS[200], "content": examples}
    return described


def body_of(*, model: type[BaseModel] | None = None, **examples: Any) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself; examples by media type as in `plain_answer`, `model`: the JSON's shape."""
    shapes: dict[str, dict[str, Any]] = {"text/plain": {"type": "string"}}
    if model is not None:
        shapes["application/json"] = model.model_json_schema()
        # It stands within the document, where a reference would have to name its place.
        assert "$defs" not in shapes["application/json"], model
    content = {_KINDS[kind]: {"schema": shapes.get(_KINDS[kind], {}), "example": example} for kind, example in examples.items()}
    return {"requestBody": {"required": True, "content": content}}


def complete(app: FastAPI) -> None:
    """Add to the document what FastAPI does not know: problem documents, the token, the role."""
    document = app.openapi()
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {})["ProblemModel"] = ProblemModel.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "channeld_session"},
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            # FastAPI declares its own answer to invalid parameters wherever there are any.
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
            # And a 200, whether the route has one or not.
            if operation["responses"].get("200", {}).get("description") == "Successful Response":
                del operation["responses"]["200"]
            role = role_of(method.upper(), path)
            if role is not None:
                operation["security"] = [{"token": []}, {"session": []}]
                operation["x-role"] = role.value
