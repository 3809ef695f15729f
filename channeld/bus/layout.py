"""Where everything lies in a channel's bus: the bytes that writer and readers agree on.

Rule: nothing but this module knows an offset; what RingReader.copy reads in place of a call is named here.
Sans-I/O. Used by the ring's writer and by every reader.

    page 0      header, native 8-byte words (one store each, so a reader never sees half of one), with the table of feeds
    page 1      description, JSON
    2 slots     state: sequence u64, length u32, bytes; the slot of sequence n is n & 1
    table       one record per slice, at sequence % slice_capacity
    ring        slices' bytes, at position % capacity_bytes
"""

import json
import mmap
import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PAGE = mmap.PAGESIZE
MAGIC = 0x3153_5542_4C4E_4843  # "CHNLBUS1"
RECORD = struct.Struct("<QIIqIIQ")  # position, length, flags, dts, duration, zero, monotonic_ns
SLOT = struct.Struct("<QI")
PLACE = struct.Struct("<QI")  # how a record begins: position, length
MAX_STATE_BYTES = 8192
MAX_DESCRIPTION_BYTES = PAGE
MAX_RING_BYTES = 1 << 32
MAX_SLICE_BYTES = (1 << 24) - 1
"""A feed's position keeps the offset within its slice in 24 bits."""
FLAG_RANDOM_ACCESS = 1

_SLOT_BYTES = 3 * PAGE if MAX_STATE_BYTES + SLOT.size > PAGE else PAGE
_STATE_OFFSET = 2 * PAGE
TABLE_OFFSET = _STATE_OFFSET + 2 * _SLOT_BYTES

# Indexes of the header's words. HEAD and TAIL change with every publish and have a cache line of their own.
WORD_MAGIC, WORD_GENERATION, WORD_CAPACITY, WORD_SLICES, WORD_DESCRIPTION, WORD_PID = range(6)
WORD_HEAD, WORD_TAIL, WORD_HEARTBEAT, WORD_ENDED, WORD_READERS = 16, 24, 32, 40, 48
WORD_FEEDS, FEED_SLOTS = 64, 64
"""Pairs of words (name, position), one for each FIFO that is filled from the ring; see feeds."""


class Lapped(Exception):
    """The writer has overwritten what was asked for; `oldest_seq` is the oldest slice still there."""

    def __init__(self, oldest_seq: int) -> None:
        super().__init__(f"overwritten; the oldest slice is {oldest_seq}")
        self.oldest_seq = oldest_seq


class SliceInfo(NamedTuple):
    """What the table says of one slice. Position in bytes since the bus began; dts and duration in ticks of 90 kHz.

    A named tuple, as a reader makes one for every slice, right when it is to be quick: a frozen dataclass takes four times as long.
    """

    seq: int
    position: int
    length: int
    dts: int
    duration: int
    is_random_access: bool
    monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of one ring; offsets follow from them."""

    capacity_bytes: int
    slice_capacity: int
    ring_offset: int = field(init=False)
    """First byte of the ring of data."""
    total_bytes: int = field(init=False)
    """Size of the whole memfd, at whose end the ring ends."""

    def __post_init__(self) -> None:
        if not PAGE <= self.capacity_bytes <= MAX_RING_BYTES or self.capacity_bytes % PAGE:
            raise ValueError(f"ring of {self.capacity_bytes} bytes: must be a multiple of {PAGE} up to {MAX_RING_BYTES}")
        if not 2 <= self.slice_capacity <= 1 << 24:
            raise ValueError(f"table of {self.slice_capacity} slices: must be 2 to {1 << 24}")
        table_bytes = self.slice_capacity * RECORD.size
        object.__setattr__(self, "ring_offset", TABLE_OFFSET + -(-table_bytes // PAGE) * PAGE)
        object.__setattr__(self, "total_bytes", self.ring_offset + self.capacity_bytes)

    def record_offset(self, seq: int) -> int:
        """Where the table's record of a slice lies."""
        return TABLE_OFFSET + seq % self.slice_capacity * RECORD.size

    def slot_offset(self, seq: int) -> int:
        """Where the state published with a slice lies."""
        return _STATE_OFFSET + (seq & 1) * _SLOT_BYTES

    def pieces(self, position: int, length: int) -> tuple[tuple[int, int], ...]:
        """The one or two [start, end) ranges of the memfd that hold `length` bytes at an absolute position."""
        start = position % self.capacity_bytes
        first = min(length, self.capacity_bytes - start)
        offset = self.ring_offset
        if first == length:
            return ((offset + start, offset + start + length),)
        return (offset + start, offset + start + first), (offset, offset + length - first)

    def read_record(self, buffer: memoryview | mmap.mmap, seq: int) -> SliceInfo:
        """Decode the record of a slice, valid or not: the caller checks the tail before and after."""
        position, length, flags, dts, duration, _, stamp = RECORD.unpack_from(buffer, self.record_offset(seq))
        return SliceInfo(seq, position, length, dts, duration, bool(flags & FLAG_RANDOM_ACCESS), stamp)


def encode_description(description: dict[str, Any]) -> bytes:
    """JSON of the stream description. Raises ValueError when it does not fit its page."""
    text = json.dumps(description, separators=(",", ":")).encode()
    if len(text) > MAX_DESCRIPTION_BYTES:
        raise ValueError(f"description of {len(text)} bytes is larger than {MAX_DESCRIPTION_BYTES}")
    return text
