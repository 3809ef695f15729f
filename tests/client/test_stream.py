"""The client library against a real ring, a real feeder's thread and real sockets."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_air import PACKET, SmallAir, chunk_of, open_descriptors, until

from channeld.bus.ring import RingWriter
from channeld.client import Closed, Cut, Overrun, Refused, Start, Stream, TimedOut, UnknownChannel, connect
from channeld.client.reading import BARRED_S


def attach(air: SmallAir, **options: object) -> Stream:
    return connect("one", air.folder, **{"timeout": 20.0, **options})  # type: ignore[arg-type]


def test_what_is_published_arrives_in_order_and_whole(air: SmallAir) -> None:
    air.begin()
    with attach(air) as stream:
        for number in range(100):
            air.publish(chunk_of(number))
        assert [next(stream) for _ in range(100)] == [chunk_of(number) for number in range(100)]


def test_a_reader_begins_at_the_newest_random_access_point(air: SmallAir) -> None:
    air.begin()
    for number in range(10):
        air.publish(chunk_of(number), is_random_access=number in (2, 6))
    with attach(air) as stream:
        assert next(stream) == chunk_of(6)


def test_a_live_reader_begins_with_what_comes_next(air: SmallAir) -> None:
    air.begin()
    air.publish(chunk_of(1))
    with attach(air, start=Start.LIVE) as stream:
        air.publish(chunk_of(2), is_random_access=False)
        assert next(stream) == chunk_of(2)


def test_it_reads_as_a_file_does(air: SmallAir) -> None:
    air.begin()
    with attach(air) as stream:
        air.publish(chunk_of(1))
        air.publish(chunk_of(2))
        assert stream.read(100) == chunk_of(1)[:100]
        assert stream.read() == chunk_of(1)[100:]
        assert stream.read(10_000) == chunk_of(2)
        air.end()
        assert stream.read(1) == b""


def test_what_a_read_left_comes_first_whoever_asks(air: SmallAir) -> None:
    air.begin()
    with attach(air) as stream:
        for number in range(3):
            air.publish(chunk_of(number))
        until(lambda: air.rings["one"].head_seq == 3, "three slices")
        assert stream.read(PACKET) == chunk_of(0)[:PACKET]
        assert stream.step() == chunk_of(0)[PACKET:]
        assert stream.read(PACKET) == chunk_of(1)[:PACKET]
        assert asyncio.run(anext(stream)) == chunk_of(1)[PACKET:]
        assert next(stream) == chunk_of(2)


def test_a_callback_gets_every_chunk_until_it_has_enough(air: SmallAir) -> None:
    air.begin()
    got: list[bytes] = []
    with attach(air) as stream:
        for number in range(4):
            air.publish(chunk_of(number))
        stream.run(lambda chunk: got.append(chunk) or len(got) < 3)
    assert got == [chunk_of(number) for number in range(3)]


def test_an_event_loop_iterates_it(air: SmallAir) -> None:
    air.begin()

    async def take(stream: Stream) -> list[bytes]:
        got = []
        air.publish(chunk_of(0))
        async for chunk in stream:
            got.append(chunk)
            if len(got) == 5:
                return got
            air.publish(chunk_of(len(got)))
        raise AssertionError("it never ends by itself")

    with attach(air) as stream:
        assert asyncio.run(take(stream)) == [chunk_of(number) for number in range(5)]


@pytest.mark.parametrize("ticks", range(6))
def test_one_that_is_cancelled_just_as_its_stream_comes_ends(air: SmallAir, ticks: int) -> None:
    air.begin()

    async def read(stream: Stream) -> None:
        async for _ in stream:
            pass

    async def cancel(stream: Stream) -> None:
        reading = asyncio.create_task(read(stream))
        while not (stream._line and reading.get_loop()._selector.get_map().get(stream._line.fileno())):  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        air.publish(chunk_of(0))
        assert select.select([stream._line], [], [], 20)[0]
        for _ in range(ticks):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading], timeout=10)
        assert reading.cancelled()

    with attach(air) as stream:
        asyncio.run(cancel(stream))


def test_an_unknown_channel_is_told_from_one_that_is_off_the_air_and_from_no_daemon(air: SmallAir, tmp_path: Path) -> None:
    with pytest.raises(UnknownChannel, match="no channel three"):
        connect("three", air.folder)
    with pytest.raises(UnknownChannel):
        connect("three", air.folder, reconnect=True, timeout=None)
    with pytest.raises(UnknownChannel):
        connect("../one", air.folder)
    with pytest.raises(Closed, match="not on air"):
        connect("two", air.folder)
    with pytest.raises(Closed, match="no daemon"):
        connect("one", tmp_path / "elsewhere")


def test_a_channel_that_goes_off_the_air_is_read_out_and_then_closed(air: SmallAir) -> None:
    air.begin()
    with attach(air) as stream:
        for number in range(3):
            air.publish(chunk_of(number))
        air.end()
        assert [next(stream) for _ in range(3)] == [chunk_of(number) for number in range(3)]
        with pytest.raises(Closed, match="off the air"):
            next(stream)


def test_a_channel_that_stands_still_times_out_and_may_be_asked_again(air: SmallAir) -> None:
    air.begin()
    with attach(air) as stream:
        stream.timeout = 0.05
        with pytest.raises(TimedOut):
            next(stream)
        air.publish(chunk_of(1))
        stream.timeout = 20
        assert next(stream) == chunk_of(1)


def test_a_new_ring_is_followed_without_loss(air: SmallAir) -> None:
    air.begin(generation=1)
    with attach(air) as stream:
        for number in range(5):
            air.publish(chunk_of(number))
        air.end()
        air.begin(generation=2)
        for number in range(5, 9):
            air.publish(chunk_of(number))
        assert [next(stream) for _ in range(9)] == [chunk_of(number) for number in range(9)]
        assert stream.status().generation == 2
        assert stream.lost_bytes == 0


def test_one_that_waits_for_the_next_chunk_follows_into_new_rings_and_keeps_no_descriptor(air: SmallAir) -> None:
    """`recv` would throw a ring's descriptor away: it is called only while none can come."""
    air.begin(generation=1)
    with attach(air) as stream, ThreadPoolExecutor(1) as pool:
        held = open_descriptors()
        for number in range(12):
            waiting = pool.submit(next, stream)
            time.sleep(0.02)  # until it waits, mostly; what it reads is the same if it does not yet
            if number % 3 == 2:
                air.end()
                air.begin(generation=number)
            air.publish(chunk_of(number))
            assert waiting.result(20) == chunk_of(number)
        assert stream.status().generation == 11
        until(lambda: open_descriptors() <= held, "every descriptor given back")


def test_a_ring_that_came_and_went_unheard_is_told_as_a_cut(air: SmallAir) -> None:
    air.begin(generation=5)
    with attach(air) as stream:
        for number in range(2):
            air.publish(chunk_of(number))
        assert next(stream) == chunk_of(0)
        air.hang_up()
        for number, generation in ((2, 6), (3, 8)):
            air.end()
            air.begin(generation=generation, follows=generation - (1 if generation == 6 else 2))
            air.publish(chunk_of(number))
        assert next(stream) == chunk_of(1)
        with pytest.raises(Cut, match="not known"):
            next(stream)
        assert next(stream) == chunk_of(3)


def test_a_ring_that_comes_unannounced_is_asked_for_again(air: SmallAir) -> None:
    air.begin(generation=1)
    with attach(air) as stream:
        air.publish(chunk_of(0))
        assert next(stream) == chunk_of(0)
        air.begin(generation=2)  # the first one never ended
        air.publish(chunk_of(1))
        assert next(stream) == chunk_of(1)


def test_a_host_that_goes_and_another_that_goes_on_with_the_ring_lose_nothing(air: SmallAir) -> None:
    air.begin()
    with attach(air) as stream:
        air.publish(chunk_of(0))
        assert next(stream) == chunk_of(0)
        air.hang_up()
        for number in range(1, 6):
            air.publish(chunk_of(number))
        assert [next(stream) for _ in range(5)] == [chunk_of(number) for number in range(1, 6)]


def test_a_reader_that_waits_for_its_channel_gets_the_next_one_too(air: SmallAir) -> None:
    air.begin(generation=1)
    with attach(air, reconnect=True) as stream:
        air.publish(chunk_of(0))
        air.end()
        assert next(stream) == chunk_of(0)
        air.desk.close()
        air.feeder.post(air.feeder.readers.close)
        stream.timeout = 0.2
        with pytest.raises(TimedOut, match="no daemon"):
            next(stream)
        stream.timeout = 20
        other = SmallAir(air.folder)
        try:
            other.begin(generation=2)
            other.publish(chunk_of(1))
            assert next(stream) == chunk_of(1)
        finally:
            other.close()


def test_a_reader_that_waits_outlasts_the_moment_in_which_a_daemon_that_ends_has_no_socket(tmp_path: Path) -> None:
    (tmp_path / "bus").mkdir()
    stream = Stream("one", tmp_path, Start.RANDOM_ACCESS, reconnect=True, timeout=0.1)
    (tmp_path / "bus").rename(tmp_path / "away")
    until_s = time.monotonic() + 2 * BARRED_S
    while time.monotonic() < until_s:  # no daemon, for longer than a name may be unknown
        with pytest.raises(TimedOut):
            next(stream)
    (tmp_path / "away").rename(tmp_path / "bus")
    with pytest.raises(TimedOut):
        next(stream)
    with pytest.raises(UnknownChannel):
        for _ in range(100):
            with contextlib.suppress(TimedOut):
                next(stream)
    stream.close()


def test_a_name_that_can_be_none_is_unknown(tmp_path: Path) -> None:
    for name in ("a" * 65, "ä" * 40, "", "../one", "a\0b"):
        with pytest.raises(UnknownChannel):
            connect(name, tmp_path)


def test_one_that_is_too_slow_is_told_exactly_how_much_it_lost(air: SmallAir) -> None:
    ring = air.begin(capacity_bytes=64 * 1024, slices=64)
    with attach(air) as stream:
        air.publish(chunk_of(0))
        got = next(stream)
        total = len(got)
        for number in range(1, 200):
            air.publish(chunk_of(number), is_random_access=number % 10 == 0)
            total += len(chunk_of(number))
        until(lambda: not air.feeder._published, "the feeder's turn")
        with pytest.raises(Overrun) as overrun:
            while True:
                got += next(stream)
        while len(got) + overrun.value.lost_bytes < total:
            got += next(stream)
        assert len(got) + overrun.value.lost_bytes == total == ring.published_bytes
        assert got[-len(chunk_of(0)) * 10 :] == b"".join(chunk_of(number) for number in range(190, 200))
        assert stream.status().lost_bytes == overrun.value.lost_bytes


def test_its_status_says_how_it_stands(air: SmallAir) -> None:
    air.begin()
    with attach(air) as stream:
        for number in range(4):
            air.publish(chunk_of(number))
        next(stream)
        status = stream.status()
    assert status.is_active
    assert status.buffer_used_bytes == 4 * len(chunk_of(0))
    assert (status.lag_bytes, round(status.lag_s, 3)) == (3 * len(chunk_of(0)), 0.6)
    assert status.buffer_bytes == 1 << 20


def test_every_reader_knows_how_many_they_are(air: SmallAir) -> None:
    """The host says it in the ring, within half a second, and a ring that another host goes on with begins with none."""
    ring = air.begin()
    first, second = attach(air), attach(air)
    with first:
        with second:
            until(lambda: (first.status().clients, second.status().clients) == (2, 2), "both are counted")
        air.publish(chunk_of(0))
        until(lambda: first.status().clients == 1, "the one that is gone is not")
        successor = RingWriter.adopt(os.dup(ring.fd))
        assert first.status().clients == 0
        successor.close()
    until(lambda: air.publish(chunk_of(1)) or air.feeder.readers.count("one") == 0, "both are gone")


def test_the_host_knows_who_reads_and_how_often_it_could_not_be_told(air: SmallAir) -> None:
    air.begin(capacity_bytes=64 * 1024, slices=64)
    with attach(air):
        until(lambda: air.feeder.readers.count("one") == 1, "the reader")
        numbers = iter(range(1 << 20))
        until(lambda: air.publish(chunk_of(next(numbers))) or air.feeder.readers.listed("one", 9)[0]["dropped"], "its socket is full")
        (told,) = air.feeder.readers.listed("one", 9)
        assert (told["pid"], told["uid"]) == (os.getpid(), os.geteuid())
        assert told["command"] == Path("/proc/self/comm").read_text().strip()
        assert abs(told["since_s"] - time.time()) < 60
    assert air.feeder.readers.listed("two", 9) == []


def test_no_more_readers_than_are_allowed_and_dead_ones_do_not_count(tmp_path: Path) -> None:
    air = SmallAir(tmp_path, most=2)
    try:
        air.begin()
        first, second = attach(air), attach(air)
        with pytest.raises(Refused, match="2 readers"):
            attach(air)
        first.close()
        with attach(air), second:
            pass
    finally:
        air.close()


READER = """
import sys
from channeld.client import connect, Overrun
stream = connect("one", sys.argv[1], timeout=60)
print("attached", flush=True)
got, lost, number, hole = 0, 0, -1, 0
while number < int(sys.argv[2]):
    try:
        chunk = next(stream)
        before, number = number, int.from_bytes(chunk[:4], "big")
        assert number * len(chunk) == got + lost and (hole or number == before + 1), (before, number, got, lost)
        got, hole = got + len(chunk), 0
    except Overrun as overrun:
        hole = overrun.lost_bytes
        lost += hole
print(number, got, lost, flush=True)
"""


def reader_process(air: SmallAir, last: int) -> "subprocess.Popen[str]":
    """Reads until it has the slice of that number, or a later one."""
    child = subprocess.Popen([sys.executable, "-c", READER, str(air.folder), str(last)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "attached\n"
    return child


def test_a_stopped_reader_is_told_how_much_it_lost_once_it_goes_on(air: SmallAir) -> None:
    """Its socket is long full by then: the heads that are in it are overwritten themselves."""
    air.begin(capacity_bytes=64 * 1024, slices=64)
    with reader_process(air, 2000) as child:
        os.kill(child.pid, signal.SIGSTOP)
        for number in range(2000):
            air.publish(chunk_of(number), is_random_access=number % 10 == 0)
            if number % 10 == 0:
                until(lambda: not air.feeder._published, "the feeder's turn")
        os.kill(child.pid, signal.SIGCONT)
        numbers = iter(range(2000, 1 << 32))
        until(lambda: air.publish(chunk_of(next(numbers))) or child.poll() is not None, "the reader goes on")
        assert child.stdout is not None
        last, got, lost = map(int, child.stdout.read().split())
    assert got + lost == (last + 1) * len(chunk_of(0))
    assert lost > 1900 * len(chunk_of(0))


def test_a_killed_reader_leaves_nothing(air: SmallAir) -> None:
    air.begin()
    air.publish(chunk_of(0))
    before = open_descriptors()
    with reader_process(air, 1 << 40) as child:
        until(lambda: air.feeder.readers.count("one") == 1, "the reader")
        child.kill()
        child.wait(20)
    air.publish(chunk_of(1))
    until(lambda: air.feeder.readers.count("one") == 0, "the reader is forgotten")
    assert open_descriptors() <= before


ALONE = """
import sys

class NothingElse:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top != "channeld" and top not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not of the standard library")

sys.meta_path.insert(0, NothingElse())
import channeld.client
mine = sorted(name for name in sys.modules if name.startswith("channeld."))
known = ("channeld.client", "channeld.bus", "channeld.base.unix_socket")
assert all(name == "channeld.base" or name.startswith(known) for name in mine), mine
"""


def test_the_library_needs_nothing_but_the_standard_library() -> None:
    subprocess.run([sys.executable, "-S", "-c", ALONE], check=True, cwd=Path(__file__).parent.parent.parent, timeout=60)
