"""One viewer of an endless stream over HTTP: takes all that comes, or a share of it, and notes when it came.

Rule: reads into a buffer that all viewers share, so that a thousand of them cost little; the answer's head is bounded. Event loop only.
"""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum

from channeld.load.continuity import Continuity

MAX_HEAD_BYTES = 16 * 1024
STALL_S = 1.0
"""As long as nothing may come before it counts, unless asked otherwise: players have a second in store."""
_BUFFER = memoryview(bytearray(256 * 1024))
"""Filled and read within one turn of the loop."""


class Condition(StrEnum):
    """Where a viewer is."""

    CONNECTING = "connecting"
    WATCHING = "watching"
    REFUSED = "refused"
    LOST = "lost"


class LoadClient(asyncio.BufferedProtocol):
    """`request` is sent as it is. `rate`: bytes a second that it takes, for one that is slow; asked anew with each piece."""

    def __init__(self, request: bytes, *, judged: bool, rate: Callable[[], float] | None = None, stall_s: float = STALL_S) -> None:
        self.condition = Condition.CONNECTING
        self.status: int | None = None
        self.error: str | None = None
        self.bytes = 0
        self.stalls = 0
        self.first_byte_s: float | None = None
        self.continuity = Continuity() if judged else None
        self._request, self._rate, self._stall_s = request, rate, stall_s
        self._head: bytes | None = b""
        self._began_s = self._last_s = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._pausing: asyncio.TimerHandle | None = None

    @property
    def is_slow(self) -> bool:
        """It takes less than it is sent."""
        return self._rate is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are no asyncio.Transport
        assert self._transport is not None
        self._transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        piece = _BUFFER[:nbytes]
        if self._head is None:
            self._take(piece)
            return
        self._head += bytes(piece)
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > MAX_HEAD_BYTES:
                self._refuse("no HTTP answer")
            return
        self._head = None
        self._read_status(head)
        if self.condition is Condition.WATCHING and body:
            self._take(memoryview(body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pausing is not None:
            self._pausing.cancel()
        if self.condition in (Condition.WATCHING, Condition.CONNECTING):
            self.condition, self.error = Condition.LOST, str(exc) if exc is not None else "the server ended the stream"

    def fail(self, reason: str) -> None:
        """It could not connect."""
        self.condition, self.error = Condition.LOST, reason

    def finish(self) -> None:
        """Count a stall that lasts to the end, and leave; what comes of that does not count."""
        self._note_time(time.monotonic())
        if self._transport is not None:
            condition, error = self.condition, self.error
            self._transport.abort()
            self.connection_lost(None)
            self.condition, self.error = condition, error

    def _read_status(self, head: bytes) -> None:
        words = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(words) < 2 or not words[0].startswith((b"HTTP/", b"ICY")) or not words[1].isdigit():
            self._refuse("no HTTP answer")
            return
        self.status = int(words[1])
        if self.status == 200:
            self.condition, self._last_s = Condition.WATCHING, time.monotonic()
        else:
            self._refuse(f"answers {self.status}")

    def _refuse(self, reason: str) -> None:
        self.condition, self.error = Condition.REFUSED, reason
        if self._transport is not None:
            self._transport.abort()

    def _take(self, piece: memoryview) -> None:
        now_s = time.monotonic()
        if self.first_byte_s is None:
            self.first_byte_s = now_s - self._began_s
        else:
            self._note_time(now_s)
        self._last_s = now_s
        self.bytes += len(piece)
        if self.continuity is not None:
            self.continuity.push(piece)
        if self._rate is not None and self._transport is not None:
            self._transport.pause_reading()
            self._pausing = asyncio.get_running_loop().call_later(len(piece) / max(1.0, self._rate()), self._transport.resume_reading)

    def _note_time(self, now_s: float) -> None:
        if self.condition is Condition.WATCHING and not self.is_slow and now_s - self._last_s > self._stall_s:
            self.stalls += 1
