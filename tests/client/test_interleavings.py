"""Any interleaving of writes, wraps, deaths, new rings and reads delivers exact bytes, or says how many are missing.

Rule: rings, sockets, the Readers of a host and the Stream are the real ones, all on this thread: whose turn it is, Hypothesis decides,
also in the middle of a read and in the middle of a write.
"""

import mmap
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from channeld.bus.layout import SliceInfo
from channeld.bus.protocol import FOLDER, REQUEST_BYTES, judge_request
from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter
from channeld.client import Cut, Overrun, Start, Stream, TimedOut, cursor
from channeld.playout.readers import Places, Readers

CAPACITY, SLICES = 8192, 8
MOST_TURNS = 1_000

lengths = st.integers(1, 3_000)
writes = st.lists(st.tuples(lengths, st.booleans()), max_size=12)
laps = st.lists(st.tuples(lengths, st.booleans()), min_size=1, max_size=12)
halves = st.none() | st.tuples(lengths, st.floats(0, 1))


class InterruptedMap:
    """What a reader copies from, with a moment before and after each piece."""

    def __init__(self, mapped: mmap.mmap, moment: Callable[[], None]) -> None:
        self._map, self._moment = mapped, moment

    def __getitem__(self, piece: slice) -> bytes:
        self._moment()
        data = self._map[piece]
        self._moment()
        return data

    def close(self) -> None:
        self._map.close()


class InterruptedReader(RingReader):
    """Others have their turn at one of the moments between a look at the table, the copy, and the look at the tail."""

    turn: Callable[[], None] = staticmethod(lambda: None)
    moments_left = 0

    @classmethod
    def interrupt(cls, moments: int, turn: Callable[[], None]) -> None:
        cls.moments_left, cls.turn = moments, staticmethod(turn)

    def _moment(self) -> None:
        cls = InterruptedReader
        cls.moments_left -= 1
        if cls.moments_left == 0:
            cls.turn()

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._map = InterruptedMap(self._map, self._moment)  # type: ignore[assignment]

    @property
    def tail_seq(self) -> int:
        self._moment()
        return super().tail_seq

    def info(self, seq: int) -> SliceInfo:
        record = super().info(seq)
        self._moment()
        return record


def _nobody_comes(left_s: float | None) -> None:
    raise TimedOut


class Interleavings(RuleBasedStateMachine):
    """One channel and one reader. `everything`: all bytes of each ring; `at`: the ring and the place in it that are due next."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ring-", dir="/tmp"))
        (self.folder / FOLDER).mkdir()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self.listener.bind(str(self.folder / FOLDER / "one.sock"))
        self.listener.listen(64)
        self.callers: list[socket.socket] = []
        self.readers = Readers()
        self.everything: dict[int, bytearray] = {}
        self.points: set[int] = set()
        self.unheard: set[int] = set()
        """Rings that came and went while nobody could hear of them."""
        self.half: tuple[bytes, bool] | None = None
        self.at = 1, 0
        cursor.RingReader = InterruptedReader  # type: ignore[misc]
        InterruptedReader.interrupt(0, lambda: None)
        self.begin(1)
        self.stream = Stream("one", self.folder, Start.RANDOM_ACCESS, reconnect=True, timeout=0.001)
        self.stream._wait = _nobody_comes  # type: ignore[method-assign]  # what happens must not depend on how long anything takes
        self.by_step = False
        """Both ways to the next chunk in turn: they share what is in the socket."""

    # -- the host ----------------------------------------------------------------------------------------------------------

    def begin(self, generation: int) -> None:
        self.ring = RingWriter.create(
            capacity_bytes=CAPACITY, slice_capacity=SLICES, generation=generation, description={"follows": generation - 1}
        )
        self.everything[generation] = bytearray()
        self.readers.began("one", self.ring)

    def publish(self, data: bytes, is_random_access: bool) -> None:
        stream = self.everything[self.ring.ring_id]
        if is_random_access:
            self.points.add(len(stream))
        stream.extend(data)
        self.ring.publish(data, dts=self.ring.head_seq, duration=1, is_random_access=is_random_access, state=b"")

    def write(self, pieces: list[tuple[int, bool]], half: tuple[int, float] | None) -> None:
        """Whole slices, what was begun first, and then perhaps the beginning of one more."""
        begun, self.half = self.half, None
        for data, is_point in [*([begun] if begun else []), *((os.urandom(length), is_point) for length, is_point in pieces)]:
            self.publish(data, is_point)
        if half is not None:
            self.write_half(os.urandom(half[0]), half[1])

    def write_half(self, data: bytes, share: float) -> None:
        """As a writer that is held up: the tail is announced, a part of the bytes is there, and no head."""
        ring, position = self.ring, self.ring.published_bytes
        ring._retire(ring.head_seq + 1, position + len(data))
        done = 0
        for start, end in ring._layout.pieces(position, round(len(data) * share)) if share else ():
            ring._bytes[start:end] = data[done : done + end - start]
            done += end - start
        self.half = data, False

    def tell(self) -> None:
        tell_first = self.readers.announce("one", self.ring.ring_id, self.ring.head_seq)
        if tell_first is not None:
            tell_first()
        self.readers.tell({"one": (self.ring.ring_id, self.ring.head_seq)})
        self.readers.look()

    def serve(self) -> None:
        """Let in who knocks."""
        while True:
            try:
                self.callers.append(self.listener.accept()[0])
            except BlockingIOError:
                break
        while self.callers:
            end = self.callers.pop()
            end.setblocking(False)
            assert judge_request(end.recv(REQUEST_BYTES + 1)) is None
            self.readers.add("one", self.ring, end, Places(9, 9))

    # -- the reader --------------------------------------------------------------------------------------------------------

    def read(self) -> bool:
        """One step; what comes of it must be what is due. False when there was nothing."""
        self.serve()
        self.stream._asks_again_at = 0.0
        self.by_step = not self.by_step
        try:
            chunk = self.stream.step() if self.by_step else next(self.stream)
        except TimedOut:
            return False
        except Cut:
            generation, position = self.due()
            assert generation + 1 in self.unheard and position == len(self.everything[generation])
            self.at = next(ring for ring in range(generation + 1, self.ring.ring_id + 1) if ring not in self.unheard), 0
            return True
        except Overrun as overrun:
            assert overrun.lost_bytes > 0
            self.move(overrun.lost_bytes)
            return True
        if chunk is None:
            return False
        generation, position = self.due()
        assert chunk == self.everything[generation][position : position + len(chunk)]
        self.move(len(chunk))
        return True

    def due(self) -> tuple[int, int]:
        """Behind the last byte of a ring that ended comes the next one's first."""
        generation, position = self.at
        while generation < self.ring.ring_id and position == len(self.everything[generation]) and generation + 1 not in self.unheard:
            generation, position = generation + 1, 0
        return generation, position

    def move(self, byte_count: int) -> None:
        generation, position = self.due()
        self.at = generation, position + byte_count
        assert self.at[1] <= len(self.everything[generation])

    # -- whose turn it is ----------------------------------------------------------------------------------------------------

    @initialize(before=writes)
    def attach(self, before: list[tuple[int, bool]]) -> None:
        self.write(before, None)
        for _ in range(10):
            self.serve()
            self.stream._listen()
        (found,) = self.stream._cursors
        self.at = 1, found.position
        assert found.position in self.points | {len(self.everything[1])}

    @rule(pieces=writes, half=halves, tells=st.booleans())
    def host_writes(self, pieces: list[tuple[int, bool]], half: tuple[int, float] | None, tells: bool) -> None:
        self.write(pieces, half)
        if tells:
            self.tell()

    @rule(steps=st.integers(1, 12))
    def reader_reads(self, steps: int) -> None:
        for _ in range(steps):
            self.read()

    @rule(moments=st.integers(1, 3), pieces=laps, half=halves, tells=st.booleans())
    def host_writes_while_the_reader_reads(
        self, moments: int, pieces: list[tuple[int, bool]], half: tuple[int, float] | None, tells: bool
    ) -> None:
        """There is something to read, and perhaps no more when it is read."""
        self.host_writes([(500, True)], None, tells=True)
        self.read_interrupted(moments, lambda: self.host_writes(pieces, half, tells))

    @rule(moments=st.integers(1, 14), before=laps, pieces=laps, half=halves, tells=st.booleans())
    def host_writes_while_the_reader_leaps(
        self, moments: int, before: list[tuple[int, bool]], pieces: list[tuple[int, bool]], half: tuple[int, float] | None, tells: bool
    ) -> None:
        """The reader is lapped, and while it looks where to go on perhaps once more."""
        self.host_writes([*before, (3_000, True), (3_000, False), (2_000, True)], None, tells=True)
        self.read_interrupted(moments, lambda: self.host_writes(pieces, half, tells))

    def read_interrupted(self, moments: int, turn: Callable[[], None]) -> None:
        InterruptedReader.interrupt(moments, turn)
        self.read()
        InterruptedReader.interrupt(0, lambda: None)

    @rule(is_killed=st.booleans())
    def another_host_goes_on(self, is_killed: bool) -> None:
        """With the same ring: what the one before it had begun never was, where there is anything to go on from."""
        self.readers.close()
        self.readers = Readers()
        if is_killed and self.ring.tail_seq <= self.ring.head_seq:
            successor = RingWriter.adopt(os.dup(self.ring.fd))
            self.ring.close()
            self.ring, self.half = successor, None
            assert self.ring.published_bytes == len(self.everything[self.ring.ring_id])

    @precondition(lambda self: self.stream._cursors and self.stream._cursors[-1].generation == self.ring.ring_id)
    @rule(tells=st.booleans(), reads=st.integers(0, 3))
    def the_channel_begins_anew(self, tells: bool, reads: int) -> None:
        """In another ring, of which the reader may hear while it is far behind."""
        if self.half is not None:
            self.write([], None)
        if tells:
            self.tell()
        self.ring.mark_ended()
        self.readers.ended("one", self.ring)
        for _ in range(reads):
            self.read_old()
        generation = self.ring.ring_id
        self.ring.close()
        self.begin(generation + 1)

    @precondition(lambda self: self.stream._cursors and self.stream._cursors[-1].generation == self.ring.ring_id)
    @rule(pieces=writes)
    def a_ring_comes_and_goes_unheard(self, pieces: list[tuple[int, bool]]) -> None:
        """While its readers have no line."""
        self.readers.close()
        self.readers = Readers()
        for is_unheard in (True, False):
            if self.half is not None:
                self.write([], None)
            generation = self.ring.ring_id + 1
            self.ring.mark_ended()
            self.ring.close()
            self.begin(generation)
            if is_unheard:
                self.unheard.add(generation)
                self.write(pieces, None)

    def read_old(self) -> None:
        """Nobody is let in between two rings."""
        if self.stream._line is not None:
            self.read()

    def teardown(self) -> None:
        """In the end every byte was delivered or told as lost."""
        try:
            self.write([], None)
            self.tell()
            for _ in range(MOST_TURNS):
                self.tell()
                if not self.read() and self.due() == (self.ring.ring_id, len(self.everything[self.ring.ring_id])):
                    break
            assert self.due() == (self.ring.ring_id, len(self.everything[self.ring.ring_id]))
        finally:
            cursor.RingReader = RingReader  # type: ignore[misc]
            self.stream.close()
            self.readers.close()
            self.listener.close()
            self.ring.close()
            shutil.rmtree(self.folder)


Interleavings.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestInterleavings = Interleavings.TestCase


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_many_more_interleavings() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Interleavings, settings=settings(max_examples=1_000, stateful_step_count=40, deadline=None))  # type: ignore[no-untyped-call]
