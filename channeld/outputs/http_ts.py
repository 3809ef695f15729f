"""Endless transport stream to many viewers: each reads the bus at its own pace and never holds anybody up.

Rule: a viewer begins at the newest random access point; one that falls half a ring behind goes on at the newest one, counted
and told once a second. No thread per viewer; everything here belongs to the event loop.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator

from channeld.bus.reader import Lapped, RingReader, Slice
from channeld.telemetry import log

_SHARED_SLICES = 32
"""Slices kept as one copy for all viewers that stand near the head."""


class Feed:
    """One channel's stream as viewers of HTTP-TS read it. `attach` gives it each generation's ring, which it then owns."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.head_seq = 0
        self.viewers = 0
        self.is_closed = False
        self._reader: RingReader | None = None
        self._generation = 0
        self._recent: OrderedDict[int, Slice] = OrderedDict()
        self._moved = asyncio.Event()
        self._skips = log.Repeats(log.get("http_ts").bind(channel=channel))

    @property
    def reader(self) -> RingReader | None:
        """The ring of now; None before the first."""
        return self._reader

    @property
    def generation(self) -> int:
        """Counts the rings attached so far."""
        return self._generation

    def attach(self, reader: RingReader, head_seq: int) -> None:
        """Slices come from this ring now; viewers find their place in it by DTS."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self.head_seq = reader, min(head_seq, reader.head_seq)
        self._generation += 1
        self._recent.clear()
        self._announce()

    def advance(self, head_seq: int) -> None:
        """The writer told how far it is."""
        if self._reader is not None and head_seq > self.head_seq:
            self.head_seq = min(head_seq, self._reader.head_seq)
            self._announce()

    def close(self) -> None:
        """End every viewer's stream; idempotent."""
        self.is_closed = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._announce()

    def tell_skips(self) -> None:
        """Log the skips counted since the last second; called once a second."""
        self._skips.flush()

    def note_skip(self, viewer: str, skipped_bytes: int) -> None:
        """Count a viewer that was too slow."""
        self._skips.tell("warning", "reader_skipped", reader=viewer, bytes=skipped_bytes)

    def read(self, seq: int) -> Slice:
        """One slice, copied once for all who ask soon. Raises Lapped."""
        if seq in self._recent:
            return self._recent[seq]
        assert self._reader is not None
        piece = self._reader.read(seq, head=self.head_seq)
        self._recent[seq] = piece
        if len(self._recent) > _SHARED_SLICES:
            self._recent.popitem(last=False)
        return piece

    async def moved(self) -> None:
        """Return when the head has moved, the ring has changed or the feed is closed, after this call."""
        await self._moved.wait()

    def _announce(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class Viewer:
    """One viewer's place in a feed."""

    def __init__(self, feed: Feed, name: str) -> None:
        self._feed = feed
        self._name = name
        self._generation = 0
        self._seq: int | None = None  # next slice to send; None: wait for a random access point
        self._expected_dts: int | None = None
        self.skips = 0

    async def slices(self) -> AsyncGenerator[bytes, None]:
        """The stream from the newest random access point on, until the feed closes."""
        self._feed.viewers += 1
        try:
            while not self._feed.is_closed:
                piece = self._next()
                if piece is None:
                    await self._feed.moved()
                else:
                    yield piece.data
        finally:
            self._feed.viewers -= 1

    def _next(self) -> Slice | None:
        """The slice to send now, None when there is none yet."""
        feed = self._feed
        if feed.reader is None:
            return None
        try:
            if self._generation != feed.generation:
                self._find_place(feed.reader)
            elif self._seq is not None and self._seq <= feed.head_seq:
                self._skip_if_slow(feed.reader, self._seq)
            if self._seq is None:
                self._seq = feed.reader.newest_random_access(feed.head_seq)
            if self._seq is None or self._seq > feed.head_seq:
                return None
            piece = feed.read(self._seq)
        except Lapped:
            self._skip(feed.reader.capacity_bytes)
            return None if self._seq is None else self._next()
        self._seq, self._expected_dts = piece.seq + 1, piece.dts + piece.duration
        return piece

    def _find_place(self, reader: RingReader) -> None:
        """In a new ring: where this viewer stopped, if the ring still has that; else the newest random access point."""
        self._generation = self._feed.generation
        self._seq = None
        if self._expected_dts is not None and self._feed.head_seq >= reader.tail_seq:
            found = reader.first_at_or_after(self._expected_dts, self._feed.head_seq)
            if found is None and reader.info(self._feed.head_seq).dts < self._expected_dts:
                self._seq = self._feed.head_seq + 1
            elif found is not None and reader.info(found).dts == self._expected_dts:
                self._seq = found

    def _skip_if_slow(self, reader: RingReader, seq: int) -> None:
        behind = reader.info(self._feed.head_seq).position - reader.info(seq).position
        if behind > reader.capacity_bytes // 2 and (reader.newest_random_access(self._feed.head_seq) or 0) > seq:
            self._skip(behind)

    def _skip(self, skipped_bytes: int) -> None:
        assert self._feed.reader is not None
        self.skips += 1
        self._feed.note_skip(self._name, skipped_bytes)
        self._seq = self._feed.reader.newest_random_access(self._feed.head_seq)
