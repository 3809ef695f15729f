"""Clients of the endless stream: a real ring, real TCP connections, the event loop that the media worker has."""

import asyncio
import os
import socket
from collections.abc import Coroutine, Iterator
from itertools import pairwise
from typing import Any

import pytest
import uvloop

from channeld.base.client_address import address_key
from channeld.base.clock import FakeClock
from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter
from channeld.outputs.http_ts import Feed, Limits, refusal
from channeld.outputs.ts_client import End, Guest, TsClient, printable
from channeld.outputs.ts_pipe import MAX_CHATTER_BYTES, SocketPipe

DEADLINE_S = 20
SLICE = 18_800
GOP = 10


class Air:
    """A ring written by the test and the feed that reads it. Slice n holds 100 packets of n and begins a GOP every ten."""

    def __init__(self) -> None:
        self.rings: list[RingWriter] = []
        self.clock = FakeClock()
        self.feed = Feed("one", clock=self.clock)

    def attach(self, *, first_seq: int = 1, timeline: str = "t") -> RingWriter:
        ring = RingWriter.create(
            capacity_bytes=100 * SLICE,
            slice_capacity=1024,
            generation=len(self.rings),
            description={"timeline": timeline},
            first_seq=first_seq,
        )
        self.rings.append(ring)
        return ring

    def publish(self, first: int, last: int) -> None:
        for number in range(first, last):
            data = number.to_bytes(4, "big") * (SLICE // 4)
            self.rings[-1].publish(data, dts=number * 90_000, duration=90_000, is_random_access=number % GOP == 0, state=b"")

    def show(self) -> None:
        """Give the feed the newest ring, with what it holds."""
        fd = self.rings[-1].open_reader_fd()
        self.feed.attach(RingReader(fd), self.rings[-1].head_seq)
        os.close(fd)

    def advance(self) -> None:
        self.feed.advance(self.rings[-1].head_seq)

    def begin(self, last: int) -> None:
        """On air, up to slice `last` - 1."""
        self.attach()
        self.publish(0, last)
        self.show()


class Player:
    """The other end of a connection. `is_narrow`: with as small a buffer as the kernel gives."""

    def __init__(self, feed: Feed, *, burst_s: float = 0, is_narrow: bool = False, head: bytes = b"", guest: Guest | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.socket = socket.socket()
            if is_narrow:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.socket.connect(listener.getsockname())
            theirs, _ = listener.accept()
        if is_narrow:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        self.socket.setblocking(False)
        guest = guest or Guest("127.0.0.1", "test")
        self.client: TsClient = feed.join(guest, SocketPipe(theirs), head=head, burst_s=burst_s)

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes, fewer at the end of the stream."""
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < count and (more := await loop.sock_recv(self.socket, count - len(data))):
            data += more
        return data

    async def numbers(self, count: int) -> list[int]:
        """The next slices, each whole and exact."""
        data = await self.read(count * SLICE)
        found = [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), SLICE)]
        assert data == b"".join(number.to_bytes(4, "big") * (SLICE // 4) for number in found)
        return found

    async def is_silent(self) -> bool:
        """Nothing comes while the loop turns."""
        for _ in range(5):
            await asyncio.sleep(0)
        try:
            return not self.socket.recv(1)
        except BlockingIOError:
            return True


@pytest.fixture
def air() -> Iterator[Air]:
    made = Air()
    yield made
    for ring in made.rings:
        ring.close()


def run(air: Air, scene: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await scene
        finally:
            air.feed.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limited())


def judged(data: bytes) -> list[int]:
    """Numbers of the slices in what a slow client got; each hole begins behind a whole packet and ends at a random access point."""
    assert len(data) % 188 == 0
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    numbers = [int.from_bytes(packet[:4], "big") for packet in packets]
    assert all(packet == packet[:4] * 47 for packet in packets)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][0] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
    for (before, packets_before), (after, _) in pairwise(runs):
        assert (after == before + 1 and packets_before == 100) or (after > before and after % GOP == 0)
    return [number for number, _ in runs]


def test_a_client_begins_at_the_newest_random_access_point_and_follows(air: Air) -> None:
    async def scene() -> None:
        air.begin(27)
        player = Player(air.feed, head=b"HTTP/1.1 200 OK\r\n\r\n")
        assert await player.read(19) == b"HTTP/1.1 200 OK\r\n\r\n"
        assert await player.numbers(7) == list(range(20, 27))
        assert await player.is_silent()
        air.publish(27, 28)
        air.advance()
        assert await player.numbers(1) == [27]

    run(air, scene())


def test_a_client_waits_for_the_first_random_access_point(air: Air) -> None:
    async def scene() -> None:
        player = Player(air.feed)
        air.attach()
        air.publish(3, 7)
        air.show()
        assert await player.is_silent()
        air.publish(7, 12)
        air.advance()
        assert await player.numbers(2) == [10, 11]

    run(air, scene())


@pytest.mark.parametrize(("burst_s", "first"), [(0, 50), (7, 50), (8, 40), (25, 30), (30, 20)])
def test_a_burst_begins_as_many_seconds_behind_at_a_random_access_point(air: Air, burst_s: float, first: int) -> None:
    async def scene() -> None:
        air.begin(57)
        player = Player(air.feed, burst_s=burst_s)
        assert await player.numbers(57 - first) == list(range(first, 57))
        assert player.client.place.skips == 0

    run(air, scene())


def test_a_burst_never_begins_where_a_client_is_too_slow_already(air: Air) -> None:
    """The ring holds 100 slices, and half of it is too far."""

    async def scene() -> None:
        air.begin(137)
        player = Player(air.feed, burst_s=90)
        (first,) = await player.numbers(1)
        assert 90 <= first <= 130 and first % GOP == 0
        assert await player.numbers(136 - first) == list(range(first + 1, 137))
        assert player.client.place.skips == 0

    run(air, scene())


def test_a_client_that_reads_slowly_moves_to_random_access_points_only_and_harms_nobody(air: Air) -> None:
    """A tenth of what is published: the others have every byte at once."""

    async def scene() -> None:
        air.begin(11)
        slow, honest = Player(air.feed, is_narrow=True), Player(air.feed)
        assert await honest.numbers(1) == [10]
        got = b""
        for number in range(11, 311):
            air.publish(number, number + 1)
            air.advance()
            assert await honest.numbers(1) == [number]
            got += await slow.read(SLICE // 10)
        got += await slow.read(188 - len(got) % 188 if len(got) % 188 else 0)
        seen = judged(got)
        assert slow.client.place.skips >= 2
        assert seen[0] == 10 and seen[-1] > 100
        assert honest.client.place.skips == 0
        assert air.feed.total_skips() == slow.client.place.skips

    run(air, scene())


def test_one_that_was_lapped_in_the_middle_of_a_packet_gets_the_packets_rest_first(air: Air) -> None:
    async def scene() -> None:
        air.begin(1)
        slow, honest = Player(air.feed, is_narrow=True), Player(air.feed)
        assert await honest.numbers(1) == [0]
        for first in range(1, 465, 35):
            air.publish(first, first + 35)
            air.advance()
            assert await honest.numbers(35) == list(range(first, first + 35))
        assert slow.client.bytes % 188, "the kernel took a whole number of packets: the test says nothing"
        got = b""
        while not got.endswith((490).to_bytes(4, "big") * (SLICE // 4)):
            got += await slow.read(1)
        assert judged(got)[-1] == 490
        assert slow.client.place.skips == 1

    run(air, scene())


def test_one_that_takes_nothing_is_dropped_and_one_that_has_everything_is_not(air: Air) -> None:
    async def scene() -> None:
        air.begin(11)
        stalled, honest = Player(air.feed, is_narrow=True), Player(air.feed)
        air.publish(11, 45)
        air.advance()
        assert await honest.numbers(35) == list(range(10, 45))
        while not (stalled.client.idle_s(air.clock.monotonic_ns() + 1) and not honest.client.idle_s(air.clock.monotonic_ns() + 1)):
            await asyncio.sleep(0)
        air.clock.advance(29)
        air.feed.check(Limits(stale_s=30))
        assert len(air.feed.clients) == 2
        air.clock.advance(1)
        air.feed.check(Limits(stale_s=30))
        assert list(air.feed.clients.values()) == [honest.client]
        (gone,) = air.feed.past.tell(10)
        assert (gone.ended, gone.connected_s, gone.bytes) == (End.STALE, 30.0, stalled.client.bytes)
        assert air.feed.addresses == {"127.0.0.1": 1}
        with pytest.raises(ConnectionResetError):
            while await stalled.read(65536):
                pass

    run(air, scene())


def test_one_whose_token_opens_no_more_is_ended(air: Air) -> None:
    async def scene() -> None:
        air.begin(11)
        opens = True
        player = Player(air.feed, guest=Guest("192.0.2.1", "x", lambda: opens))
        air.feed.check(Limits())
        assert await player.numbers(1) == [10]
        opens = False
        air.feed.check(Limits())
        assert await player.read(1) == b""
        assert [each.ended for each in air.feed.past.tell(10)] == [End.DENIED]

    run(air, scene())


def test_one_that_leaves_or_talks_too_much_is_forgotten(air: Air) -> None:
    async def scene() -> None:
        air.begin(11)
        leaving, talking = Player(air.feed), Player(air.feed)
        leaving.socket.close()
        await asyncio.get_running_loop().sock_sendall(talking.socket, b"x" * (MAX_CHATTER_BYTES + 1))
        while air.feed.clients:
            await asyncio.sleep(0)
        assert [each.ended for each in air.feed.past.tell(10)] == [End.LEFT, End.LEFT]
        assert not air.feed.addresses
        assert air.feed.total_bytes() == 2 * SLICE

    run(air, scene())


def test_a_new_generation_goes_on_where_each_client_stopped_to_the_byte(air: Air) -> None:
    """One that has everything, and one that stands in the middle of a slice."""

    async def scene() -> None:
        air.begin(25)
        honest, slow = Player(air.feed), Player(air.feed, is_narrow=True)
        assert await honest.numbers(5) == list(range(20, 25))
        air.attach(first_seq=1000)  # the new host copies the tail of the old ring, numbered anew
        air.publish(15, 30)
        air.show()
        assert await honest.numbers(5) == list(range(25, 30))
        assert await slow.numbers(10) == list(range(20, 30))
        assert air.feed.total_skips() == 0

    run(air, scene())


def test_a_client_at_the_head_waits_there_in_a_new_generation_that_knows_less(air: Air) -> None:
    async def scene() -> None:
        air.begin(25)
        player = Player(air.feed)
        assert await player.numbers(5) == list(range(20, 25))
        air.attach(first_seq=1000)
        air.publish(10, 25)
        air.show()
        assert await player.is_silent()
        air.publish(25, 26)
        air.advance()
        assert await player.numbers(1) == [25]

    run(air, scene())


def test_a_closed_feed_ends_its_clients_behind_what_they_have(air: Air) -> None:
    async def scene() -> None:
        air.begin(1)
        player = Player(air.feed)
        air.feed.close()
        assert await player.numbers(1) == [0]
        assert await player.read(1) == b""
        assert [each.ended for each in air.feed.past.tell(10)] == [End.OVER]

    run(air, scene())


def test_limits_count_by_channel_and_by_address_and_a_refusal_says_which(air: Air) -> None:
    async def scene() -> None:
        air.begin(1)
        for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1"):
            Player(air.feed, guest=Guest(address, ""))
        feeds = [air.feed, Feed("two")]
        assert refusal(feeds, air.feed, "192.0.2.9", Limits(per_channel=4, per_address=2)) is None
        by_channel = refusal(feeds, air.feed, "192.0.2.9", Limits(per_channel=3, per_address=2))
        assert by_channel is not None and by_channel[0] == 503 and "max_clients_per_channel" in by_channel[1]
        by_address = refusal(feeds, feeds[1], "192.0.2.1", Limits(per_channel=3, per_address=2))
        assert by_address is not None and by_address[0] == 429 and "max_clients_per_address" in by_address[1]
        # A machine has a whole /64 of addresses.
        assert refusal(feeds, air.feed, "2001:db8::ffff", Limits(per_address=1)) is not None
        assert refusal(feeds, air.feed, "192.0.2.1", Limits(None, None)) is None
        assert (air.feed.past.refused, feeds[1].past.refused) == (2, 1)

    run(air, scene())


def test_addresses_count_as_one_where_they_are_one_machine() -> None:
    assert address_key("192.0.2.1") == address_key("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_key("2001:db8::1") == address_key("2001:db8::2") != address_key("2001:db8:0:1::1")
    assert address_key("fe80::1%eth0") == "fe80::/64"
    assert address_key("unknown") == "unknown"


def test_what_is_told_of_a_client_is_bounded_and_printable(air: Air) -> None:
    assert printable("VLC\x00\x1b[31m é") == "VLC??[31m é"
    assert len(printable("x" * 5000)) == 200

    async def scene() -> None:
        air.begin(11)
        honest, stalled = Player(air.feed), Player(air.feed, is_narrow=True)
        air.publish(11, 31)
        air.advance()
        assert await honest.numbers(21) == list(range(10, 31))
        first, second = air.feed.facts()
        assert (first.id, second.id) == (stalled.client.id, honest.client.id)
        assert 0 < first.lag_bytes <= 21 * SLICE and 0 < first.lag_s <= 21
        assert (second.lag_bytes, second.lag_s, second.bytes, second.position) == (0, 0.0, 21 * SLICE, air.rings[0].head_seq + 1)

    run(air, scene())
