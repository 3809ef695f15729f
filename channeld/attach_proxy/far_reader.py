"""One far reader of the proxy's: who it is, what it wants, and then the channel as fast as it takes it.

Rule: nothing is read from the ring before the piece before it went into the socket: the ring is the buffer, and one that is too slow is
told what it lost. Every wait has a deadline. Runs in the proxy's loop; owns the connection and the local stream.
"""

import asyncio
import socket
import time
from collections.abc import Callable

import structlog

from channeld.attach_proxy.rules import ProxyRules
from channeld.client import Closed, Cut, Overrun, Refused, Start, Stream, UnknownChannel
from channeld.client.cursor import Place
from channeld.far import wire
from channeld.far.sides import Denied, ProxySide
from channeld.far.wire import Reason

ASK_S = 5.0
"""How long one who connects may take to say what it wants, TLS included."""
STATE_S = 1.0
STALLED_S = 120.0
"""A reader that takes not one piece in so long is hung up on; one that pauses for less is told what it lost."""
FAREWELL_S = 2.0
_HEARD_BYTES = 512
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4))

log = structlog.get_logger()


class FarReader:
    """`admit`: called once it said rightly what it wants; whether there is room for it."""

    def __init__(self, rules: ProxyRules, peer: str, admit: Callable[[], bool], stop: asyncio.Event) -> None:
        self._rules, self._peer, self._admit, self._stop = rules, peer, admit, stop
        self._side = ProxySide(key=rules.key, compresses=rules.compresses)
        self._wanted: wire.Where | None = None
        self._place: wire.Where | None = None
        """Of the next byte that is sent."""
        self._lost_bytes = 0

    async def serve(self, end: socket.socket) -> Reason | None:
        """Until one of both ends, or `stop`; closes the connection. Returns why it got nothing, None where it was served."""
        writer: asyncio.StreamWriter | None = None
        refused: Reason | None = None
        try:
            async with asyncio.timeout(ASK_S):
                reader, writer = await self._open(end)
                request = await self._hear(reader, writer)
            if not self._admit():
                raise self._deny(Reason.TOO_MANY)
            await self._serve(request, reader, writer)
        except Denied as denied:
            refused = denied.reason
        except TimeoutError:
            refused = Reason.TOO_SLOW
            self._side.refuse(refused)
        except OSError:  # TLS that failed is one, too
            refused = Reason.NOT_PERMITTED if writer is None else None
        except asyncio.CancelledError:
            if writer is not None:
                writer.transport.abort()
            raise
        if writer is not None:
            await self._hang_up(writer)
        return refused

    async def _open(self, end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if end.family != socket.AF_UNIX:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                end.setsockopt(socket.IPPROTO_TCP, option, value)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_HEARD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        tls, shutdown_s = self._rules.tls, FAREWELL_S if self._rules.tls else None
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, end, ssl=tls, ssl_shutdown_timeout=shutdown_s)
        # One piece at a time: `drain` waits until all of it is the kernel's. At 0, TLS would wait for ever (asyncio.sslproto).
        transport.set_write_buffer_limits(high=1)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> wire.Request:
        """What it wants. Raises Denied, OSError where it went."""
        while True:
            came = await reader.read(_HEARD_BYTES)
            if not came:
                raise ConnectionResetError
            self._side.feed(came)
            request = self._side.next()
            if request is not None:
                return request
            writer.write(self._side.to_send())

    async def _serve(self, request: wire.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = time.monotonic()
        log.info("far_reader_came", channel=request.channel, reader=self._peer)
        pump = asyncio.create_task(self._pump(request, writer))
        gone = asyncio.create_task(reader.read(1))  # it went, or says more than it may
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((pump, gone, stopped), return_when=asyncio.FIRST_COMPLETED)
            is_over, is_stopped = pump.done() or gone.done(), stopped.done()
        finally:
            for task in (pump, gone, stopped):
                task.cancel()
            await asyncio.gather(pump, gone, stopped, return_exceptions=True)
            seconds = round(time.monotonic() - began, 1)
            log.info("far_reader_gone", channel=request.channel, reader=self._peer, seconds=seconds, lost_bytes=self._lost_bytes)
        if is_stopped and not is_over:
            self._side.tell(wire.Closed("the proxy ends"))
        elif not pump.cancelled():
            pump.result()

    async def _pump(self, request: wire.Request, writer: asyncio.StreamWriter) -> None:
        """Until the channel is closed. Raises Denied, TimeoutError where it stalls, OSError where it went."""
        self._wanted = place = request.place
        start: Start | Place = Start.LIVE if request.start is wire.StartAt.LIVE else Start.RANDOM_ACCESS
        if place is not None:
            start = Place(place.generation, place.ring, place.position)
        with Stream(request.channel, self._rules.runtime_dir, start, reconnect=False, timeout=None) as stream:
            state_at = time.monotonic()
            while True:
                now = time.monotonic()
                if now >= state_at:
                    state_at = now + STATE_S
                    self._side.tell(_state_of(stream))
                try:
                    is_more = await self._step(stream, writer)
                except Closed as closed:
                    if self._place is None:
                        raise self._deny(Reason.OFF_AIR, str(closed)) from closed
                    self._side.tell(wire.Closed(str(closed)))
                    return
                except UnknownChannel as unknown:
                    raise self._deny(Reason.UNKNOWN_CHANNEL, str(unknown)) from unknown
                except Refused as refused:
                    raise self._deny(Reason.DAEMON_REFUSES, str(refused)) from refused
                await self._flush(writer)
                if not is_more:
                    await stream.wait_in_loop(max(0.0, state_at - time.monotonic()))

    async def _step(self, stream: Stream, writer: asyncio.StreamWriter) -> bool:
        """Send the next chunk; whether there may be another. Raises as `Stream.step`, but Overrun is told."""
        chunk, lost_bytes, is_cut = None, 0, False
        try:
            chunk = stream.step()
        except Cut:
            is_cut = True
        except Overrun as overrun:
            lost_bytes = overrun.lost_bytes
        place = stream.place()
        if place is None:
            return False
        span = len(chunk) if chunk is not None else lost_bytes
        skip = self._begin(place, span)
        if lost_bytes or is_cut:
            self._tell_loss(place.position)
        if chunk is not None:
            await self._send(chunk[skip:], writer)
        return span > 0 or is_cut

    def _begin(self, place: Place, span: int) -> int:
        """Tell of a ring that is new, of which `span` bytes up to `place` are next; how many of them the reader has already."""
        if self._place is not None and (self._place.generation, self._place.ring) == (place.generation, place.ring):
            return 0
        start, skip, wanted = place.position - span, 0, self._wanted
        if wanted is not None and (wanted.generation, wanted.ring) == (place.generation, place.ring):
            skip = wanted.position - start if 0 < wanted.position - start < span else 0
        self._wanted = None
        self._place = wire.Where(place.generation, place.ring, start + skip)
        self._side.tell(wire.Begin(self._place))
        return skip

    def _tell_loss(self, position: int) -> None:
        assert self._place is not None
        lost_bytes = position - self._place.position
        self._lost_bytes += lost_bytes
        self._place = wire.Where(self._place.generation, self._place.ring, position)
        self._side.tell(wire.Overran(lost_bytes, position))

    async def _send(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        assert self._place is not None
        for at in range(0, len(chunk), wire.MAX_PIECE_BYTES):
            piece = chunk[at : at + wire.MAX_PIECE_BYTES]
            self._place = wire.Where(self._place.generation, self._place.ring, self._place.position + len(piece))
            self._side.tell_piece(piece)
            await self._flush(writer)

    async def _flush(self, writer: asyncio.StreamWriter) -> None:
        goes = self._side.to_send()
        if goes:
            writer.write(goes)
            async with asyncio.timeout(STALLED_S):
                await writer.drain()

    def _deny(self, reason: Reason, text: str = "") -> Denied:
        self._side.refuse(reason, text)
        return Denied(reason)

    async def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        """Say what is left to be said to one who listens."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                writer.write(self._side.to_send())
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # it does not, or is gone: nothing is owed any more
        finally:
            writer.transport.abort()


def _state_of(stream: Stream) -> wire.State:
    try:
        status = stream.status()
    except Closed:  # not attached yet
        return wire.State(False, 0, 0, 0, 0)
    lag_ms = max(0, round(status.lag_s * 1000))
    return wire.State(status.is_active, lag_ms, status.buffer_used_bytes, status.buffer_bytes, status.lag_bytes, status.clients)
