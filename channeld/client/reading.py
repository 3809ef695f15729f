"""What every way to a channel's stream is for its reader: an iterator, a file, a callback, or an asyncio iterator, all over one `step`.

Rule: `step` never waits; all waiting is here, and has the deadline that was given. Not thread-safe.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self

from channeld.client.errors import AttachError, Closed, TimedOut

BARRED_S = 1.0
"""How long a daemon that starts or ends may not know a channel, or have its socket not open yet; for those who wait for it."""


class Reading:
    """`timeout`: seconds without a byte; None: for ever."""

    def __init__(self, channel: str, timeout: float | None) -> None:
        self.channel = channel
        self.timeout = timeout
        self.lost_bytes = 0
        self._trouble: AttachError | None = None
        """Why nobody is heard right now."""
        self._rest = b""
        self._barred_since: float | None = None

    def step(self) -> bytes | None:
        """The next chunk, what `read` left of one first, or None where none is there yet; never waits. Raises Overrun, Closed, Refused."""
        raise NotImplementedError

    def _take_rest(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest

    def close(self) -> None:
        """Let everything go; idempotent."""
        raise NotImplementedError

    def attach(self) -> None:
        """Wait until the channel is there. Raises as `connect`."""
        raise NotImplementedError

    def attached(self) -> Self:
        """Itself, once it is attached; where it cannot be, closed."""
        try:
            self.attach()
        except BaseException:
            self.close()
            raise
        return self

    def _is_barred(self, now_s: float | None) -> bool:
        """Nothing was heard for BARRED_S but that it is unknown, or not permitted; None: something else was."""
        self._barred_since = None if now_s is None else self._barred_since or now_s
        return now_s is not None and self._barred_since is not None and now_s - self._barred_since >= BARRED_S

    def _wait(self, left_s: float | None) -> None:
        """Until there may be something, so long at most."""
        raise NotImplementedError

    async def wait_in_loop(self, left_s: float | None) -> None:
        """As `_wait`, in an event loop."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next chunk, of whole transport packets. Raises Overrun, TimedOut, Closed, Refused."""
        deadline = self._deadline()
        while (chunk := self.step()) is None:
            self._wait(self._left(deadline))
        return chunk

    def read(self, size: int = -1) -> bytes:
        """As of an unbuffered file: at most `size` bytes, at least one, or b"" once it is closed. Raises Overrun, TimedOut, Refused."""
        if not self._rest:
            try:
                self._rest = next(self)
            except Closed:
                return b""
        chunk, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return chunk

    def run(self, callback: Callable[[bytes], object]) -> None:
        """Give every chunk to a callback until it returns False. Raises as the iterator does."""
        for chunk in self:
            if callback(chunk) is False:
                return

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """As `__next__`, in an event loop."""
        deadline = self._deadline()
        while (chunk := self.step()) is None:
            await self.wait_in_loop(self._left(deadline))
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deadline(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _left(self, deadline: float | None) -> float | None:
        if deadline is None:
            return None
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            why = str(self._trouble or "its host stands still")
            raise TimedOut(f"nothing came of {self.channel} for {self.timeout:g} s: {why}", why)
        return left_s
