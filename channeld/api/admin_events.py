"""The event stream: what happens on all channels, as server-sent events.

Rule: each subscriber has a thread of a bounded pool and a place of its own; one that reads slowly waits alone. Source: the
HTML standard, 9.2. Used by the admin event loop.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.responses import StreamingResponse

from channeld.api.admin_calls import Calls
from channeld.api.control import Control, Subscription
from channeld.api.problems import Problem, json_bytes

MAX_SUBSCRIBERS = 32
HEARTBEAT_S = 15.0
_POLL_S = 1.0  # a closed connection's thread is free again after this
_LINE_BREAK = re.compile(r"[\r\n]")


def last_event_id(header: str | None) -> int | None:
    """Where a reader that comes again left off. An id that was never given counts as none, as browsers resend any text."""
    return int(header) if header is not None and re.fullmatch(r"[0-9]{1,18}", header) else None


def event_bytes(event: dict[str, Any]) -> bytes:
    """One event in the stream's format; its data is the whole event as JSON, which holds no line break."""
    kind = _LINE_BREAK.sub(" ", str(event.get("kind", "message")))
    return f"id: {int(event['id'])}\nevent: {kind}\ndata: ".encode() + json_bytes(event) + b"\n\n"


class EventStreams:
    """All subscribers of one server."""

    def __init__(self, control: Control, calls: Calls, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._control, self._calls = control, calls
        self._heartbeat_s = heartbeat_s
        self._threads = ThreadPoolExecutor(MAX_SUBSCRIBERS, "admin-events")
        self._count = 0

    async def open(self, last_id: int | None) -> StreamingResponse:
        """A stream for one more subscriber. Raises Problem 503 when there are too many."""
        if self._count >= MAX_SUBSCRIBERS:
            raise Problem(503, f"{MAX_SUBSCRIBERS} readers follow the events already.", headers={"Retry-After": "5"})
        self._count += 1
        try:
            subscription = await self._calls.run(self._control.subscribe, last_id)
        except BaseException:
            self._count -= 1
            raise
        return _EventResponse(self._pieces(subscription), subscription, self)

    def release(self, subscription: Subscription) -> None:
        """The subscriber has gone."""
        self._count -= 1
        subscription.close()

    def close(self) -> None:
        """Give the threads back; streams still open end with their server."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _pieces(self, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        yield b"retry: 2000\n\n"
        loop = asyncio.get_running_loop()
        told_s = loop.time()
        while True:
            wait_s = min(_POLL_S, max(0.0, told_s + self._heartbeat_s - loop.time()))
            event = await loop.run_in_executor(self._threads, subscription.events.get, wait_s)
            if event is not None:
                yield event_bytes(event)
            elif loop.time() < told_s + self._heartbeat_s:
                continue
            else:
                yield b": alive\n\n"
            told_s = loop.time()


class _EventResponse(StreamingResponse):
    """Releases its subscription whether or not its body was ever begun: a generator that never ran has no `finally`."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], subscription: Subscription, streams: EventStreams) -> None:
        super().__init__(pieces, headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"})
        self._subscription, self._streams = subscription, streams

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.release(self._subscription)
