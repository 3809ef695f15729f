"""What airs next: the newest valid list, what was passed over, what is put in between.

Rule: the playing entry always finishes; next is the first ready entry after it in the newest list, and one that was passed
over because it was not ready keeps its turn. The plan made after an entry started is the rest of the plan before.
Pure: no files, threads or clocks. Not thread-safe; one thread of control owns a channel's queue.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import islice
from typing import Any, Literal

from channeld.playlist.course import Course
from channeld.playlist.memory import MAX_DEPARTED, MAX_IDS, Departed, QueueMemory, read_memory, write_memory
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.order import Diff
from channeld.playlist.roster import Roster

__all__ = ["Diff", "Order", "Queue"]

Order = Literal["sequential", "shuffle"]


@dataclass(frozen=True, slots=True)
class _Run:
    """The listed entry that airs `repeat` times in a row, and how often it has begun."""

    entry_id: str
    aired: int


class Queue:
    """The order of one channel's entries. `revision` counts the lists that changed something, from 1."""

    def __init__(self, order: Order, seed: int) -> None:
        self.revision = 0
        self.current: Entry | None = None
        self._roster = Roster()
        self._course = Course(self._roster, is_shuffled=order == "shuffle", seed=seed)
        self._run: _Run | None = None
        self._insertions: dict[str, tuple[Entry, int]] = {}  # with how often each is still to air
        self._insertion_count = 0
        self._owed: dict[str, None] = {}  # in the order they were passed over
        self._waiting: set[str] = set()  # found pending by a plan since they last aired or were passed over
        self._departed: dict[str, Departed] = {}
        self._again: Entry | None = None  # its airing began before a restart and is to begin once more
        self._remembered: QueueMemory | None = None  # until there is a list to find the place in

    def reorder(self, order: Order, seed: int) -> None:
        """Air the list in another order from now on; what was put in between or passed over keeps its turn."""
        self._course.reorder(is_shuffled=order == "shuffle", seed=seed)

    def apply(self, playlist: Playlist) -> Diff:
        """Take a valid list as the newest revision. Entries keep their ids by content and occurrence."""
        old_ids, remembered = self._roster.ids, self._remembered
        renewal = self._roster.renew(playlist.entries)
        if remembered is not None:
            self._find_place(remembered)
        elif self._roster.ids is not old_ids:
            self._remember_departed(renewal.diff, self._course.successors(old_ids))
            self._course.renew(old_ids, renewal.diff)
        self._refresh()
        is_changed = renewal.is_changed if remembered is None else self._roster.digest() != remembered.digest
        if is_changed or self.revision == 0:
            self.revision += 1
        if self._remembered is not None:
            self._remembered = replace(self._remembered, digest=self._roster.digest())
        return renewal.diff

    def plan(self, count: int, readiness: Callable[[Entry], Readiness]) -> list[Entry]:
        """The next entries in air order after the playing one: ready ones only, an entry twice when it airs twice.

        Goes round for ever; fewer than `count` only when nothing of the list is ready. Asks at most once for each entry.
        """
        judge = _Judge(self._roster, readiness)
        picked = self._pick(count, judge)
        for entry_id, verdict in judge.verdicts.items():
            if verdict is Readiness.PENDING:
                self._waiting.add(entry_id)
            elif verdict is Readiness.REFUSED:
                self._waiting.discard(entry_id)
                self._owed.pop(entry_id, None)
                self._insertions.pop(entry_id, None)
                self._again = None if self._again is not None and self._again.id == entry_id else self._again
        return picked

    def upcoming(self, count: int, is_refused: Callable[[Entry], bool] | None = None) -> list[Entry]:
        """The same as if everything without a fault, and not refused, were ready: what to show and what to prepare, soonest first."""
        refuses = is_refused or (lambda _: False)
        return self._pick(count, _Judge(self._roster, lambda entry: Readiness.REFUSED if refuses(entry) else Readiness.READY))

    def turns(self, count: int, is_refused: Callable[[Entry], bool] | None = None) -> list[tuple[Entry, int]]:
        """The same, each with how often it airs in a row: `count` turns, whatever their repeats."""
        return list(islice(self.coming(is_refused), count))

    def coming(self, is_refused: Callable[[Entry], bool] | None = None) -> Iterator[tuple[Entry, int]]:
        """The same, one by one and for ever; ends where nothing may air. For reading at once: the queue must not change meanwhile."""
        refuses = is_refused or (lambda _: False)
        return self._turns(_Judge(self._roster, lambda entry: Readiness.REFUSED if refuses(entry) else Readiness.READY))

    def copy(self) -> "Queue":
        """A queue that goes on from here on its own: what happens to one is not seen in the other."""
        twin = copy(self)
        twin._roster = copy(self._roster)  # its lists are replaced by a new list of entries, never changed
        twin._course = self._course.copy(twin._roster)
        twin._insertions, twin._owed = dict(self._insertions), dict(self._owed)
        twin._waiting, twin._departed = set(self._waiting), dict(self._departed)
        return twin

    def listed(self, position: int) -> Entry:
        """The entry at a position of the newest list, from 0, under its lasting id."""
        return self._roster.entry(position)

    def position(self, entry_id: str) -> int | None:
        """Where in the newest list an id stands, from 0."""
        return self._roster.position.get(entry_id)

    def find(self, entry_id: str) -> Entry | None:
        """The entry of an id: listed, put in between, or removed just now."""
        if entry_id in self._roster:
            return self._roster.entry(self._roster.position[entry_id])
        if entry_id in self._insertions:
            return self._insertions[entry_id][0]
        return self._departed[entry_id].entry if entry_id in self._departed else None

    def has_inserted(self, entry_id: str) -> bool:
        """Somebody put it in between, and it is still to air."""
        return entry_id in self._insertions

    def play_next(self, entry: Entry) -> Entry:
        """Air an entry once (or `repeat` times), before anything else; gives it with its own id. Raises ValueError when faulty."""
        if entry.fault is not None:
            raise ValueError(entry.fault)
        self._insertion_count += 1
        inserted = replace(entry, id=f"n{self._insertion_count}", line=None)
        self._insertions[inserted.id] = inserted, inserted.repeat
        return inserted

    def started(self, entry_id: str, late: Collection[str] = ()) -> list[Entry]:
        """The airing of an entry of the last plan began; gives those passed over by it, not ready in time.

        `late` names entries that were ready for the plan, but not where it airs. Raises ValueError for an id that was never planned.
        """
        last = None if self.current is None else self.current.id
        self._waiting.update(late)
        self._course.stepped_over = ()
        if self._again is not None and self._again.id == entry_id:
            self.current, self._again = self._again, None
            return []
        if entry_id in self._insertions:
            self._start_insertion(entry_id)
            return []
        if self._run is not None and self._run.entry_id == entry_id and self._repeats_left() > 0:
            self._run = replace(self._run, aired=self._run.aired + 1)
            self.current = self._roster.entry(self._roster.position[entry_id])
            return []
        if entry_id in self._roster:
            self.current = self._roster.entry(self._roster.position[entry_id])
            passed = [] if entry_id in self._owed else self._course.advance(entry_id, last)
        elif entry_id in self._departed:
            passed = self._start_departed(self._departed[entry_id])
        else:
            raise ValueError(f"no entry {entry_id} was planned")
        self._owed.pop(entry_id, None)
        self._waiting.discard(entry_id)
        self._run = _Run(entry_id, 1)
        self._departed = {key: each for key, each in self._departed.items() if key == entry_id}
        return self._pass_over(passed)

    def stepped_over(self, count: int) -> list[Entry]:
        """The first entries that the newest start stepped over because they were not to air: refused, faulty."""
        return [self._roster.entry(position) for position in islice(self._course.stepped_over, count)]

    def _start_insertion(self, entry_id: str) -> None:
        entry, left = self._insertions[entry_id]
        self.current = entry
        if left > 1:
            self._insertions[entry_id] = entry, left - 1
        else:
            del self._insertions[entry_id]

    def _start_departed(self, departed: Departed) -> list[int]:
        self.current = departed.entry
        if departed.was_owed:
            return []
        successor = departed.successor
        while successor is not None and successor not in self._roster:
            successor = self._departed[successor].successor if successor in self._departed else None
        return self._course.advance_departed(departed.entry.id, successor, is_of_next_round=departed.is_of_next_round)

    def _pass_over(self, positions: list[int]) -> list[Entry]:
        passed = []
        self._course.stepped_over = [position for position in positions if self._roster.ids[position] not in self._waiting]
        for position in positions:
            entry_id = self._roster.ids[position]
            if entry_id in self._waiting:
                self._waiting.discard(entry_id)
                self._owed.setdefault(entry_id)
                passed.append(self._roster.entry(position))
        return passed

    def _remember_departed(self, diff: Diff, successors: dict[str, tuple[str | None, int, bool]]) -> None:
        self._departed = {entry_id: each for entry_id, each in self._departed.items() if entry_id not in self._roster}
        for entry in diff.removed:
            successor, distance, is_of_next_round = successors[entry.id]
            self._departed[entry.id] = Departed(entry, successor, entry.id in self._owed, distance, is_of_next_round)

    def _refresh(self) -> None:
        roster = self._roster
        self._owed = {entry_id: None for entry_id in self._owed if entry_id in roster}
        self._waiting = {entry_id for entry_id in self._waiting if entry_id in roster or entry_id in self._insertions}
        if self.current is not None and self.current.id in roster:
            self.current = roster.entry(roster.position[self.current.id])
        if self._again is not None and not _is_inserted(self._again):
            self._again = roster.entry(roster.position[self._again.id]) if self._again.id in roster else None

    # -- over a restart -----------------------------------------------------------------------------------------

    def memory(self) -> dict[str, Any]:
        """All that is needed to go on after a restart, as JSON-able values; cheap enough for every start of an entry."""
        insertions = tuple(self._insertions.values())
        if self._remembered is not None:
            # There was no list yet to find the place in; what was put in between counts all the same.
            known = replace(self._remembered, revision=self.revision, current=self.current)
            return write_memory(replace(known, insertions=insertions, insertion_count=self._insertion_count))
        departed = nsmallest(MAX_DEPARTED, self._departed.values(), key=lambda each: each.distance)
        return write_memory(
            QueueMemory(
                revision=self.revision,
                digest=self._roster.digest(),
                current=self.current,
                again=self._again,
                run=None if self._run is None else (self._run.entry_id, self._run.aired),
                insertions=insertions,
                insertion_count=self._insertion_count,
                owed=tuple(islice(self._owed, MAX_IDS)),
                waiting=self._waiting_soon(),
                departed=tuple(departed),
                course=self._course.memory(),
            )
        )

    def _waiting_soon(self) -> tuple[str, ...]:
        waiting = sorted(entry_id for entry_id in self._waiting if entry_id in self._roster)
        if len(waiting) > MAX_IDS:
            soon = (self._roster.ids[position] for position in islice(self._course.rest(), 4 * MAX_IDS))
            waiting = [entry_id for entry_id in soon if entry_id in self._waiting]
        return tuple(waiting[:MAX_IDS])

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on where the queue that wrote this was: before the first list, or right after it was applied.

        What was put in between counts at once. The place is found in the first list that has an entry: after the entry that
        began last, or if that is gone, at the first of those that followed it. Raises ValueError and is then as it was.
        """
        remembered = read_memory(memory)
        is_listed, digest = self.revision > 0, self._roster.digest()
        self.revision = remembered.revision
        if is_listed and (digest != remembered.digest or not self.revision):
            self.revision += 1
        self.current = remembered.current
        self._insertions = {entry.id: (entry, left) for entry, left in remembered.insertions}
        self._insertion_count = remembered.insertion_count
        self._remembered = replace(remembered, digest=digest) if is_listed else remembered
        self._find_place(self._remembered)
        self._refresh()

    def _find_place(self, remembered: QueueMemory) -> None:
        if not len(self._roster):
            return
        self._remembered = None
        self._course.restore(remembered.course)
        self._again = remembered.again
        self._run = None if remembered.run is None else _Run(*remembered.run)
        self._owed = dict.fromkeys(remembered.owed)
        self._waiting = set(remembered.waiting)
        self._departed = {each.entry.id: each for each in remembered.departed if each.entry.id not in self._roster}

    def begin_again(self) -> Entry | None:
        """Have the entry that began last begin once more, before anything else; its start then moves nothing.

        Gives it, or None when nothing did, or the list has it no more.
        """
        if self._again is None and self.current is not None and (_is_inserted(self.current) or self.current.id in self._roster):
            self._again = self.current
        return self._again

    @property
    def insertions_waiting(self) -> int:
        """How many airings of inserted entries are still to begin."""
        return sum(left for _, left in self._insertions.values())

    @property
    def airings_a_round(self) -> int:
        """How many airings the list has in a round, with those of inserted entries."""
        return self._roster.airings + self.insertions_waiting

    @property
    def is_to_begin_again(self) -> bool:
        """`begin_again` was asked for, and the entry has not begun."""
        return self._again is not None

    def rest_of_round(self) -> list[tuple[Entry, int]]:
        """What the list has to come in this round, each with how often in a row; nothing owed, nothing put in between."""
        left = self._repeats_left()
        run = [] if self._run is None or left <= 0 else [(self._roster.entry(self._roster.position[self._run.entry_id]), left)]
        return [*run, *(self._turn(position) for position in self._course.rest() if self._roster.entry(position).fault is None)]

    def jump(self, entry_id: str, times: int = 1) -> None:
        """As if everything in this round before an entry's turn had aired, and the entry itself `times` times in a row."""
        self._waiting.clear()
        aired = self._run.aired if self._run is not None and self._run.entry_id == entry_id and self._repeats_left() > 0 else 0
        self.started(entry_id)
        self._run = _Run(entry_id, aired + times)

    def turn_round(self, skipped: int = 0) -> None:
        """As if this round had aired to its end, and `skipped` rounds after it."""
        self._run = None
        self._course.turn_round(skipped)

    def rewind(self) -> None:
        """As if nothing of the list had aired yet; what was put in between is still to come."""
        self.current = self._run = self._again = None
        self._owed.clear()
        self._waiting.clear()
        self._departed.clear()
        self._course.rewind()

    def _repeats_left(self) -> int:
        if self._run is None or self._run.entry_id not in self._roster:
            return 0
        return self._roster.entry(self._roster.position[self._run.entry_id]).repeat - self._run.aired

    def _pick(self, count: int, judge: "_Judge") -> list[Entry]:
        picked: list[Entry] = []
        if count <= 0:
            return picked
        for entry, times in self._turns(judge):
            picked.extend([entry] * min(times, count - len(picked)))
            if len(picked) == count:
                break
        return picked

    def _turns(self, judge: "_Judge") -> Iterator[tuple[Entry, int]]:
        """Ready entries with how often each airs in a row, for ever."""
        last = None if self.current is None else self.current.id
        for entry, times in self._turns_before_the_course(judge):
            last = entry.id
            yield entry, times
        for position in filter(judge.is_ready, self._course.rest()):
            last = self._roster.ids[position]
            yield self._turn(position)
        for position in self._course.rounds(judge.is_ready, last):
            yield self._turn(position)

    def _turn(self, position: int) -> tuple[Entry, int]:
        entry = self._roster.entry(position)
        return entry, entry.repeat

    def _turns_before_the_course(self, judge: "_Judge") -> Iterator[tuple[Entry, int]]:
        if self._again is not None and judge.judge(self._again) is Readiness.READY:
            yield self._again, 1
        for entry, left in self._insertions.values():
            if judge.judge(entry) is Readiness.READY:
                yield entry, left
        left = self._repeats_left()
        positions = self._roster.position
        if self._run is not None and left > 0 and judge.is_ready(positions[self._run.entry_id]):
            yield self._roster.entry(positions[self._run.entry_id]), left
        for entry_id in self._owed:
            if judge.is_ready(positions[entry_id]):
                yield self._turn(positions[entry_id])


def _is_inserted(entry: Entry) -> bool:
    return entry.id.startswith("n")


class _Judge:
    """Asks for an entry's readiness once per plan, and not at all where a fault stands."""

    def __init__(self, roster: Roster, readiness: Callable[[Entry], Readiness]) -> None:
        self.verdicts: dict[str, Readiness] = {}
        self._roster = roster
        self._readiness = readiness

    def judge(self, entry: Entry) -> Readiness:
        verdict = self.verdicts.get(entry.id)
        if verdict is None:
            verdict = self._readiness(entry) if entry.fault is None else Readiness.REFUSED
            self.verdicts[entry.id] = verdict
        return verdict

    def is_ready(self, position: int) -> bool:
        return self.judge(self._roster.entry(position)) is Readiness.READY
