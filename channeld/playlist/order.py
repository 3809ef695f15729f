"""The identity of entries, the order of one round, and the comparison of two lists.

Rule: pure functions of their arguments. An entry's id is a hash of what it shows, so that it outlives edits and restarts;
a shuffle is a sort by a keyed hash of that id, so that any subset of a round comes in the same order as in the whole
round, and an edit never reshuffles what it does not touch.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from channeld.playlist.model import Content, Entry

Key = tuple[Content, int]
"""An entry's identity in one list: its content, and which occurrence of it (from 0)."""


@dataclass(frozen=True, slots=True)
class Diff:
    """What a new list changed. `moved` are ids of kept entries that were not merely shifted; `kept` counts all that stayed."""

    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    moved: tuple[str, ...]
    kept: int


def occurrence_keys(entries: Iterable[Entry]) -> list[Key]:
    """Each entry's content with the number of equal ones before it."""
    seen: dict[Content, int] = {}
    keys = []
    for entry in entries:
        content = entry.content
        occurrence = seen.get(content, 0)
        seen[content] = occurrence + 1
        keys.append((content, occurrence))
    return keys


def lasting_id(key: Key) -> str:
    """The id of the entry with this key, in any list and after any restart: `e` and 64 bits in hexadecimal."""
    (where, in_s, out_s, duration_s), occurrence = key
    # `where` may hold anything and comes last; paths may hold bytes that are no UTF-8 as lone surrogates.
    text = f"{occurrence}|{in_s}|{out_s}|{duration_s}|{where}"
    return "e" + blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def shuffle_rank(seed: int, round_number: int, entry_id: str) -> bytes:
    """Where an entry stands in one round's shuffle: compares like a uniform random number."""
    return blake2b(f"{seed}:{round_number}:{entry_id}".encode(), digest_size=8).digest()


def shuffled(ids: Sequence[str], positions: Iterable[int], *, seed: int, round_number: int) -> list[int]:
    """The positions in this round's order; a subset comes in the order it has in the whole."""
    return sorted(positions, key=lambda position: shuffle_rank(seed, round_number, ids[position]))


def merge_shuffled(rest: Sequence[str], fresh: Sequence[str], *, seed: int, round_number: int) -> list[str]:
    """Spread new ids over what is still to come of a round, whose own order stays."""
    rank = {entry_id: shuffle_rank(seed, round_number, entry_id) for entry_id in fresh}
    # A stable sort by drop-in points: a fresh id of rank r (of 2**64) goes before the r-th part of the rest.
    slots: list[list[str]] = [[] for _ in range(len(rest) + 1)]
    for entry_id in sorted(fresh, key=rank.__getitem__):
        slots[int.from_bytes(rank[entry_id], "big") * (len(rest) + 1) >> 64].append(entry_id)
    merged = []
    for slot, old in zip(slots, [*rest, None], strict=True):
        merged.extend(slot)
        if old is not None:
            merged.append(old)
    return merged


def moved_indices(old_positions: Sequence[int]) -> list[int]:
    """Indices that are not in a longest increasing run: the fewest entries that explain a new order."""
    if all(left < right for left, right in pairwise(old_positions)):
        return []
    tails: list[int] = []  # smallest last value of an increasing run of each length
    tail_index: list[int] = []
    before: list[int] = []
    for index, value in enumerate(old_positions):
        length = bisect_left(tails, value)
        before.append(tail_index[length - 1] if length else -1)
        if length == len(tails):
            tails.append(value)
            tail_index.append(index)
        else:
            tails[length], tail_index[length] = value, index
    stays = set()
    index = tail_index[-1]
    while index >= 0:
        stays.add(index)
        index = before[index]
    return [index for index in range(len(old_positions)) if index not in stays]
