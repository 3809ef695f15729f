"""Where a queue stands in its rounds: what was played of this one, what is still to come, what follows.

Rule: an edit changes what is to come, never what was played; the place is after the cursor, the listed entry whose turn
began last. Pure; owned by one Queue, which gives it the same Roster it reads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from itertools import islice

from channeld.playlist.memory import (
    EXACT_ENTRIES,
    FOLLOWERS,
    MAX_IDS,
    CourseMemory,
    RoundTags,
    RoundThreshold,
    pack_round,
    unpack_round,
)
from channeld.playlist.order import Diff, merge_shuffled, shuffle_rank, shuffled
from channeld.playlist.roster import Roster


class Course:
    """One round after the other, sequential or shuffled. Positions are those of the roster's newest list."""

    def __init__(self, roster: Roster, *, is_shuffled: bool, seed: int) -> None:
        self.cursor: str | None = None
        self.stepped_over: Sequence[int] = ()
        """Positions that the newest start stepped over, and that do not wait for their turn."""
        self._roster = roster
        self._is_shuffled = is_shuffled
        self._seed = seed
        self._order: Sequence[int] = ()
        self._next = 0  # index into the order; its length means that a new round comes next
        self._round = 1
        self._coming: Sequence[int] | None = None
        self._late: dict[str, None] = {}  # came into this shuffled round after it began: not where their rank would be
        self._tags: RoundTags | None = None

    def copy(self, roster: Roster) -> "Course":
        """The same place, in the copy of a queue that has this roster."""
        twin = copy(self)
        twin._roster, twin._late = roster, dict(self._late)
        return twin

    def reorder(self, *, is_shuffled: bool, seed: int) -> None:
        """Go on in another order: shuffled, with a new round; sequential, behind the cursor (from the start where that is not listed)."""
        self._is_shuffled, self._seed, self._coming = is_shuffled, seed, None
        count = len(self._roster)
        self._order = list(range(count)) if is_shuffled else range(count)
        self._next = count
        if not is_shuffled:
            self._next = 0 if self.cursor is None or self.cursor not in self._roster else self._roster.position[self.cursor] + 1

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
        self.cursor = entry_id
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

    def advance_departed(self, entry_id: str, successor: str | None, *, is_of_next_round: bool) -> list[int]:
        """The same for an entry that an edit removed just before its turn; what follows is its first surviving successor."""
        self.cursor = entry_id
        index = len(self._order) if successor is None else self._find(self._roster.position[successor], self._next)
        if index is None:
            if successor is None or self._is_shuffled:
                return []
            # The newest list has it before the place that counted until now.
            left_over, self._next = self._order[self._next :], self._roster.position[successor]
            return [*left_over, *self._order[: self._next]] if is_of_next_round else []
        passed = list(self._order[self._next : index])
        self._next = index
        return passed

    def turn_round(self, skipped: int = 0) -> None:
        """A new round begins, with nothing of it played; `skipped` rounds are passed by before it."""
        rest = self._order[self._next :]
        last = self._roster.ids[rest[-1]] if rest else self.cursor
        if skipped:
            last = None
            self._round, self._coming = self._round + skipped, None
        coming = self._coming_order()
        if coming:
            first = coming[1] if len(coming) > 1 and self._roster.ids[coming[0]] == last else coming[0]
            self._turn_round(first, last)

    def rewind(self) -> None:
        """As if nothing had aired yet, in a round of its own."""
        self.turn_round()
        self.cursor = None

    def successors(self, old_ids: Sequence[str]) -> dict[str, tuple[str | None, int, bool]]:
        """For each id of the order so far that is listed no more: the first after it that still is, how soon its turn was, and whether
        that was one of the next round.
        """
        after: str | None = None
        found: dict[str, tuple[str | None, int, bool]] = {}
        for index in range(len(self._order) - 1, -1, -1):
            entry_id = old_ids[self._order[index]]
            if entry_id in self._roster:
                after = entry_id
            else:
                found[entry_id] = after, (index - self._next) % len(self._order), index < self._next
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
        is_first = not order
        self._arrange(played, rest, [entry.id for entry in diff.added])
        self._late = {} if is_first else {entry_id: None for entry_id in self._late if entry_id in self._roster}
        self._late.update(dict.fromkeys(() if is_first else (entry.id for entry in diff.added)))

    def _arrange(self, played: list[str], rest: list[str], fresh: list[str]) -> None:
        """The round from its three parts; what is fresh comes into the rest."""
        if self.cursor is not None and self.cursor in fresh:
            played.append(self.cursor)  # removed while it aired, and back again: its turn in this round was had
            fresh = [entry_id for entry_id in fresh if entry_id != self.cursor]
        rest = merge_shuffled(rest, fresh, seed=self._seed, round_number=self._round)
        self._order = [self._roster.position[entry_id] for entry_id in [*played, *rest]]
        self._next, self._tags = len(played), None

    # -- over a restart -----------------------------------------------------------------------------------------

    def memory(self) -> CourseMemory:
        """The place, as it can be written down."""
        ids = self._roster.ids
        followers = tuple(ids[position] for position in islice(self.rest(), FOLLOWERS))
        order: RoundTags | RoundThreshold | None = None
        if self._is_shuffled and len(self._order) > EXACT_ENTRIES:
            order = self._threshold()
        elif self._is_shuffled and self._order:
            order = self._tags = self._tags or pack_round([ids[position] for position in self._order])
        return CourseMemory(self.cursor, followers, self._round, self._next, order)

    def _threshold(self) -> RoundThreshold:
        ids = self._roster.ids
        in_rank = (ids[position] for position in reversed(self._order[: self._next]) if ids[position] not in self._late)
        through = next(in_rank, None)
        rank = b"" if through is None else shuffle_rank(self._seed, self._round, through)
        played = set(self._order[: self._next]) if self._late else set()
        late_played = [entry_id for entry_id in self._late if self._roster.position[entry_id] in played]
        late_coming = [entry_id for entry_id in self._late if self._roster.position[entry_id] not in played]
        return RoundThreshold(rank.hex(), tuple(late_played[-MAX_IDS:]), tuple(late_coming[-MAX_IDS:]))

    def restore(self, memory: CourseMemory) -> None:
        """Go on from a place in a list that may be another by now; the roster has the newest."""
        self.cursor, self._round, self._coming = memory.cursor, memory.round, None
        if self._is_shuffled:
            self._restore_shuffled(memory)
            return
        position = self._roster.position
        self._order = range(len(self._roster))
        if self.cursor is None:
            self._next = 0
        elif self.cursor in self._roster:
            self._next = position[self.cursor] + 1
        else:
            follower = next((entry_id for entry_id in memory.followers if entry_id in self._roster), None)
            self._next = len(self._order) if follower is None else position[follower]

    def _restore_shuffled(self, memory: CourseMemory) -> None:
        ids, order = self._roster.ids, memory.order
        self._late = {}
        if isinstance(order, RoundTags):
            remembered = list(unpack_round(order, ids))
            played = [entry_id for entry_id in remembered[: memory.played] if entry_id is not None]
            rest = [entry_id for entry_id in remembered[memory.played :] if entry_id is not None]
            known = {*played, *rest}
            self._late = dict.fromkeys(entry_id for entry_id in ids if entry_id not in known)
        elif order is not None:
            played, rest = self._split(order)
        else:
            played, rest = [], []
        known = {*played, *rest}
        self._arrange(played, rest, [entry_id for entry_id in ids if entry_id not in known])

    def _split(self, order: RoundThreshold) -> tuple[list[str], list[str]]:
        """What of the newest list was played and what comes, in the order of their ranks; late comers that come are in neither."""
        through, late_played = bytes.fromhex(order.through), set(order.late_played)
        late_coming = set(order.late_coming)
        self._late = {entry_id: None for entry_id in [*order.late_played, *order.late_coming] if entry_id in self._roster}
        rank = {entry_id: shuffle_rank(self._seed, self._round, entry_id) for entry_id in self._roster.ids}
        ranked = sorted(rank, key=rank.__getitem__)
        played = [entry_id for entry_id in ranked if (rank[entry_id] <= through or entry_id in late_played) and entry_id not in late_coming]
        behind = {*played, *late_coming}
        return played, [entry_id for entry_id in ranked if entry_id not in behind]

    def _coming_order(self) -> Sequence[int]:
        if self._coming is None:
            positions = range(len(self._roster))
            self._coming = positions
            if self._is_shuffled:
                self._coming = shuffled(self._roster.ids, positions, seed=self._seed, round_number=self._round + 1)
        return self._coming

    def _turn_round(self, first: int, last: str | None) -> None:
        order = self._coming_order()
        self._late, self._tags = {}, None
        seam = None if last is None else self._roster.position.get(last)
        if self._is_shuffled and seam is not None and seam != first:
            order = list(order)
            if order.index(seam) < order.index(first):
                self._late[self._roster.ids[seam]] = None
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
