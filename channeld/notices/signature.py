"""What stands in the head of a webhook delivery, so that its receiver knows who sent it, when, and whether it has it already. Pure.

Rule: the signature covers the moment and the body, so that neither can be changed and an old delivery cannot be sent again later; the id
of a delivery is the same however often it is tried, also by another process.
"""

import hashlib
import hmac
import json
import uuid
from typing import Any

_NAMESPACE = uuid.UUID("5a1f1a52-6b0a-4b5e-9d6e-3d4f0f3c8d11")


def body_of(event: dict[str, Any]) -> bytes:
    """An event as JSON, in ASCII."""
    return json.dumps(event, separators=(",", ":")).encode("ascii")


def delivery_id(hook: str, event: dict[str, Any]) -> str:
    """A UUID for this event at this hook."""
    return str(uuid.uuid5(_NAMESPACE, f"{hook}\n{event.get('id')}\n{event.get('at')}"))


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, as `sha256=<hex>`."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()


def headers_of(hook: str, secret: str, event: dict[str, Any], body: bytes, *, now_s: float) -> dict[str, str]:
    """The head of one attempt; `now_s` is the wall clock."""
    timestamp = str(int(now_s))
    return {
        "content-type": "application/json",
        "x-channeld-event": str(event.get("kind")),
        "x-channeld-delivery": delivery_id(hook, event),
        "x-channeld-timestamp": timestamp,
        "x-channeld-signature": signature(secret, timestamp, body),
    }
