"""Viewers of the endless stream, over a real ring in a real loop."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any

import pytest

from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter
from channeld.outputs.http_ts import Feed, Viewer

DEADLINE_S = 20


class Air:
    """A ring written by the test and the feed that reads it. Slice n holds 100 packets of n and begins a GOP every ten."""

    def __init__(self) -> None:
        self.rings: list[RingWriter] = []
        self.feed = Feed("one")

    def attach(self, *, first_seq: int = 1) -> RingWriter:
        ring = RingWriter.create(
            capacity_bytes=100 * 18_800, slice_capacity=1024, generation=len(self.rings), description={}, first_seq=first_seq
        )
        self.rings.append(ring)
        return ring

    def publish(self, first: int, last: int) -> None:
        for number in range(first, last):
            data = number.to_bytes(4, "big") * 4700
            self.rings[-1].publish(data, dts=number * 100, duration=100, is_random_access=number % 10 == 0, state=b"")

    def show(self) -> None:
        """Give the feed the newest ring, with what it holds."""
        fd = self.rings[-1].open_reader_fd()
        self.feed.attach(RingReader(fd), self.rings[-1].head_seq)
        os.close(fd)

    def advance(self) -> None:
        self.feed.advance(self.rings[-1].head_seq)


@pytest.fixture
def air() -> Iterator[Air]:
    made = Air()
    yield made
    made.feed.close()
    for ring in made.rings:
        ring.close()


def run(scene: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scene

    asyncio.run(limited())


async def numbers(stream: AsyncGenerator[bytes, None], count: int) -> list[int]:
    return [int.from_bytes((await anext(stream))[:4], "big") for _ in range(count)]


def test_a_viewer_begins_at_the_newest_random_access_point_and_follows(air: Air) -> None:
    async def scene() -> None:
        air.attach()
        air.publish(0, 27)
        air.show()
        stream = Viewer(air.feed, "v").slices()
        assert await numbers(stream, 7) == list(range(20, 27))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not waiting.done()
        air.publish(27, 28)
        air.advance()
        assert int.from_bytes((await waiting)[:4], "big") == 27
        assert air.feed.viewers == 1
        await stream.aclose()
        assert air.feed.viewers == 0

    run(scene())


def test_a_viewer_waits_for_the_first_random_access_point(air: Air) -> None:
    async def scene() -> None:
        stream = Viewer(air.feed, "v").slices()
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        air.attach()
        air.publish(3, 7)
        air.show()
        await asyncio.sleep(0)
        air.publish(7, 12)
        air.advance()
        assert int.from_bytes((await waiting)[:4], "big") == 10

    run(scene())


def test_a_slow_viewer_skips_to_the_newest_random_access_point_and_is_counted(air: Air) -> None:
    async def scene() -> None:
        air.attach()
        air.publish(0, 11)
        air.show()
        viewer = Viewer(air.feed, "v")
        stream = viewer.slices()
        assert await numbers(stream, 1) == [10]
        air.publish(11, 55)  # 44 slices behind is less than half of the 100 that fit
        air.advance()
        assert await numbers(stream, 2) == [11, 12]
        assert viewer.skips == 0
        air.publish(55, 75)
        air.advance()
        assert await numbers(stream, 2) == [70, 71]
        assert viewer.skips == 1
        air.publish(75, 400)  # more than the whole ring
        air.advance()
        assert await numbers(stream, 1) == [390]
        assert viewer.skips == 2

    run(scene())


def test_a_new_generation_goes_on_where_the_viewer_stopped(air: Air) -> None:
    async def scene() -> None:
        air.attach()
        air.publish(0, 25)
        air.show()
        stream = Viewer(air.feed, "v").slices()
        assert await numbers(stream, 3) == [20, 21, 22]
        air.attach()  # the new host copies the tail of the old ring, numbered anew
        air.publish(15, 30)
        air.show()
        assert await numbers(stream, 7) == list(range(23, 30))

    run(scene())


def test_a_viewer_that_was_at_the_head_waits_there_in_the_new_generation(air: Air) -> None:
    async def scene() -> None:
        air.attach()
        air.publish(0, 25)
        air.show()
        stream = Viewer(air.feed, "v").slices()
        assert await numbers(stream, 5) == list(range(20, 25))
        air.attach(first_seq=1000)
        air.publish(10, 25)
        air.show()
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        air.publish(25, 26)
        air.advance()
        assert int.from_bytes((await waiting)[:4], "big") == 25

    run(scene())


def test_a_closed_feed_ends_its_viewers(air: Air) -> None:
    async def scene() -> None:
        air.attach()
        air.publish(0, 1)
        air.show()
        stream = Viewer(air.feed, "v").slices()
        assert await numbers(stream, 1) == [0]
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        air.feed.close()
        with pytest.raises(StopAsyncIteration):
            await waiting

    run(scene())
