"""Where one client stands in a channel's stream, and which bytes it is to have next.

Rule: a client begins, and goes on after a loss, at a random access point; within a slice it keeps an offset and no bytes, so that
one that waits costs no memory. What it has of a packet is always completed first. Sans-I/O; used by the event loop.
"""

from typing import Protocol

from channeld.bus.reader import Lapped, RingReader, Slice

PACKET_BYTES = 188
"""Not ts.packet's: with it comes numpy, which a media worker does without."""
TICKS_PER_SECOND = 90_000


class Source(Protocol):
    """The stream: a ring, replaced by the next generation now and then, and how far it may be read."""

    head_seq: int

    @property
    def reader(self) -> RingReader | None:
        """The ring of now; None before the first, and after the last."""
        ...

    @property
    def generation(self) -> int:
        """Counts the rings so far."""
        ...

    def read(self, seq: int) -> Slice:
        """One slice. Raises Lapped."""
        ...

    def note_skip(self, skipped_bytes: int) -> None:
        """A client lost so much, as it was too slow."""
        ...


class Place:
    """One client's place. `head`: what it gets before anything of the stream; `burst_ticks`: how far behind it begins, if it can."""

    __slots__ = ("_burst_ticks", "_dts", "_end_dts", "_generation", "_length", "_offset", "_preface", "_rest", "_seq", "_source", "skips")

    def __init__(self, source: Source, head: bytes = b"", burst_ticks: int = 0) -> None:
        self._source = source
        self._preface = head
        self._burst_ticks = burst_ticks
        self._generation = -1
        self._seq: int | None = None  # slice to send now; None: wait for a random access point
        self._offset = 0  # what is sent of it
        self._length = 0  # of the slice that is sent in part
        self._dts: int | None = None  # of the slice to send now, so that it is found in another ring
        self._end_dts = 0  # where the slice that was read last ends
        self._rest = b""  # of the packet that was sent in part
        self.skips = 0

    @property
    def seq(self) -> int | None:
        """The slice that comes next; None: a random access point is waited for."""
        return self._seq

    def wanted(self) -> memoryview | bytes | None:
        """What to send now; None when there is nothing yet."""
        if self._preface:
            return self._preface
        reader = self._source.reader
        if reader is None:
            return None
        try:
            seq = self._next_seq(reader)
            if self._preface or seq is None:
                return self._preface or None
            piece = self._source.read(seq)
        except Lapped:
            self._skip(reader, reader.capacity_bytes)
            return self.wanted() if self._preface or self._seq is not None else None
        self._dts, self._end_dts, self._length = piece.dts, piece.dts + piece.duration, len(piece.data)
        return memoryview(piece.data)[self._offset :] if self._offset else piece.data

    def took(self, data: memoryview | bytes, taken: int) -> None:
        """So many bytes of what was wanted are sent."""
        if self._preface:
            self._preface = self._preface[taken:]
            return
        assert self._seq is not None
        self._offset += taken
        if taken < len(data):
            into = self._offset % PACKET_BYTES
            self._rest = bytes(data[taken : taken + PACKET_BYTES - into]) if into else b""
            return
        self._seq, self._offset, self._dts, self._rest = self._seq + 1, 0, self._end_dts, b""

    def behind(self) -> tuple[int, float]:
        """How much of the stream is published and not sent: bytes, and seconds."""
        reader, seq = self._source.reader, self._seq
        if reader is None or seq is None or seq > self._source.head_seq:
            return 0, 0.0
        try:
            newest, mine = reader.info(self._source.head_seq), reader.info(max(seq, reader.tail_seq))
        except (Lapped, IndexError):
            return reader.capacity_bytes, 0.0
        behind_bytes = newest.position + newest.length - mine.position - self._offset
        return max(0, behind_bytes), (newest.dts + newest.duration - mine.dts) / TICKS_PER_SECOND

    def _next_seq(self, reader: RingReader) -> int | None:
        """The slice to send now. Raises Lapped."""
        head = self._source.head_seq
        if self._generation != self._source.generation:
            self._find(reader)
        elif self._seq is not None and self._seq < head and not self._offset:
            self._skip_if_slow(reader, self._seq)
        if self._seq is None:
            self._seq = self._beginning(reader)
        return self._seq if self._seq is not None and self._seq <= head else None

    def _beginning(self, reader: RingReader) -> int | None:
        """The newest random access point, or with a burst one behind it, where a client is not too slow already."""
        head = self._source.head_seq
        found = reader.newest_random_access(head, self._burst_ticks)
        while self._burst_ticks and found is not None and self._distance(reader, found) > reader.capacity_bytes // 2:
            self._burst_ticks = self._burst_ticks // 2
            found = reader.newest_random_access(head, self._burst_ticks)
        if found is not None:
            self._burst_ticks = 0  # behind a loss it is the newest one
        return found

    def _find(self, reader: RingReader) -> None:
        """In a new ring: where this client stopped, if the ring has that; else a random access point."""
        self._generation = self._source.generation
        self._seq = None
        if self._dts is not None and self._source.head_seq >= reader.tail_seq:
            found = reader.first_at_or_after(self._dts, self._source.head_seq)
            if found is None and not self._offset and reader.info(self._source.head_seq).dts < self._dts:
                self._seq = self._source.head_seq + 1
            elif found is not None and self._is_same(reader, found):
                self._seq = found
        if self._seq is None:
            self._leave_slice()

    def _is_same(self, reader: RingReader, seq: int) -> bool:
        """Whether this slice of a new ring is the one that this client was at."""
        record = reader.info(seq)
        return record.dts == self._dts and (not self._offset or record.length == self._length)

    def _distance(self, reader: RingReader, seq: int) -> int:
        return reader.info(self._source.head_seq).position - reader.info(seq).position

    def _skip_if_slow(self, reader: RingReader, seq: int) -> None:
        distance = self._distance(reader, seq)
        if distance > reader.capacity_bytes // 2 and (reader.newest_random_access(self._source.head_seq) or 0) > seq:
            self._skip(reader, distance)

    def _skip(self, reader: RingReader, skipped_bytes: int) -> None:
        self.skips += 1
        self._source.note_skip(skipped_bytes)
        self._leave_slice()
        self._seq = reader.newest_random_access(self._source.head_seq)

    def _leave_slice(self) -> None:
        """The rest of the slice is lost; the packet that the client has the beginning of is not."""
        self._preface, self._rest, self._offset, self._dts = self._rest, b"", 0, None
