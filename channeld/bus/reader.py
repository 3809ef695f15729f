"""A reader of a channel's bus: maps it read-only and copies slices out.

Rule: what was copied counts only if the tail, read again afterwards, has not passed it. A reader never makes the
writer wait. Not thread-safe in `close`; the reads of one reader may come from several threads.
"""

import fcntl
import json
import mmap
import os
from typing import Any, NamedTuple

from channeld.bus.layout import (
    MAGIC,
    MAX_DESCRIPTION_BYTES,
    MAX_STATE_BYTES,
    PAGE,
    PLACE,
    RECORD,
    SLOT,
    TABLE_OFFSET,
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
)

__all__ = ["Lapped", "RingReader", "Slice"]

_STATE_ATTEMPTS = 1000
_place_of, _RECORD_BYTES = PLACE.unpack_from, RECORD.size


class Slice(NamedTuple):
    """A copied slice: whole transport packets. dts and duration in ticks of 90 kHz, unbounded; `monotonic_ns`: when it was published."""

    seq: int
    data: bytes
    dts: int
    duration: int
    is_random_access: bool
    monotonic_ns: int = 0


class RingReader:
    """One mapping of one generation of a bus. Keeps a duplicate of `fd`; the caller closes its own."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        # An unsealed file could be shrunk under the mapping, and the next read would be a SIGBUS.
        if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK or size < PAGE * 2:
            raise ValueError("not a bus: too small, or not sealed against shrinking")
        self._map = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        self._bytes = memoryview(self._map)
        self._words = self._bytes[:PAGE].cast("Q")
        try:
            if self._words[WORD_MAGIC] != MAGIC:
                raise ValueError("not a bus: wrong magic")
            self._layout = Layout(self._words[WORD_CAPACITY], self._words[WORD_SLICES])
            length = self._words[WORD_DESCRIPTION]
            if self._layout.total_bytes != size or length > MAX_DESCRIPTION_BYTES:
                raise ValueError("not a bus: sizes do not fit")
            self.description: dict[str, Any] = json.loads(bytes(self._bytes[PAGE : PAGE + length]))
        except ValueError:
            self.close()
            raise

    @property
    def generation(self) -> int:
        """Which of the channel's rings this is; grows with each host start."""
        return int(self._words[WORD_GENERATION])

    @property
    def tail_seq(self) -> int:
        """Oldest slice that is still whole."""
        return int(self._words[WORD_TAIL])

    @property
    def head_seq(self) -> int:
        """Newest slice, for information; readers wait for heads from their socket."""
        return int(self._words[WORD_HEAD])

    @property
    def capacity_bytes(self) -> int:
        """Size of the ring of data."""
        return self._layout.capacity_bytes

    @property
    def writer_pid(self) -> int:
        """Process that writes, or wrote, this ring."""
        return int(self._words[WORD_PID])

    @property
    def heartbeat_ns(self) -> int:
        """Monotonic clock at the writer's last sign of life."""
        return int(self._words[WORD_HEARTBEAT])

    @property
    def is_ended(self) -> bool:
        """The writer said that nothing follows."""
        return bool(self._words[WORD_ENDED])

    @property
    def readers(self) -> int:
        """How many attached readers the host has, as it wrote last; 0 by one that does not count them."""
        return int(self._words[WORD_READERS])

    def info(self, seq: int) -> SliceInfo:
        """The record of a slice. Raises Lapped, or IndexError beyond the head."""
        if seq > self.head_seq:
            raise IndexError(f"slice {seq} is not published yet; head is {self.head_seq}")
        record = self._layout.read_record(self._bytes, seq)
        oldest = self.tail_seq
        if seq < oldest:
            raise Lapped(oldest)
        return record

    def read(self, seq: int, *, head: int) -> Slice:
        """Copy one slice out. Raises Lapped when it is overwritten, IndexError when `seq` is beyond `head`."""
        if seq > head:
            raise IndexError(f"slice {seq} is beyond the head {head}")
        record = self.info(seq)
        return Slice(seq, self.copy(seq), record.dts, record.duration, record.is_random_access, record.monotonic_ns)

    def copy(self, seq: int) -> bytes:
        """The bytes of a slice up to a head that was told, and nothing else of it. Raises Lapped when it is overwritten.

        Calls nothing of ours: between two slices a reader falls out of the caches, and each function that has to come back costs it
        some ten microseconds.
        """
        layout = self._layout
        position, length = _place_of(self._bytes, TABLE_OFFSET + seq % layout.slice_capacity * _RECORD_BYTES)
        start = layout.ring_offset + position % layout.capacity_bytes
        # Of an overwritten slice this may be another's record: what is copied then is two rings at most, and thrown away.
        data = self._map[start : start + length]
        if len(data) < length:
            data += self._map[layout.ring_offset : layout.ring_offset + length - len(data)]
        oldest = self._words[WORD_TAIL]
        if seq < oldest:
            raise Lapped(oldest)
        return data

    def latest_state(self) -> bytes:
        """The state published with the newest slice; empty before the first. Raises RuntimeError if it never holds still."""
        for _ in range(_STATE_ATTEMPTS):
            head = self.head_seq
            slot = self._layout.slot_offset(head)
            seq, length = SLOT.unpack_from(self._bytes, slot)
            state = bytes(self._bytes[slot + SLOT.size : slot + SLOT.size + min(length, MAX_STATE_BYTES)])
            # While head stands, the writer touches only the other slot.
            if self.head_seq == head:
                return state if seq == head else b""
        raise RuntimeError("the bus changed faster than its state could be read")

    def newest_random_access(self, head: int, behind_ticks: int = 0) -> int | None:
        """The newest random access point that leaves at least `behind_ticks` of stream up to `head`.

        The oldest one where none is so far behind; None where the ring holds none.
        """
        found = None
        try:
            newest = self.info(head)
            for seq in range(head, self.tail_seq - 1, -1):
                record = self.info(seq)
                if record.is_random_access:
                    found = seq
                    if newest.dts + newest.duration - record.dts >= behind_ticks:
                        break
        except (Lapped, IndexError):
            return found
        return found

    def first_at_or_after(self, dts: int, head: int) -> int | None:
        """The oldest slice whose DTS is not before `dts`; None when all are before it. Slices are in DTS order."""
        low, high = self.tail_seq, head + 1
        while low < high:
            middle = (low + high) // 2
            try:
                is_before = self.info(middle).dts < dts
            except Lapped as lapped:
                low = max(lapped.oldest_seq, middle + 1)
                continue
            low, high = (middle + 1, high) if is_before else (low, middle)
        return low if low <= head else None

    def close(self) -> None:
        """Unmap; idempotent."""
        self._words.release()
        self._bytes.release()
        self._map.close()
