"""The event stream: what happens on all channels, as server-sent events.

Rule: a reader costs a task and a place in the ring, no thread; one that reads slowly waits alone and is moved on. Readers are woken in
small groups with pauses between, so that however many there are, they take a bounded share of this thread, and what happens
meanwhile goes out in one piece. Used by the admin event loop.

| what               | made by | ended by |
|--------------------|---------|----------|
| task of the rounds | start   | close    |
| place of a reader  | open    | its answer's end |
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import StreamingResponse

from channeld.api.admin_calls import Calls
from channeld.api.control import Control
from channeld.api.event_ring import EventRing, Wanted
from channeld.api.problems import Problem
from channeld.base.loop_inbox import LoopInbox

MAX_READERS = 1_000
HEARTBEAT_S = 15.0
GROUP = 32
PAUSE_S = 0.02


def last_event_id(header: str | None) -> int | None:
    """Where a reader that comes again left off. An id that was never given counts as none, as browsers resend any text."""
    return int(header) if header is not None and re.fullmatch(r"[0-9]{1,18}", header) else None


@dataclass(eq=False, slots=True)
class _Reader:
    """One answer that follows the events. `told_s`: when it was sent something, on the loop's clock."""

    wanted: Wanted
    place: int
    told_s: float
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class EventStreams:
    """All readers of one server."""

    def __init__(self, control: Control, *, heartbeat_s: float = HEARTBEAT_S, max_readers: int = MAX_READERS) -> None:
        self._control, self._max_readers = control, max_readers
        # A reader that was told something in the last third is passed over by a beat: at most heartbeat_s of silence.
        self._beat_s, self._quiet_s = heartbeat_s * 2 / 3, heartbeat_s / 3
        self._ring = EventRing()
        self._readers: dict[_Reader, None] = {}
        self._inbox: LoopInbox[dict[str, Any]] = LoopInbox(self._take)
        self._news = asyncio.Event()
        self._stop: Callable[[], None] = lambda: None
        self._rounds: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many follow."""
        return len(self._readers)

    @property
    def most(self) -> int:
        """How many may."""
        return self._max_readers

    async def start(self, calls: Calls) -> None:
        """Follow the daemon's events."""
        self._inbox.attach()
        self._stop = await calls.run(self._control.follow, self._inbox.put, 0)
        self._rounds = asyncio.create_task(self._go_round())

    async def close(self) -> None:
        """Follow no more; streams still open end with their server."""
        self._stop()
        if self._rounds is not None:
            self._rounds.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._rounds

    def open(self, last_id: int | None, wanted: Wanted) -> StreamingResponse:
        """A stream for one more reader. Raises Problem 503 when there are too many."""
        if len(self._readers) >= self._max_readers:
            raise Problem(503, f"{self._max_readers} readers follow the events already.", headers={"Retry-After": "5"})
        reader = _Reader(wanted, self._ring.begin(last_id), asyncio.get_running_loop().time())
        self._readers[reader] = None
        return _EventResponse(self._pieces(reader), lambda: self._readers.pop(reader, None))

    def newest(self, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
        """The newest events that are kept, newest first."""
        return self._ring.newest(wanted, limit)

    def _take(self, event: dict[str, Any]) -> None:
        self._ring.put(event)
        self._news.set()

    async def _go_round(self) -> None:
        loop = asyncio.get_running_loop()
        beat_at_s = loop.time() + self._beat_s
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), max(0.0, beat_at_s - loop.time()))
            self._news.clear()
            if loop.time() >= beat_at_s:
                beat_at_s = loop.time() + self._beat_s
            for number, reader in enumerate(list(self._readers), 1):
                reader.woken.set()
                if number % GROUP == 0:
                    await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    async def _pieces(self, reader: _Reader) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        yield b"retry: 2000\n\n"
        while True:
            piece, reader.place = self._ring.read(reader.place, reader.wanted)
            if not piece and loop.time() >= reader.told_s + self._quiet_s:
                piece = b": alive\n\n"
            if piece:
                reader.told_s = loop.time()
                yield piece
            elif self._ring.end == reader.place:
                reader.woken.clear()
                await reader.woken.wait()


class _EventResponse(StreamingResponse):
    """Lets go of its reader whether or not its body was ever begun: a generator that never ran has no `finally`."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], release: Callable[[], object]) -> None:
        super().__init__(pieces, headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"})
        self._release = release

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()
