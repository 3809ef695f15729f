"""Any interleaving of a writer and a reader delivers exact bytes or says how many were lost."""

import mmap
import os
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from channeld.bus.layout import Lapped
from channeld.bus.ring import RingWriter
from channeld.client.cursor import Cursor
from channeld.client.errors import Overrun

CAPACITY, SLICES = 8192, 8


class InterruptedMap:
    """The writer's turn comes between the look at a record and the copy of the bytes."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self._map = mapped
        self.interrupt: Callable[[], object] | None = None

    def __getitem__(self, piece: slice) -> bytes:
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        return self._map[piece]

    def close(self) -> None:
        self._map.close()


publishes = st.tuples(st.just("publish"), st.integers(1, 3_000), st.booleans())
steps = st.one_of(
    publishes,
    st.tuples(st.just("tell"), st.just(0), st.just(False)),
    st.tuples(st.just("take"), st.just(0), st.just(False)),
    st.tuples(st.just("take"), st.integers(1, 3_000), st.integers(1, 12)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=80), st.integers(0, 20), st.booleans())
def test_every_byte_is_delivered_exactly_or_counted_as_lost(ops: list[tuple[str, int, int]], before: int, at_random_access: bool) -> None:
    ring = RingWriter.create(capacity_bytes=CAPACITY, slice_capacity=SLICES, generation=1, description={})
    fd = ring.open_reader_fd()
    everything = bytearray()

    def publish(length: int, is_random_access: bool) -> None:
        data = os.urandom(length)
        everything.extend(data)
        ring.publish(data, dts=ring.head_seq, duration=1, is_random_access=is_random_access, state=b"")

    for number in range(before):
        publish(500 + number, number % 3 == 0)
    cursor = Cursor(fd, 1, ring.head_seq)
    os.close(fd)
    cursor.ring._map = mapped = InterruptedMap(cursor.ring._map)  # type: ignore[assignment,arg-type]
    cursor.begin(at_random_access=at_random_access)
    position, lost = cursor.position, 0

    def take() -> bool:
        nonlocal position, lost
        chunk = None
        try:
            try:
                chunk = cursor.take()
            except Lapped:
                cursor.leap()
        except Overrun as overrun:
            assert overrun.lost_bytes > 0
            position += overrun.lost_bytes
            lost += overrun.lost_bytes
            return True
        if chunk is None:
            return False
        assert chunk == everything[position : position + len(chunk)]
        position += len(chunk)
        return True

    for name, size, more in ops:
        if name == "publish":
            publish(size, bool(more))
        elif name == "tell":
            cursor.head = ring.head_seq
        else:
            if size:
                mapped.interrupt = lambda size=size, more=more: [publish(size, False) for _ in range(more)]  # type: ignore[misc]
            take()
    mapped.interrupt = None
    cursor.head = ring.head_seq
    while take():
        pass
    assert position == len(everything)
    cursor.close()
    ring.close()


def test_a_reader_that_is_a_whole_ring_behind_says_so() -> None:
    ring = RingWriter.create(capacity_bytes=CAPACITY, slice_capacity=SLICES, generation=1, description={})
    ring.publish(b"x" * 500, dts=0, duration=18_000, is_random_access=True, state=b"")
    cursor = Cursor(ring.fd, 1, 1)
    for number in range(1, 40):
        ring.publish(b"x" * 500, dts=number * 18_000, duration=18_000, is_random_access=True, state=b"")
    lag_bytes, lag_s, used = cursor.backlog()
    assert lag_bytes == 40 * 500
    assert 0 < used <= CAPACITY and lag_s == (ring.head_seq - ring.tail_seq + 1) * 0.2
    cursor.close()
    ring.close()
