"""What the channel routes share: the id in their paths and the answer to a trigger."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from channeld.api.control import Trigger
from channeld.api.problems import json_response

CHANNEL_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"  # as the configuration has it
ChannelId = Annotated[str, Path(pattern=CHANNEL_PATTERN, description="The channel's id", examples=["live1"])]


def trigger_answer(done: Trigger, headers: Mapping[str, str] | None = None) -> Response:
    """202 when something will change on air, 200 when it was so already."""
    value = {"revision": done.revision, "effective_at": done.effective_at, "changed": done.changed}
    return json_response(value, 202 if done.changed else 200, headers)
