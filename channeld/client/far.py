"""A channel's stream from elsewhere, through `channeld attach-proxy`: `connect_far("live1", "tcp:host:9000")`.

Rule: as of a local reader: every byte from the place where it began, in order and once, also over lines that break; what cannot be had is
told by a typed error. Needs the standard library alone, but for a key (cryptography) and compression (zstandard). Not thread-safe.
"""

import asyncio
import contextlib
import os
import select
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from channeld.client.errors import AttachError, Closed, Cut, OffAir, Overrun, Refused, UnknownChannel, Untrusted
from channeld.client.far_line import FarLine, Peer
from channeld.client.line import LineLost
from channeld.client.reading import Reading
from channeld.client.stream import RESUME_S, Start, Status
from channeld.far import wire
from channeld.far.address import TcpAddress, parse_address
from channeld.far.seal import SealBroken, Unusable, read_key
from channeld.far.wire import Reason, WireError

AGAIN_S, AGAIN_MAX_S = 0.1, 2.0
"""Between attempts to connect: the first one, and what it doubles up to."""
_LOOK_S = 1.0
_STARTS = {Start.RANDOM_ACCESS: wire.StartAt.RANDOM_ACCESS, Start.LIVE: wire.StartAt.LIVE}
_MAY_PASS = (Reason.OFF_AIR, Reason.TOO_SLOW)
_FULL = (Reason.TOO_MANY, Reason.DAEMON_REFUSES)
"""One that had a place may be refused for its own dead connection, which still counts; so it asks again."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a proxy is spoken to. `key_file`: the key that it has, too: encrypts. `tls_name`: the name in its certificate, else the host."""

    key_file: str | os.PathLike[str] | None = None
    compress: bool = False
    tls: ssl.SSLContext | None = None
    tls_name: str | None = None


def connect_far(
    channel: str,
    via: str,
    way: Way | None = None,
    *,
    start: Start | str = Start.RANDOM_ACCESS,
    reconnect: bool = False,
    timeout: float | None = 10.0,
) -> "FarStream":
    """Attach to a channel through a proxy at `tcp:host:port` or `unix:/path`; otherwise as `connect`.

    Raises UnknownChannel, Closed, Refused, Untrusted, TimedOut, and AttachError for what was given.
    """
    return far_stream(channel, via, way or Way(), start=start, reconnect=reconnect, timeout=timeout).attached()


def far_stream(channel: str, via: str, way: Way, *, start: Start | str, reconnect: bool, timeout: float | None) -> "FarStream":
    """The same, not attached yet: that is done by whoever asks for the first chunk. Raises AttachError for what was given."""
    try:
        address = parse_address(via)
        key = read_key(Path(way.key_file)) if way.key_file is not None else None
    except (ValueError, Unusable) as error:
        raise AttachError(str(error)) from error
    name = way.tls_name or (address.host if isinstance(address, TcpAddress) else None)
    if way.tls is not None and name is None:
        raise AttachError("TLS over a Unix socket needs the name in the proxy's certificate (tls_name)")
    return FarStream(channel, Peer(address, way.tls, name, key, way.compress), Start(start), reconnect=reconnect, timeout=timeout)


class FarStream(Reading):
    """Owns one connection at a time."""

    def __init__(self, channel: str, peer: Peer, start: Start, *, reconnect: bool, timeout: float | None) -> None:
        super().__init__(channel, timeout)
        self._peer, self._start, self._reconnects = peer, start, reconnect
        self._line: FarLine | None = None
        self._place: wire.Where | None = None
        """Of the next byte to be delivered."""
        self._is_behind_break = False
        self._state: wire.State | None = None
        self._gives_up_at = self._asks_again_at = 0.0
        self._pause_s = AGAIN_S
        self._end: AttachError | None = None

    def attach(self) -> None:
        """Wait until the channel is there. Raises as `connect_far`."""
        deadline = self._deadline()
        while self._place is None:
            self._rest = self.step() or b""
            if self._place is None:
                self._wait(self._left(deadline))

    def step(self) -> bytes | None:
        """As `Reading.step`."""
        if self._rest:
            return self._take_rest()
        if self._end is None and self._line is None:
            self._dial()
        was_attached = self._place is not None
        while self._line is not None and was_attached == (self._place is not None):
            told = self._receive()
            if told is None:
                break
            chunk = self._hear(told)
            if chunk is not None:
                return chunk
        if self._end is not None:
            raise self._end
        return None

    def status(self) -> Status:
        """How it stands, as the proxy told last: `lag` is of the proxy. Raises Closed before that."""
        if self._state is None or self._place is None:
            raise Closed(f"{self.channel} is not attached")
        state, is_active = self._state, self._line is not None and self._state.is_active
        lag_s = state.lag_ms / 1000
        used, size, generation = state.used_bytes, state.capacity_bytes, self._place.generation
        return Status(is_active, used, size, state.lag_bytes, lag_s, self.lost_bytes, generation, state.clients)

    def close(self) -> None:
        """Let everything go; idempotent."""
        self._end = self._end or Closed(f"the reader of {self.channel} is closed")
        self._hang_up()

    def _dial(self) -> None:
        now = time.monotonic()
        if now < self._asks_again_at:
            return
        self._asks_again_at, self._pause_s = now + self._pause_s, min(self._pause_s * 2, AGAIN_MAX_S)
        start = _STARTS[self._start] if self._place is None else wire.StartAt.PLACE
        try:
            self._line = FarLine(self._peer, wire.Request(self.channel, start, self._place))
        except LineLost as lost:
            self._fail(Closed(str(lost)))
        except WireError as error:
            self._finish(UnknownChannel(f"{self.channel!r} is no name of a channel"), error)
        except Unusable as error:
            self._finish(AttachError(str(error)), error)

    def _receive(self) -> wire.Told | None:
        assert self._line is not None
        try:
            return self._line.receive()
        except LineLost as lost:
            self._hang_up()
            if self._place is not None and not self._is_behind_break:
                self._is_behind_break, self._gives_up_at = True, time.monotonic() + RESUME_S
            self._fail(Closed(str(lost)))
        except SealBroken as error:
            self._finish(Untrusted(f"{self._peer.address}: {error}"), error)
        except WireError as error:
            self._finish(Refused(f"{self._peer.address}: no proxy of this version: {error}"), error)
        except Unusable as error:
            self._finish(AttachError(str(error)), error)
        except Untrusted as error:
            self._finish(error)
        return None

    def _hear(self, told: wire.Told) -> bytes | None:
        if isinstance(told, wire.Piece) and self._place is not None:
            self._move(self._place.position + len(told.data))
            return told.data
        if isinstance(told, wire.Begin):
            self._begin(told.place)
        elif isinstance(told, wire.Overran) and self._place is not None and told.position == self._place.position + told.lost_bytes:
            if not told.lost_bytes:
                raise Cut
            self._overrun(told.lost_bytes)
        elif isinstance(told, wire.State):
            self._state = told
        elif isinstance(told, wire.Closed):
            self._hang_up()
            self._gives_up_at = 0.0
            self._fail(Closed(f"{self.channel}: {told.text}"))
        elif isinstance(told, wire.Refused):
            self._hang_up()
            self._refuse(told)
        else:
            self._finish(Refused(f"{self._peer.address}: no proxy of this version: the place of what it sends is not known"))
        return None

    def _begin(self, place: wire.Where) -> None:
        before, self._place, was_broken = self._place, place, self._is_behind_break
        self._is_behind_break, self._pause_s, self._trouble = False, AGAIN_S, None
        if before is None:
            return
        if (before.generation, before.ring) == (place.generation, place.ring):
            if place.position < before.position:
                self._finish(Refused(f"{self._peer.address}: the channel began again where it had been"))
            elif place.position > before.position:
                self._place = before
                self._overrun(place.position - before.position)
        elif was_broken:
            raise Cut

    def _overrun(self, lost_bytes: int) -> None:
        assert self._place is not None
        self._move(self._place.position + lost_bytes)
        self.lost_bytes += lost_bytes
        raise Overrun(lost_bytes)

    def _move(self, position: int) -> None:
        assert self._place is not None
        self._place = wire.Where(self._place.generation, self._place.ring, position)

    def _refuse(self, told: wire.Refused) -> None:
        text = f"{self.channel}: {told.text}"
        if told.reason is Reason.UNKNOWN_CHANNEL:
            self._fail(UnknownChannel(text))
        elif told.reason in _MAY_PASS:
            self._fail(OffAir(text) if told.reason is Reason.OFF_AIR else Closed(text))
        elif told.reason in _FULL and self._place is not None:
            self._fail(Refused(text))
        else:
            self._finish(Untrusted(text) if told.reason is Reason.NOT_PERMITTED else Refused(text))

    def _fail(self, error: AttachError) -> None:
        """Nobody to hear: end, unless it is worth asking again."""
        self._trouble = error
        now = time.monotonic()
        if self._is_barred(now if isinstance(error, UnknownChannel) else None) and self._place is None:
            self._finish(error)  # a name that is wrong is not waited for
        if not self._reconnects and now >= self._gives_up_at:
            self._finish(error)

    def _finish(self, error: AttachError, cause: Exception | None = None) -> None:
        self._hang_up()
        self._end = self._end or error
        raise error from cause

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _wait(self, left_s: float | None) -> None:
        wait_s = _LOOK_S if left_s is None else min(_LOOK_S, left_s)
        if self._line is None:
            time.sleep(min(AGAIN_S, wait_s))
            return
        poller = select.poll()
        poller.register(self._line, self._line.events)
        poller.poll(wait_s * 1000)

    async def wait_in_loop(self, left_s: float | None) -> None:
        wait_s = _LOOK_S if left_s is None else min(_LOOK_S, left_s)
        if self._line is None:
            await asyncio.sleep(min(AGAIN_S, wait_s))
            return
        loop, line, woken = asyncio.get_running_loop(), self._line, asyncio.Event()
        loop.add_reader(line.fileno(), woken.set)
        if line.events & select.POLLOUT:
            loop.add_writer(line.fileno(), woken.set)
        try:
            # Not wait_for: when it is cancelled just as what it waits for comes, it goes on (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await woken.wait()
        finally:
            loop.remove_reader(line.fileno())
            loop.remove_writer(line.fileno())
