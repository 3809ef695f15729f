"""Small pictures of what is on air, over HTTP.

Rule: no thread waits for a picture; whoever asks gets one that is fresh, or is told why there is none. Used by the admin event loop.
"""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from channeld.api.admin_calls import Calls
from channeld.api.admin_docs import answers
from channeld.api.admin_paths import ChannelId
from channeld.api.control import Control, UnknownChannel
from channeld.api.problems import Problem
from channeld.channel.pictures import NoPicture, Picture, Pictures

WIDTHS = (160, 320, 640, 1280)
TIMEOUT_S = 15.0


def picture_routes(control: Control, pictures: Pictures, calls: Calls) -> APIRouter:
    """GET /api/v1/channels/{channel}/thumbnail.jpg."""
    router = APIRouter(tags=["channels"])
    described = answers(200, 404, 422, 503)
    described[200]["content"] = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}

    @router.get("/api/v1/channels/{channel}/thumbnail.jpg", response_model=None, responses=described, summary="A picture of what is on air")
    async def thumbnail(
        channel: ChannelId,
        width: Annotated[int, Query(ge=16, le=WIDTHS[-1], description="In pixels; you get the next of 160, 320, 640 and 1280")] = 320,
    ) -> Response:
        if await calls.run(control.channel, channel) is None:
            raise UnknownChannel(channel)
        taken = pictures.ask(channel, next(each for each in WIDTHS if each >= width))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return _answer(await asyncio.wrap_future(taken))
        except NoPicture as reason:
            raise Problem(503, f"There is no picture: {reason}.", headers={"Retry-After": "5"}) from None
        except TimeoutError:
            raise Problem(503, "Too many pictures are asked for just now.", headers={"Retry-After": "5"}) from None

    return router


def _answer(picture: Picture) -> Response:
    age_s = picture.age_s(time.monotonic())
    left_s = max(1, round(picture.fresh_s - age_s))
    headers = {"Cache-Control": f"private, max-age={left_s}", "X-Picture-Age": f"{age_s:.1f}"}
    return Response(picture.jpeg, headers=headers, media_type="image/jpeg")
