"""Bad lines: a TCP and a UDP proxy in user space, and one that knows RTSP's negotiated ports.

Rule: the same seed and the same datagrams in the same order meet the same fates, whatever the weather was before: each datagram draws the
same number of chances. One thread with an event loop for each proxy; whoever makes one closes it (they are context managers).
"""

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self, cast

HOST = "127.0.0.1"
REORDERED_BY_S = 0.02
_CHUNK = 65536
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Weather:
    """What befalls datagrams: shares from 0 to 1, times in seconds. Jitter keeps the order, only `reorder` changes it."""

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What befalls one datagram: how often it arrives, after how long, and whether later ones may pass it."""

    copies: int
    after_s: float
    is_passed: bool


def fate(random: Random, weather: Weather) -> Fate:
    """The next datagram's."""
    lost, twice, passed, late = (random.random() for _ in range(4))
    is_passed = passed < weather.reorder
    after_s = weather.delay_s + late * weather.jitter_s + (REORDERED_BY_S if is_passed else 0.0)
    return Fate(0 if lost < weather.loss else 2 if twice < weather.duplicate else 1, after_s, is_passed)


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it there and wait for it. Raises what it raises, TimeoutError after 10 s."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    def close(self, last: Callable[[], None]) -> None:
        """Run the last thing, let what it ended end, and end the thread."""
        if not self._thread.is_alive():
            return

        async def finish() -> None:
            last()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.do(finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


class _Road:
    """One direction of datagrams: draws fates and sends when due."""

    def __init__(self, seed: str, weather: Callable[[], Weather], counts: Counter[str]) -> None:
        self._random, self._weather, self._counts = Random(seed), weather, counts
        self._last_due = 0.0

    def carry(self, datagram: bytes, send: Callable[[bytes], None]) -> None:
        """Let it arrive, or not."""
        loop, drawn = asyncio.get_running_loop(), fate(self._random, self._weather())
        self._counts["came"] += 1
        self._counts["lost"] += drawn.copies == 0
        self._counts["duplicated"] += drawn.copies == 2
        self._counts["reordered"] += drawn.is_passed and drawn.copies > 0
        due = loop.time() + drawn.after_s
        if not drawn.is_passed:
            # Never equal: the loop keeps no order among equals.
            due = self._last_due = max(due, self._last_due + 1e-6)
        for _ in range(drawn.copies):
            if due <= loop.time():
                send(datagram)
            else:
                loop.call_at(due, send, datagram)


class _Port(asyncio.DatagramProtocol):
    """A bound UDP port that gives what comes to a function."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it. (Python 3.11's is no DatagramTransport by class.)"""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Give it on."""
        self._take(data, addr[:2])

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there just now: lost, as on any line."""

    def send(self, datagram: bytes, to: Address) -> None:
        """Send it, unless this is closed."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(datagram, to)

    @property
    def number(self) -> int:
        """The port's number."""
        return int(self.transport.get_extra_info("sockname")[1]) if self.transport is not None else 0


async def _bind(take: Callable[[bytes, Address], None], port: int = 0) -> _Port:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    try:
        made.bind((HOST, port))
    except OSError:
        made.close()
        raise
    return (await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Port(take), sock=made))[1]


class UdpProxy:
    """Clients send to `port`; each has a way of its own to the target, and back. `weather` may change at any time."""

    def __init__(self, target: Address, *, port: int = 0, seed: int = 1, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.counts: Counter[str] = Counter()
        self._target, self._seed = target, seed
        self._ways: dict[Address, tuple[_Port, _Road]] = {}
        self._waiting: dict[Address, list[bytes]] = {}
        self._loop = _Loop("udp-proxy")
        self._front: _Port = self._loop.do(_bind(self._forth, port))
        self.port = self._front.number

    def _forth(self, datagram: bytes, client: Address) -> None:
        way = self._ways.get(client)
        if way is not None:
            back, road = way
            road.carry(datagram, lambda each: back.send(each, self._target))
        elif client in self._waiting:
            self._waiting[client].append(datagram)
        else:
            self._waiting[client] = [datagram]
            self._opening = asyncio.get_running_loop().create_task(self._open(client))

    async def _open(self, client: Address) -> None:
        """A port for this client; what it sent meanwhile follows in order."""
        number = len(self._ways) + len(self._waiting)
        home, road = (_Road(f"{self._seed}.{name}.{number}", lambda: self.weather, self.counts) for name in ("home", "forth"))
        back = await _bind(lambda each, _: home.carry(each, lambda one: self._front.send(one, client)))
        self._ways[client] = back, road
        for datagram in self._waiting.pop(client):
            self._forth(datagram, client)

    def _drop(self) -> None:
        for port in (self._front, *(back for back, _ in self._ways.values())):
            if port.transport is not None:
                port.transport.close()

    def close(self) -> None:
        """Leave all ports; idempotent."""
        self._loop.close(self._drop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class TcpProxy:
    """Clients connect to `port`. `delay_s` may change at any time; it delays each direction."""

    def __init__(self, target: Address, *, port: int = 0) -> None:
        self.delay_s = 0.0
        self.connections = 0
        self._target, self.port = target, port
        self._flows: asyncio.Event
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = _Loop("tcp-proxy")
        self._loop.do(self._begin())

    async def _begin(self) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def stall(self) -> None:
        """Nothing passes any more, connections stay: a line that died without a word."""
        self._loop.do(_call(lambda: self._flows.clear()))

    def resume(self) -> None:
        """What was held back passes, and all that follows."""
        self._loop.do(_call(lambda: self._flows.set()))

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        self._loop.do(_call(self._abort))

    def refuse(self) -> None:
        """Reset every connection, and take no new ones until `accept`."""
        self._loop.do(_call(self._leave))

    def accept(self) -> None:
        """Take connections again, at the same port."""
        self._loop.do(self._listen())

    def _abort(self) -> None:
        for writer in tuple(self._writers):
            _reset(writer)

    def _leave(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self._abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            self._writers.discard(writer)
            _reset(writer)
            return
        self._writers.add(back)
        peer = writer.get_extra_info("peername")[0]
        try:
            await asyncio.gather(self._carry(reader, back, peer, forth=True), self._carry(there, writer, peer, forth=False))
        finally:
            self._writers -= {writer, back}
            for each in (writer, back):
                each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str, *, forth: bool) -> None:
        """One direction, until its end; an end or a reset on one side is one on the other."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def take() -> None:
            chunk = b"-"
            while chunk:
                try:
                    chunk = await reader.read(_CHUNK)
                except OSError:  # a reset; who waits at the queue has to know
                    chunk = b""
                await queue.put((loop.time() + self.delay_s, await self.changed(chunk, peer, forth=forth)))

        taking = asyncio.create_task(take())
        with contextlib.suppress(OSError):
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._flows.wait()
                if not chunk:
                    break
                writer.write(chunk)
                await writer.drain()
        taking.cancel()
        # Half closed connections are rare among our peers, and a reset one must end both ways.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await taking
        writer.close()

    async def changed(self, chunk: bytes, peer: str, *, forth: bool) -> bytes:
        """What passes in place of what came."""
        return chunk

    def close(self) -> None:
        """Leave the port, reset all connections; idempotent."""
        self._loop.close(self._leave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Pair:
    """Ports of one track: what the client asked for, what the server is told instead, what the client is told."""

    client: tuple[int, int]
    facing_server: tuple[_Port, _Port]
    facing_client: tuple[_Port, _Port]
    server: list[int]


class RtspProxy(TcpProxy):
    """RTSP with RTP over UDP through our own ports: rewrites the ports in Transport headers, and `weather` befalls RTP and RTCP."""

    def __init__(self, target: Address, *, port: int = 0, seed: int = 1, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.counts: Counter[str] = Counter()
        self._seed = seed
        self._pairs: dict[int, _Pair] = {}
        super().__init__(target, port=port)

    async def changed(self, chunk: bytes, peer: str, *, forth: bool) -> bytes:
        """Other ports in a SETUP and in its answer. RTSP messages are small: on loopback each comes in one piece."""
        if forth and chunk.startswith(b"SETUP ") and (asked := re.search(rb"client_port=(\d+)-(\d+)", chunk)):
            pair = await self._open((int(asked[1]), int(asked[2])), peer)
            first, second = (port.number for port in pair.facing_server)
            return chunk.replace(asked[0], b"client_port=%d-%d" % (first, second))
        if not forth and chunk.startswith(b"RTSP/") and (told := re.search(rb"client_port=(\d+)-(\d+)", chunk)):
            pair = self._pairs[int(told[1])]
            chunk = chunk.replace(told[0], b"client_port=%d-%d" % pair.client)
            if ports := re.search(rb"server_port=(\d+)-(\d+)", chunk):
                pair.server[:] = int(ports[1]), int(ports[2])
                chunk = chunk.replace(ports[0], b"server_port=%d-%d" % tuple(port.number for port in pair.facing_client))
        return chunk

    async def _open(self, client: tuple[int, int], peer: str) -> _Pair:
        server: list[int] = []
        sides: list[list[_Port]] = [[], []]

        def road(name: str, index: int) -> _Road:
            return _Road(f"{self._seed}.{name}.{index}.{len(self._pairs)}", lambda: self.weather, self.counts)

        def towards_client(index: int) -> Callable[[bytes, Address], None]:
            way = road("home", index)
            return lambda each, _: way.carry(each, lambda one: sides[1][index].send(one, (peer, client[index])))

        def towards_server(index: int) -> Callable[[bytes, Address], None]:
            way = road("forth", index)
            return lambda each, _: way.carry(each, lambda one: sides[0][index].send(one, (HOST, server[index])) if server else None)

        for side, towards in ((0, towards_client), (1, towards_server)):
            sides[side] = await _bind_pair(towards(0), towards(1))
        pair = _Pair(client, (sides[0][0], sides[0][1]), (sides[1][0], sides[1][1]), server)
        self._pairs[pair.facing_server[0].number] = pair
        return pair

    def _leave(self) -> None:
        super()._leave()
        for pair in self._pairs.values():
            for port in (*pair.facing_server, *pair.facing_client):
                if port.transport is not None:
                    port.transport.close()
        self._pairs.clear()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close it so that the other side is told of a reset, not of an end (socket(7), SO_LINGER)."""
    made = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _call(work: Callable[[], None]) -> None:
    work()


async def _bind_pair(first: Callable[[bytes, Address], None], second: Callable[[bytes, Address], None]) -> list[_Port]:
    """An even port and the next one, as RTP and RTCP have them (RFC 3550, 11)."""
    for _ in range(100):
        one = await _bind(first)
        if one.number % 2 == 0:
            with contextlib.suppress(OSError):
                return [one, await _bind(second, one.number + 1)]
        if one.transport is not None:
            one.transport.close()
    raise OSError("no pair of free UDP ports")
