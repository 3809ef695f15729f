"""The bus's only writer: a cyclic buffer of slices in a memfd.

Rule: tail, data, state, record, then head; so a reader, or a successor after SIGKILL at any instruction, finds every
slice from tail to head whole and the state that belongs to head. Sequences and positions only grow.
A successor adopts the same memfd once the writer before it is reaped: readers notice nothing.
Not thread-safe; used by the playout thread only. Aligned stores are seen in order on x86-64; on AArch64 the tail is
announced a whole slice's copy before its bytes change, which is far longer than a store stays unseen.
"""

import fcntl
import json
import mmap
import os
import time
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from channeld.base.units import TICKS_PER_SECOND
from channeld.bus.feeds import FeedTable
from channeld.bus.layout import (
    FLAG_RANDOM_ACCESS,
    MAGIC,
    MAX_DESCRIPTION_BYTES,
    MAX_SLICE_BYTES,
    MAX_STATE_BYTES,
    PAGE,
    RECORD,
    SLOT,
    WORD_CAPACITY,
    WORD_DESCRIPTION,
    WORD_ENDED,
    WORD_GENERATION,
    WORD_HEAD,
    WORD_HEARTBEAT,
    WORD_MAGIC,
    WORD_PID,
    WORD_READERS,
    WORD_SLICES,
    WORD_TAIL,
    Lapped,
    Layout,
    SliceInfo,
    encode_description,
)

SliceBytes = bytes | bytearray | memoryview | npt.NDArray[np.uint8]


class RingWriter:
    """Owns the memfd and its writable mapping; `close()` gives both back."""

    def __init__(self, fd: int, layout: Layout, first_seq: int) -> None:
        self.fd = fd
        self._layout = layout
        self._map = mmap.mmap(fd, layout.total_bytes)
        self._bytes = memoryview(self._map)
        self._words = self._bytes[:PAGE].cast("Q")  # native 8-byte items: CPython stores each with one move
        self._position = 0
        self._random_access: deque[tuple[int, int]] = deque()  # (dts, seq), oldest first
        self.feeds = FeedTable(self._words)
        self.head_seq = first_seq - 1
        self.tail_seq = first_seq

    @classmethod
    def create(
        cls, *, capacity_bytes: int, slice_capacity: int, generation: int, description: dict[str, Any], first_seq: int = 1
    ) -> "RingWriter":
        """Make a ring; capacity is rounded up to whole pages. Raises ValueError on sizes that cannot be, OSError when memory is short.

        `first_seq` lets a new generation go on counting where the old one ended.
        """
        layout = Layout(-(-capacity_bytes // PAGE) * PAGE, slice_capacity)
        text = encode_description(description)
        fd = os.memfd_create("channeld-bus", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, layout.total_bytes)
            # Without these seals a reader that touches a truncated page dies of SIGBUS (memfd_create(2)).
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            # 0400: who is handed an O_RDONLY descriptor cannot open a writable one through /proc/self/fd.
            os.fchmod(fd, 0o400)
            ring = cls(fd, layout, first_seq)
        except BaseException:
            os.close(fd)
            raise
        ring._bytes[PAGE : PAGE + len(text)] = text
        words = ring._words
        words[WORD_GENERATION], words[WORD_CAPACITY], words[WORD_SLICES] = generation, layout.capacity_bytes, slice_capacity
        words[WORD_DESCRIPTION], words[WORD_PID], words[WORD_HEARTBEAT] = len(text), os.getpid(), time.monotonic_ns()
        words[WORD_TAIL], words[WORD_HEAD], words[WORD_MAGIC] = first_seq, first_seq - 1, MAGIC
        return ring

    @classmethod
    def adopt(cls, fd: int) -> "RingWriter":
        """Go on with a ring whose writer is dead, behind its last whole slice. Takes `fd`, a writable one, unless it raises.

        Raises ValueError when it is no ring of this layout, ended, or empty; OSError when it cannot be mapped for writing.
        """
        layout, head = _judged(fd)
        ring = cls(fd, layout, head + 1)
        ring._restore(head)
        return ring

    def _restore(self, head: int) -> None:
        """Take over what the dead writer had in memory: it may have retired slices for one that it never committed."""
        words = self._words
        self.tail_seq = int(words[WORD_TAIL])
        newest = self._layout.read_record(self._bytes, head)
        self._position = newest.position + newest.length
        records = (self._layout.read_record(self._bytes, seq) for seq in range(self.tail_seq, head + 1))
        self._random_access.extend((record.dts, record.seq) for record in records if record.is_random_access)
        words[WORD_PID], words[WORD_HEARTBEAT], words[WORD_READERS] = os.getpid(), time.monotonic_ns(), 0

    @property
    def ring_id(self) -> int:
        """The generation: which of the channel's rings this is."""
        return int(self._words[WORD_GENERATION])

    @property
    def published_bytes(self) -> int:
        """All that was ever published on the channel, over every generation."""
        return self._position

    def description(self) -> dict[str, Any]:
        """What the stream is, as `create` was told."""
        found: dict[str, Any] = json.loads(bytes(self._bytes[PAGE : PAGE + self._words[WORD_DESCRIPTION]]))
        return found

    def state(self) -> bytes:
        """The state published with the newest slice; empty where there is none."""
        slot = self._layout.slot_offset(self.head_seq)
        seq, length = SLOT.unpack_from(self._bytes, slot)
        if seq != self.head_seq or length > MAX_STATE_BYTES:
            return b""
        return bytes(self._bytes[slot + SLOT.size : slot + SLOT.size + length])

    def publish(self, data: SliceBytes, *, dts: int, duration: int, is_random_access: bool, state: bytes) -> int:
        """Append one slice with the writer's state after it; returns its sequence. dts and duration in ticks of 90 kHz.

        Raises ValueError when data is empty or larger than the ring, or state is larger than its slot.
        """
        octets = memoryview(data)  # type: ignore[arg-type]  # numpy declares its buffer protocol only from 3.12
        length = octets.nbytes
        layout = self._layout
        if not 0 < length <= min(layout.capacity_bytes, MAX_SLICE_BYTES) or len(state) > MAX_STATE_BYTES:
            raise ValueError(f"slice of {length} bytes with {len(state)} bytes of state does not fit the ring")
        seq, position, target, words = self.head_seq + 1, self._position, self._bytes, self._words
        self._retire(seq, position + length)
        done = 0
        for start, end in layout.pieces(position, length):
            target[start:end] = octets if end - start == length else octets[done : done + end - start]
            done += end - start
        slot = layout.slot_offset(seq)
        SLOT.pack_into(target, slot, seq, len(state))
        target[slot + SLOT.size : slot + SLOT.size + len(state)] = state
        flags, now_ns = FLAG_RANDOM_ACCESS if is_random_access else 0, time.monotonic_ns()
        RECORD.pack_into(target, layout.record_offset(seq), position, length, flags, dts, duration, 0, now_ns)
        words[WORD_HEARTBEAT] = now_ns
        words[WORD_HEAD] = seq  # the commit
        self.head_seq, self._position = seq, position + length
        if is_random_access:
            self._random_access.append((dts, seq))
        return seq

    def _retire(self, seq: int, end: int) -> None:
        """Announce that slices will be overwritten, before any of their bytes or records change."""
        tail, layout = self.tail_seq, self._layout
        keep_from = end - layout.capacity_bytes
        while tail < seq and (tail <= seq - layout.slice_capacity or self._position_of(tail) < keep_from):
            tail += 1
        if tail == self.tail_seq:
            return
        self._words[WORD_TAIL] = self.tail_seq = tail
        while self._random_access and self._random_access[0][1] < tail:
            self._random_access.popleft()

    def _position_of(self, seq: int) -> int:
        position: int = RECORD.unpack_from(self._bytes, self._layout.record_offset(seq))[0]
        return position

    def fill(self) -> tuple[int, float, int]:
        """Bytes and seconds of stream that the ring holds, and the bytes that it can. Any thread: at worst one publish old."""
        tail, head = self.tail_seq, self.head_seq
        if head < tail:
            return 0, 0.0, self._layout.capacity_bytes
        try:
            # Records of slices retired meanwhile stand until they are written over, a whole ring later.
            oldest, newest = self._layout.read_record(self._bytes, tail), self._layout.read_record(self._bytes, head)
        except ValueError:  # closed while we looked
            return 0, 0.0, self._layout.capacity_bytes
        held = newest.position + newest.length - oldest.position
        return held, (newest.dts + newest.duration - oldest.dts) / TICKS_PER_SECOND, self._layout.capacity_bytes

    def slice(self, seq: int) -> SliceInfo:
        """The record of a slice still in the ring. Raises Lapped, or IndexError when it is not published yet."""
        if seq < self.tail_seq:
            raise Lapped(self.tail_seq)
        if seq > self.head_seq:
            raise IndexError(f"slice {seq} is not published yet; head is {self.head_seq}")
        return self._layout.read_record(self._bytes, seq)

    def views(self, seq: int) -> tuple[memoryview, ...]:
        """The slice's bytes, uncopied, in one piece or two; they change once the writer laps them. Raises like `slice`."""
        info = self.slice(seq)
        return tuple(self._bytes[start:end].toreadonly() for start, end in self._layout.pieces(info.position, info.length))

    def random_access_at_or_before(self, dts: int) -> int | None:
        """The newest random access point with a DTS not after `dts`, if the ring still holds one."""
        for at, seq in reversed(self._random_access):
            if at <= dts:
                return seq
        return None

    def open_reader_fd(self) -> int:
        """A read-only descriptor for somebody else; the caller closes it."""
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)

    def note_readers(self, count: int) -> None:
        """Say how many readers are attached; one store, for information. The feeder's thread only."""
        self._words[WORD_READERS] = count

    def mark_ended(self) -> None:
        """Tell readers that no slice will follow in this ring."""
        self._words[WORD_ENDED] = 1

    def close(self) -> None:
        """Unmap and close; idempotent. Raises BufferError while a view from `views` is alive."""
        if self.fd < 0:
            return
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self.fd)
        self.fd = -1


def _judged(fd: int) -> tuple[Layout, int]:
    """The layout and the head of a ring that may be adopted; raises ValueError. Read without mapping what is not judged yet."""
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    if not seals & fcntl.F_SEAL_SHRINK or not seals & fcntl.F_SEAL_GROW:
        raise ValueError("not a bus: not sealed against a change of size")
    words = memoryview(os.pread(fd, PAGE, 0).ljust(PAGE, b"\0")).cast("Q")
    if words[WORD_MAGIC] != MAGIC:
        raise ValueError("not a bus of this layout: wrong magic")
    layout = Layout(words[WORD_CAPACITY], words[WORD_SLICES])
    head, tail = words[WORD_HEAD], words[WORD_TAIL]
    if layout.total_bytes != os.fstat(fd).st_size or words[WORD_DESCRIPTION] > MAX_DESCRIPTION_BYTES:
        raise ValueError("not a bus of this layout: sizes do not fit")
    if words[WORD_ENDED]:
        raise ValueError("the bus was ended: nothing follows in it")
    if not 0 < tail <= head < tail + layout.slice_capacity:
        raise ValueError(f"nothing to go on from: the bus holds slices {tail} to {head}")
    return layout, head
