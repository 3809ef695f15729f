"""A place in one generation of a channel's ring, and the reading on from it.

Rule: only up to heads that were told; what was copied counts only if the tail has not passed it (bus.reader). Not thread-safe.
"""

import os
from dataclasses import dataclass

from channeld.bus.layout import Lapped
from channeld.bus.reader import RingReader
from channeld.client.errors import Overrun


@dataclass(frozen=True, slots=True)
class Place:
    """A byte of a channel's stream: in which ring (generation, and inode of its memory), and how many bytes were before it there."""

    generation: int
    ring: int
    position: int


class Cursor:
    """Owns the mapping. `fd` stays the caller's; raises ValueError when it is no ring."""

    def __init__(self, fd: int, generation: int, head: int) -> None:
        self.ring = RingReader(fd)
        self.inode = os.fstat(fd).st_ino
        self.generation = generation
        self.head = head
        self.seq = 1
        follows = self.ring.description.get("follows")
        self.follows = follows if isinstance(follows, int) else 0
        """The generation of the channel's ring before it; 0: not known."""
        self.position = 0
        """Of the next byte to be delivered, counted from the beginning of this generation."""

    def begin(self, *, at_random_access: bool) -> None:
        """Begin at the newest random access point, else behind the head. A new one begins with its first byte."""
        while True:
            found = self.ring.newest_random_access(self.head) if at_random_access else None
            try:
                if found is not None:
                    self.seq, self.position = found, self.ring.info(found).position
                else:
                    self.seq, self.position = self.head + 1, self._end()
                return
            except Lapped:
                # Only a head that is a whole ring old is lapped: whoever told it was slow, and the ring's own is as good.
                self.head = max(self.head, self.ring.head_seq)

    def go_on_at(self, position: int) -> None:
        """At the slice that has this byte; behind the head where none has it yet. Where it was written over, `take` raises Overrun."""
        while True:
            low, high = self.ring.tail_seq, self.head + 1
            try:
                while low < high:
                    middle = (low + high) // 2
                    record = self.ring.info(middle)
                    low, high = (middle + 1, high) if record.position + record.length <= position else (low, middle)
                self.seq, self.position = low, self._end() if low > self.head else self.ring.info(low).position
                break
            except Lapped:
                self.head = max(self.head, self.ring.head_seq)
        if self.position > position:
            self.seq, self.position = self.ring.tail_seq - 1, position

    def take(self) -> bytes | None:
        """The next slice, or None where none is known of. Raises Lapped: then hear what there is to be heard, and `leap`."""
        if self.seq > self.head:
            return None
        data = self.ring.copy(self.seq)
        self.seq += 1
        self.position += len(data)
        return data

    def leap(self) -> None:
        """Go on at the newest random access point and raise Overrun; neither while the head told last is lapped too: another comes."""
        before = self.position
        while self.head >= self.ring.tail_seq:
            try:
                found = self.ring.newest_random_access(self.head)
                seq, position = (found, self.ring.info(found).position) if found is not None else (self.head + 1, self._end())
            except Lapped:
                continue
            self.seq, self.position = seq, position
            raise Overrun(position - before)

    def _end(self) -> int:
        """Position behind the head's slice. Raises Lapped."""
        if self.head < 1:
            return 0
        newest = self.ring.info(self.head)
        return newest.position + newest.length

    def backlog(self) -> tuple[int, float, int]:
        """Bytes and seconds that are published and not read, and the bytes that the ring holds; all 0 while a lap is under way.

        Of a reader that is more than the whole ring behind the seconds are those of the ring.
        """
        try:
            tail, newest = self.ring.info(self.ring.tail_seq), self.ring.info(self.ring.head_seq)
            behind_s = 0.0
            if self.seq <= newest.seq:
                next_one = self.ring.info(self.seq) if self.seq > tail.seq else tail
                behind_s = (newest.dts + newest.duration - next_one.dts) / 90_000
        except (Lapped, IndexError):
            return 0, 0.0, 0
        end = newest.position + newest.length
        return max(0, end - self.position), behind_s, end - tail.position

    def close(self) -> None:
        """Unmap; idempotent."""
        self.ring.close()
