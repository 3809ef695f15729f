"""Where a queue stands in its rounds: what was played of this one, what is still to come, what follows.

Rule: an edit changes what is to come, never what was played; the place is after the cursor, the listed entry whose turn
began last. Pure; owned by one Queue, which gives it the same Roster it reads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from channeld.playlist.order import Diff, Key, merge_shuffled, shuffled
from channeld.playlist.roster import Roster


class Course:
    """One round after the other, sequential or shuffled. Positions are those of the roster's newest list."""

    def __init__(self, roster: Roster, *, is_shuffled: bool, seed: int) -> None:
        self.cursor: str | None = None
        self.cursor_key: Key | None = None
        self._roster = roster
        self._is_shuffled = is_shuffled
        self._seed = seed
        self._order: Sequence[int] = ()
        self._next = 0  # index into the order; its length means that a new round comes next
        self._round = 1
        self._coming: Sequence[int] | None = None

    def rest(self) -> Iterator[int]:
        """What is still to come of this round."""
        return islice(iter(self._order), self._next, None) if self._is_shuffled else iter(self._order[self._next :])

    def rounds(self, is_ready: Callable[[int], bool], last: str | None) -> Iterator[int]:
        """Ready positions of the coming rounds, for ever; ends when a whole round has none. `last` is what airs before them."""
        coming, number = self._coming_order(), self._round + 1
        while True:
            found = []
            for position in self._without_repeat(filter(is_ready, coming), last):
                found.append(position)
                yield position
            if not found:
                return
            number, last = number + 1, self._roster.ids[found[-1]]
            coming = shuffled(self._roster.ids, found, seed=self._seed, round_number=number) if self._is_shuffled else found

    def advance(self, entry_id: str, last: str | None) -> list[int]:
        """The turn of a listed entry began; gives the positions it stepped over. `last` is what aired before it."""
        position = self._roster.position[entry_id]
        self.cursor, self.cursor_key = entry_id, self._roster.key(entry_id)
        index = self._find(position, self._next)
        if index is not None:
            passed = list(self._order[self._next : index])
        else:
            left_over = self._order[self._next :]
            self._turn_round(position, last)
            index = self._find(position, 0) or 0
            passed = list(dict.fromkeys([*left_over, *self._order[:index]]))
        self._next = index + 1
        return passed

    def advance_departed(self, entry_id: str, key: Key, successor: str | None) -> list[int]:
        """The same for an entry that an edit removed just before its turn; what follows is its first surviving successor."""
        self.cursor, self.cursor_key = entry_id, key
        position = None if successor is None else self._roster.position[successor]
        index = len(self._order) if position is None else self._find(position, self._next)
        if index is None:
            return []
        passed = list(self._order[self._next : index])
        self._next = index
        return passed

    def successors(self, old_ids: Sequence[str]) -> dict[str, str | None]:
        """For each id of the order so far that is listed no more: the first after it that still is."""
        after: str | None = None
        found: dict[str, str | None] = {}
        for position in reversed(self._order):
            entry_id = old_ids[position]
            if entry_id in self._roster:
                after = entry_id
            else:
                found[entry_id] = after
        return found

    def renew(self, old_ids: Sequence[str], diff: Diff) -> None:
        """Find the place in the roster's new list, after the cursor or else its first surviving successor, else the start."""
        self._coming = None
        if self._is_shuffled:
            self._renew_shuffled(old_ids, diff)
            return
        survivors = (old_ids[position] for position in self._order[self._next :] if old_ids[position] in self._roster)
        self._order = range(len(self._roster))
        if self.cursor is None:
            self._next = 0
        elif self.cursor in self._roster:
            self._next = self._roster.position[self.cursor] + 1
        else:
            successor = next(survivors, None)
            self._next = len(self._order) if successor is None else self._roster.position[successor]

    def _renew_shuffled(self, old_ids: Sequence[str], diff: Diff) -> None:
        order = [old_ids[position] for position in self._order]
        played = [entry_id for entry_id in order[: self._next] if entry_id in self._roster]
        rest = [entry_id for entry_id in order[self._next :] if entry_id in self._roster]
        fresh = [entry.id for entry in diff.added if entry.id != self.cursor]
        if self.cursor is not None and len(fresh) < len(diff.added):
            played.append(self.cursor)  # removed while it aired, and back again: its turn in this round was had
        rest = merge_shuffled(rest, fresh, seed=self._seed, round_number=self._round)
        self._order = [self._roster.position[entry_id] for entry_id in [*played, *rest]]
        self._next = len(played)

    def _coming_order(self) -> Sequence[int]:
        if self._coming is None:
            positions = range(len(self._roster))
            self._coming = positions
            if self._is_shuffled:
                self._coming = shuffled(self._roster.ids, positions, seed=self._seed, round_number=self._round + 1)
        return self._coming

    def _turn_round(self, first: int, last: str | None) -> None:
        order = self._coming_order()
        seam = None if last is None else self._roster.position.get(last)
        if self._is_shuffled and seam is not None and seam != first:
            order = list(order)
            if order.index(seam) < order.index(first):
                order.remove(seam)  # it aired last of the old round: its turn in the new one comes after the first
                order.insert(order.index(first) + 1, seam)
        self._order, self._next, self._coming = order, 0, None
        self._round += 1

    def _without_repeat(self, positions: Iterator[int], last: str | None) -> Iterable[int]:
        if not self._is_shuffled or last is None:
            return positions
        opening = list(islice(positions, 2))
        if len(opening) == 2 and self._roster.ids[opening[0]] == last:
            opening.reverse()
        return _chain(opening, positions)

    def _find(self, position: int, start: int) -> int | None:
        index = self._order.index(position)  # each position is there exactly once
        return index if index >= start else None


def _chain(opening: list[int], rest: Iterator[int]) -> Iterator[int]:
    yield from opening
    yield from rest
