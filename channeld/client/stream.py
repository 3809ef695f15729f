"""A channel's stream for one local reader.

Rule: every byte from the place where it began, in order and once, over every host and ring of the channel; what cannot be had is told by
a typed error, never left out in silence, and never delivered torn. Not thread-safe.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from channeld.bus.layout import Lapped
from channeld.bus.protocol import Kind, Refusal, Told
from channeld.client.cursor import Cursor, Place
from channeld.client.errors import AttachError, Closed, Cut, NotPermitted, OffAir, Overrun, Refused, UnknownChannel
from channeld.client.line import Heard, Line, LineLost
from channeld.client.reading import Reading

RESUME_S = 15.0
"""How long a reader whose connection broke looks for the channel before it is Closed: its host is being replaced, or the daemon."""
AGAIN_S = 0.05
MOST_AGAIN_S = 0.5
"""What the pause grows to while a channel is off the air: who waits for one asks its host, which has others to air."""
_HEAD = Kind.HEAD
ALIVE_S = 2.0
"""A writer that published nothing for so long is not active."""


class Start(StrEnum):
    """Where to begin."""

    RANDOM_ACCESS = "random_access"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Status:
    """How a reader stands. `lag`: what is published and not read; `lost_bytes`: all that overruns cost so far.

    `clients`: local readers of the channel, this one among them, as its host told half a second ago at most; 0 where it does not count.
    """

    is_active: bool
    buffer_used_bytes: int
    buffer_bytes: int
    lag_bytes: int
    lag_s: float
    lost_bytes: int
    generation: int
    clients: int


def connect(
    channel: str,
    runtime_dir: str | os.PathLike[str] = "/run/channeld",
    *,
    start: Start | str = Start.RANDOM_ACCESS,
    reconnect: bool = False,
    timeout: float | None = 10.0,
) -> "Stream":
    """Attach to a channel. With `reconnect` it waits for one that is off the air, now and later. `timeout`: seconds; None: for ever.

    Raises UnknownChannel, Closed (off the air), Refused, TimedOut.
    """
    return Stream(channel, Path(runtime_dir), Start(start), reconnect=reconnect, timeout=timeout).attached()


class Stream(Reading):
    """Owns one connection and the mappings of the rings that it reads."""

    def __init__(self, channel: str, runtime_dir: Path, start: Start | Place, *, reconnect: bool, timeout: float | None) -> None:
        super().__init__(channel, timeout)
        self._runtime_dir = runtime_dir
        self._start = start
        self._reconnects = reconnect
        self._line: Line | None = None
        self._cursors: deque[Cursor] = deque()
        """The ring that is read, and those that followed it."""
        self._gives_up_at = self._asks_again_at = 0.0
        self._pause_s = AGAIN_S
        self._end: AttachError | None = None

    # -- how it is used ------------------------------------------------------------------------------------------------

    def __next__(self) -> bytes:
        """The next chunk, of whole transport packets. Raises Overrun, TimedOut, Closed, Refused."""
        if self._rest:
            return self._take_rest()
        line = self._line
        # What happens nearly always comes first, in as few calls of ours as can be: each costs latency, of other readers too.
        if line is not None and self._end is None and len(self._cursors) == 1:
            cursor = self._cursors[0]
            if cursor.seq > cursor.head:
                try:
                    head = line.receive_head(cursor.generation, self.timeout)
                    if head > cursor.head:
                        cursor.head = head
                        data = cursor.ring.copy(cursor.seq)
                        cursor.seq += 1
                        cursor.position += len(data)
                        return data
                except TimeoutError:
                    self._left(0.0)
                except LineLost:
                    self._lose_line()
                except Lapped:
                    self._leap(cursor)
        return super().__next__()

    def status(self) -> Status:
        """How it stands now. Raises Closed before it is attached and once it is closed."""
        if not self._cursors:
            raise Closed(f"{self.channel} is not attached")
        cursor = self._cursors[0]
        ring = cursor.ring
        is_alive = not ring.is_ended and time.monotonic_ns() - ring.heartbeat_ns < ALIVE_S * 1e9
        lag_bytes, lag_s, used = cursor.backlog()
        return Status(is_alive, used, ring.capacity_bytes, lag_bytes, lag_s, self.lost_bytes, cursor.generation, ring.readers)

    def place(self) -> Place | None:
        """Of the next byte to be delivered; None before it is attached."""
        if not self._cursors:
            return None
        cursor = self._cursors[0]
        return Place(cursor.generation, cursor.inode, cursor.position)

    def close(self) -> None:
        """Let everything go; idempotent."""
        self._end = self._end or Closed(f"the reader of {self.channel} is closed")
        self._hang_up()
        while self._cursors:
            self._cursors.popleft().close()

    # -- how it works ----------------------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Wait until the ring is there. Raises as `connect`."""
        deadline = self._deadline()
        while not self._cursors:
            self._wait(self._left(deadline))

    def step(self) -> bytes | None:
        """As `Reading.step`."""
        if self._rest:
            return self._take_rest()
        chunk = self._take()
        # One message at a time, so that a chunk is given out before it is looked whether there is more to hear.
        while chunk is None and self._end is None and self._listen():
            chunk = self._take()
        if chunk is None and self._end is not None and (chunk := self._take()) is None:
            raise self._end
        return chunk

    def _take(self) -> bytes | None:
        """The next chunk of those that are known of."""
        while self._cursors:
            cursor = self._cursors[0]
            chunk = None
            try:
                chunk = cursor.take()
            except Lapped:
                self._leap(cursor)
            if chunk is not None:
                return chunk
            if len(self._cursors) == 1:
                break
            self._cursors.popleft().close()
            if self._cursors[0].follows not in (0, cursor.generation):
                raise Cut  # a whole ring came and went between the two
        return None

    def _leap(self, cursor: Cursor) -> None:
        """Go on at the newest place there is. Raises Overrun; what is not known yet is waited for."""
        while self._end is None and self._listen():
            continue
        try:
            cursor.leap()
        except Overrun as overrun:
            self.lost_bytes += overrun.lost_bytes
            raise

    def _listen(self, wait_s: float | None = 0.0) -> bool:
        """Hear the next message, where there is one; and see to it that there is somebody to hear."""
        if self._line is None:
            self._dial()
        try:
            heard = self._line.receive(wait_s) if self._line is not None else None
        except LineLost:
            self._lose_line()
            return False
        if heard is not None:
            self._hear(heard)
        return heard is not None

    def _dial(self) -> None:
        now = time.monotonic()
        if now < self._asks_again_at:
            return
        self._asks_again_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, MOST_AGAIN_S)
        try:
            self._line = Line(self._runtime_dir, self.channel)
        except BlockingIOError:
            return  # as many others ask at the same time as the socket holds
        except (Closed, UnknownChannel, NotPermitted) as error:
            self._fail(error)
        else:
            self._is_barred(None)

    def _hear(self, heard: Heard) -> None:
        told, kind = heard.told, heard.told.kind
        if kind is _HEAD or kind is Kind.ENDED:  # the first, as it is what readers wait for
            if self._cursors:
                newest = self._cursors[-1]
                if newest.generation == told.generation and newest.head < told.head:
                    newest.head = told.head
        elif kind is Kind.RING and heard.fd is not None:
            try:
                self._take_ring(heard.fd, told)
            except ValueError as error:
                self._end = Refused(f"{self.channel}: {error}: another layout of the ring; use the client of the daemon's version")
                raise self._end from error
            finally:
                os.close(heard.fd)
        elif kind is Kind.CLOSED:
            self._hang_up()
            self._finish(OffAir(f"{self.channel} is off the air"))
        elif kind is Kind.REFUSED:
            self._hang_up()
            text = f"{self.channel}: {told.text}"
            if told.refusal not in (Refusal.NOT_ON_AIR, Refusal.TOO_SLOW):
                self._end = NotPermitted(text) if told.refusal is Refusal.NOT_PERMITTED else Refused(text)
                raise self._end
            self._fail(OffAir(text) if told.refusal is Refusal.NOT_ON_AIR else Closed(text))

    def _take_ring(self, fd: int, told: Told) -> None:
        self._gives_up_at, self._trouble, self._pause_s = 0.0, None, AGAIN_S
        newest = self._cursors[-1] if self._cursors else None
        if newest is not None and newest.generation == told.generation and newest.inode == os.fstat(fd).st_ino:
            newest.head = max(newest.head, told.head)  # another host goes on with it
            return
        cursor = Cursor(fd, told.generation, told.head)
        if newest is None:
            self._begin(cursor)
        else:
            newest.head = newest.ring.head_seq  # nobody writes it any more
        self._cursors.append(cursor)

    def _begin(self, cursor: Cursor) -> None:
        if not isinstance(self._start, Place):
            cursor.begin(at_random_access=self._start is Start.RANDOM_ACCESS)
        elif (self._start.generation, self._start.ring) == (cursor.generation, cursor.inode):
            cursor.go_on_at(self._start.position)
        # else it is another ring than the one that was read: from its first byte on, as one that follows another

    def _lose_line(self) -> None:
        self._hang_up()
        if self._cursors:
            self._gives_up_at = time.monotonic() + RESUME_S

    def _fail(self, error: AttachError) -> None:
        """Nobody to hear: end, unless it is worth asking again."""
        self._trouble, now = error, time.monotonic()
        if self._is_barred(now if isinstance(error, UnknownChannel | NotPermitted) else None) and not self._cursors:
            raise error  # a name that is wrong is not waited for
        if not self._reconnects and now >= self._gives_up_at:
            self._finish(error)

    def _finish(self, error: AttachError) -> None:
        """End with an error once everything that is known of is read, unless others are waited for."""
        if self._reconnects:
            return
        if self._cursors:
            self._cursors[-1].head = max(self._cursors[-1].head, self._cursors[-1].ring.head_seq)
        self._end = error
        if not self._cursors:
            raise error

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _wait(self, left_s: float | None) -> None:
        """Until the next message, or for a moment where nobody is there to send one."""
        if not self._listen(left_s) and self._line is None:
            time.sleep(AGAIN_S if left_s is None else min(AGAIN_S, left_s))

    async def wait_in_loop(self, left_s: float | None) -> None:
        if self._line is None:
            await asyncio.sleep(AGAIN_S if left_s is None else min(AGAIN_S, left_s))
            return
        loop, fd = asyncio.get_running_loop(), self._line.fileno()
        woken = asyncio.Event()
        loop.add_reader(fd, woken.set)
        try:
            # Not wait_for: when it is cancelled just as what it waits for comes, it goes on (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await woken.wait()
        finally:
            loop.remove_reader(fd)
