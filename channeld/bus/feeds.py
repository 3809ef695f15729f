"""How far each FIFO was filled, kept in the ring's header, so that a new playout host goes on at the very byte.

Rule: a position is one 64-bit word, stored *after* the bytes were given to the FIFO. After SIGKILL it is therefore right, or one
write too early, where the writer died between the two: what is then written twice is whole packets or is completed
by its repetition. Stored before, a write that never came, or took less, would leave a hole that nobody knows of.
Written by the feeder's thread only; two names with one hash (one pair in 2^64) would share a slot.
"""

import hashlib
from dataclasses import dataclass

from channeld.bus.layout import FEED_SLOTS, WORD_FEEDS

_OFFSET_BITS = 24


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """The next byte to be written: the slice, and the offset within it."""

    seq: int
    offset: int


class FeedTable:
    """The slots of one ring. `words` are those of its header."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def slot(self, name: str) -> int:
        """The slot of an output; a new one takes an empty slot, or that of the feed that is furthest behind."""
        key = _key(name)
        names = range(WORD_FEEDS, WORD_FEEDS + 2 * FEED_SLOTS, 2)
        for word in names:
            if self._words[word] == key:
                return word + 1
        word = min(names, key=lambda at: (self._words[at] != 0, self._words[at + 1]))
        self._words[word + 1] = 0  # before the name: a reader never takes another's position
        self._words[word] = key
        return word + 1

    def put(self, slot: int, seq: int, offset: int) -> None:
        """Say how far a feed is; one store."""
        self._words[slot] = seq << _OFFSET_BITS | offset

    def get(self, name: str) -> FeedPosition | None:
        """How far an output was fed; None when it never was."""
        key = _key(name)
        for word in range(WORD_FEEDS, WORD_FEEDS + 2 * FEED_SLOTS, 2):
            if self._words[word] == key and (position := self._words[word + 1]):
                return FeedPosition(position >> _OFFSET_BITS, position & (1 << _OFFSET_BITS) - 1)
        return None


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") or 1
