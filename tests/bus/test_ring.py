"""The bus as its writer keeps it and as a reader finds it, in real memory and across real processes."""

import errno
import fcntl
import mmap
import os
import random
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channeld.bus.feeds import FeedPosition
from channeld.bus.layout import FEED_SLOTS, MAX_STATE_BYTES, Lapped
from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter

CAPACITY = 64 * 1024


def make(*, capacity_bytes: int = CAPACITY, slice_capacity: int = 64, first_seq: int = 1) -> RingWriter:
    return RingWriter.create(
        capacity_bytes=capacity_bytes, slice_capacity=slice_capacity, generation=3, description={"channel": "one"}, first_seq=first_seq
    )


def reader_of(ring: RingWriter) -> RingReader:
    fd = ring.open_reader_fd()
    try:
        return RingReader(fd)
    finally:
        os.close(fd)


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    made = make()
    yield made
    made.close()


@pytest.fixture
def reader(ring: RingWriter) -> Iterator[RingReader]:
    made = reader_of(ring)
    yield made
    made.close()


def fill(ring: RingWriter, length: int, *, key: bool = False, state: bytes = b"s") -> int:
    seq = ring.head_seq + 1
    return ring.publish(bytes([seq % 251]) * length, dts=seq * 100, duration=100, is_random_access=key, state=state)


def test_a_slice_reads_back_as_it_was_published(ring: RingWriter, reader: RingReader) -> None:
    assert ring.publish(b"abc" * 188, dts=-5, duration=18000, is_random_access=True, state=b"first") == 1
    got = reader.read(1, head=1)
    assert (got.seq, got.data, got.dts, got.duration, got.is_random_access) == (1, b"abc" * 188, -5, 18000, True)
    assert (reader.head_seq, reader.tail_seq, reader.latest_state()) == (1, 1, b"first")
    assert (reader.description, reader.generation, reader.writer_pid) == ({"channel": "one"}, 3, os.getpid())


def test_bytes_memoryviews_and_arrays_are_all_taken(ring: RingWriter, reader: RingReader) -> None:
    for number, given_bytes in enumerate((b"x" * 376, memoryview(b"x" * 376), np.full(376, ord("x"), np.uint8)), 1):
        ring.publish(given_bytes, dts=number, duration=1, is_random_access=False, state=b"")
        assert reader.read(number, head=number).data == b"x" * 376


def test_slices_that_cross_the_end_of_the_ring_stay_whole(ring: RingWriter, reader: RingReader) -> None:
    """Lengths that do not divide the ring make some slices lie in two pieces."""
    pieces = set()
    for _ in range(50):
        seq = fill(ring, 9_999)
        assert reader.read(seq, head=seq).data == bytes([seq % 251]) * 9_999
        pieces.add(len(ring.views(seq)))
        assert b"".join(ring.views(seq)) == bytes([seq % 251]) * 9_999
    assert pieces == {1, 2}


def test_a_lapped_reader_is_told_the_oldest_slice_left(ring: RingWriter, reader: RingReader) -> None:
    for _ in range(20):
        fill(ring, 10_000)
    with pytest.raises(Lapped) as lapped:
        reader.read(1, head=20)
    assert lapped.value.oldest_seq == ring.tail_seq == 15
    assert reader.read(15, head=20).data == bytes([15]) * 10_000
    with pytest.raises(Lapped):
        ring.slice(14)


def test_the_table_laps_too_when_slices_are_small(ring: RingWriter, reader: RingReader) -> None:
    for _ in range(200):
        fill(ring, 188)
    assert reader.tail_seq == 200 - 64 + 1
    assert reader.read(reader.tail_seq, head=200).data == bytes([137]) * 188


def test_a_reader_does_not_go_beyond_the_head_it_was_told(ring: RingWriter, reader: RingReader) -> None:
    fill(ring, 188)
    fill(ring, 188)
    with pytest.raises(IndexError):
        reader.read(2, head=1)
    with pytest.raises(IndexError):
        reader.read(3, head=99)


def test_random_access_points_are_found_by_time_and_from_the_end(ring: RingWriter, reader: RingReader) -> None:
    for number in range(1, 31):
        fill(ring, 188, key=number % 10 == 1)
    assert [ring.random_access_at_or_before(at) for at in (99, 100, 2099, 2100, 10**9)] == [None, 1, 11, 21, 21]
    assert [reader.newest_random_access(30, behind) for behind in (0, 1000, 1001, 2001, 10**6)] == [21, 21, 11, 1, 1]
    assert [reader.first_at_or_after(at, 30) for at in (-1, 1050, 1100, 3000, 3001)] == [1, 11, 11, 30, None]


def test_what_does_not_fit_is_refused_and_leaves_the_ring_alone(ring: RingWriter, reader: RingReader) -> None:
    fill(ring, 188)
    for data, state in ((b"", b""), (bytes(CAPACITY + 1), b""), (b"x", bytes(MAX_STATE_BYTES + 1))):
        with pytest.raises(ValueError, match="does not fit"):
            ring.publish(data, dts=0, duration=0, is_random_access=False, state=state)
    assert (reader.head_seq, reader.tail_seq) == (1, 1)
    ring.publish(bytes(CAPACITY), dts=0, duration=0, is_random_access=False, state=bytes(MAX_STATE_BYTES))
    assert (reader.tail_seq, reader.latest_state()) == (2, bytes(MAX_STATE_BYTES))


def test_a_new_generation_may_go_on_counting() -> None:
    ring = make(first_seq=1001)
    reader = reader_of(ring)
    assert (reader.head_seq, reader.tail_seq, reader.latest_state()) == (1000, 1001, b"")
    assert fill(ring, 188) == 1001
    assert reader.read(1001, head=1001).dts == 100_100
    ring.mark_ended()
    assert reader.is_ended
    reader.close()
    ring.close()
    ring.close()


def test_a_reader_cannot_write_map_writable_or_truncate(ring: RingWriter) -> None:
    fd = ring.open_reader_fd()
    try:
        with pytest.raises(OSError) as refused:
            os.pwrite(fd, b"x", 0)
        assert refused.value.errno == errno.EBADF
        with pytest.raises(PermissionError):
            mmap.mmap(fd, 4096)
        with pytest.raises(OSError):
            os.ftruncate(fd, 0)
        assert os.fstat(fd).st_mode & 0o777 == 0o400
    finally:
        os.close(fd)


def test_not_even_the_writer_can_change_its_size(ring: RingWriter) -> None:
    size = os.fstat(ring.fd).st_size
    for wrong in (size - 4096, size + 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(ring.fd, wrong)


def test_what_is_no_bus_is_refused() -> None:
    fd = os.memfd_create("other", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, 1 << 16)
        with pytest.raises(ValueError, match="sealed"):
            RingReader(fd)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        with pytest.raises(ValueError, match="magic"):
            RingReader(fd)
    finally:
        os.close(fd)


def body(seq: int) -> bytes:
    """What slice `seq` must hold: a length and a filling that follow from its number."""
    return seq.to_bytes(8, "little") * (1 + seq * 7919 % 900)


def publish_for_ever(ring: RingWriter) -> None:
    while True:
        seq = ring.head_seq + 1
        ring.publish(body(seq), dts=seq, duration=1, is_random_access=seq % 5 == 0, state=seq.to_bytes(8, "little") * (1 + seq % 1000))


def wait_for_head(reader: RingReader, head: int) -> None:
    deadline = time.monotonic() + 30
    while reader.head_seq < head:
        assert time.monotonic() < deadline, "the writer does not publish"


def expect_consistent(reader: RingReader) -> None:
    head, tail = reader.head_seq, reader.tail_seq
    assert head - 63 <= tail <= head + 1
    for seq in range(tail, head + 1):
        got = reader.read(seq, head=head)
        assert (got.data, got.dts, got.is_random_access) == (body(seq), seq, seq % 5 == 0)
    assert reader.latest_state() == head.to_bytes(8, "little") * (1 + head % 1000)


def test_a_writer_killed_at_any_moment_leaves_slices_and_state_consistent() -> None:
    """Thirty real processes die of SIGKILL in the middle of publishing as fast as they can."""
    chance = random.Random(20)
    for _ in range(30):
        ring = make()
        reader = reader_of(ring)
        pid = os.fork()
        if pid == 0:
            try:
                publish_for_ever(ring)
            finally:
                os._exit(1)
        wait_for_head(reader, chance.randrange(1, 400))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        expect_consistent(reader)
        reader.close()
        ring.close()


def test_a_writer_killed_at_any_moment_is_succeeded_in_the_same_memory() -> None:
    """Fifteen writers in turn, each killed in the middle of publishing; one reader follows them all and notices nothing."""
    chance = random.Random(21)
    ring = make()
    reader = reader_of(ring)
    fill_from_body(ring)
    for _ in range(15):
        pid = os.fork()
        if pid == 0:
            try:
                publish_for_ever(RingWriter.adopt(os.dup(ring.fd)))
            finally:
                os._exit(1)
        wait_for_head(reader, reader.head_seq + chance.randrange(1, 400))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        expect_consistent(reader)
        assert reader.writer_pid == pid
    reader.close()
    ring.close()


def fill_from_body(ring: RingWriter) -> None:
    """The first slice as `publish_for_ever` makes it."""
    ring.publish(body(1), dts=1, duration=1, is_random_access=False, state=(1).to_bytes(8, "little") * 2)


def test_a_successor_knows_all_that_its_predecessor_kept_in_memory(ring: RingWriter) -> None:
    for number in range(1, 31):
        fill(ring, 9_999, key=number % 10 == 1, state=b"state %d" % number)
    successor = RingWriter.adopt(os.dup(ring.fd))
    assert (successor.head_seq, successor.tail_seq, successor.ring_id) == (30, ring.tail_seq, 3)
    assert (successor.state(), successor.description()) == (b"state 30", {"channel": "one"})
    assert [successor.random_access_at_or_before(at) for at in (2099, 2100)] == [ring.random_access_at_or_before(at) for at in (2099, 2100)]
    successor.close()


def test_only_a_ring_with_something_to_go_on_from_is_adopted(ring: RingWriter) -> None:
    def refused(fd: int, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            RingWriter.adopt(fd)
        os.fstat(fd)  # still the caller's

    other = os.memfd_create("other", os.MFD_ALLOW_SEALING)
    os.ftruncate(other, 1 << 16)
    refused(other, "sealed")
    fcntl.fcntl(other, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    refused(other, "magic")
    os.close(other)
    refused(ring.fd, "nothing to go on from")
    fill(ring, 188)
    reader_fd = ring.open_reader_fd()
    with pytest.raises(PermissionError):
        RingWriter.adopt(reader_fd)
    os.close(reader_fd)
    ring.mark_ended()
    refused(ring.fd, "ended")


def test_feed_positions_are_kept_by_name_and_by_successors(ring: RingWriter) -> None:
    fill(ring, 188)
    assert ring.feeds.get("rtmp") is None
    slot = ring.feeds.slot("rtmp")
    assert ring.feeds.get("rtmp") is None, "a slot without a position yet"
    ring.feeds.put(slot, 1 << 39, (1 << 24) - 1)
    successor = RingWriter.adopt(os.dup(ring.fd))
    assert successor.feeds.get("rtmp") == FeedPosition(1 << 39, (1 << 24) - 1)
    assert successor.feeds.slot("rtmp") == slot
    successor.close()


def test_the_feed_that_is_furthest_behind_makes_room_for_a_new_one(ring: RingWriter) -> None:
    for number in range(FEED_SLOTS):
        ring.feeds.put(ring.feeds.slot(f"output {number}"), 100 + number, 0)
    ring.feeds.put(ring.feeds.slot("output 5"), 7, 0)
    ring.feeds.put(ring.feeds.slot("one more"), 200, 188)
    assert ring.feeds.get("output 5") is None
    assert ring.feeds.get("one more") == FeedPosition(200, 188)
    assert all(ring.feeds.get(f"output {number}") for number in range(FEED_SLOTS) if number != 5)


def test_a_reader_in_another_process_never_accepts_a_torn_slice_or_state() -> None:
    """While the writer races, each read is either right or Lapped, and each state belongs to one head."""
    ring = make()
    reader = reader_of(ring)
    pid = os.fork()
    if pid == 0:
        try:
            publish_for_ever(ring)
        finally:
            os._exit(1)
    whole = lapped = 0
    try:
        wait_for_head(reader, 200)
        while whole < 3000 or lapped < 20:
            tail = reader.tail_seq  # before the head: this process may be put aside between the two
            head = reader.head_seq
            for seq in (tail, head):
                try:
                    assert reader.read(seq, head=head).data == body(seq)
                    whole += 1
                except Lapped as found:
                    assert found.oldest_seq > seq
                    lapped += 1
            state = reader.latest_state()
            owner = int.from_bytes(state[:8], "little")
            assert owner >= head
            assert state == owner.to_bytes(8, "little") * (1 + owner % 1000)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    reader.close()
    ring.close()


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=120), slice_capacity=st.integers(2, 20))
def test_the_ring_holds_exactly_the_newest_slices_that_fit(lengths: list[int], slice_capacity: int) -> None:
    """Model: a list of all slices, of which the longest suffix within both capacities must be readable."""
    ring = make(capacity_bytes=16 * 1024, slice_capacity=slice_capacity)
    reader = reader_of(ring)
    for seq, length in enumerate(lengths, 1):
        fill(ring, length)
        kept = 0
        while kept < min(seq, slice_capacity) and sum(lengths[seq - kept - 1 : seq]) <= 16 * 1024:
            kept += 1
        assert ring.tail_seq == reader.tail_seq == seq - kept + 1
    for seq in range(reader.tail_seq, len(lengths) + 1):
        assert reader.read(seq, head=len(lengths)).data == bytes([seq % 251]) * lengths[seq - 1]
    reader.close()
    ring.close()
