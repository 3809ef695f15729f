"""What airs next: the newest valid list, what was passed over, what is put in between.

Rule: the playing entry always finishes; next is the first ready entry after it in the newest list, and one that was passed
over because it was not ready keeps its turn. The plan made after an entry started is the rest of the plan before.
Pure: no files, threads or clocks. Not thread-safe; one thread of control owns a channel's queue.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from channeld.playlist.course import Course
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.order import Diff, Key
from channeld.playlist.roster import Renewal, Roster

__all__ = ["Diff", "Order", "Queue"]

Order = Literal["sequential", "shuffle"]


@dataclass(frozen=True, slots=True)
class _Departed:
    """An entry that an edit removed since the last start: it may be on its way to the air all the same."""

    entry: Entry
    key: Key
    successor: str | None
    was_owed: bool


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
        self._departed: dict[str, _Departed] = {}

    def apply(self, playlist: Playlist) -> Diff:
        """Take a valid list as the newest revision. Entries keep their ids by content and occurrence."""
        old_ids = self._roster.ids
        lasting = {each.key: each.entry.id for each in self._departed.values()}
        if self._course.cursor is not None and self._course.cursor_key is not None:
            lasting[self._course.cursor_key] = self._course.cursor
        renewal = self._roster.renew(playlist.entries, lasting)
        if self._roster.ids is not old_ids:
            self._remember_departed(renewal, self._course.successors(old_ids))
            self._course.renew(old_ids, renewal.diff)
        self._refresh()
        if renewal.is_changed or self.revision == 0:
            self.revision += 1
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
        return picked

    def upcoming(self, count: int, is_refused: Callable[[Entry], bool] | None = None) -> list[Entry]:
        """The same as if everything without a fault, and not refused, were ready: what to show and what to prepare, soonest first."""
        refuses = is_refused or (lambda _: False)
        return self._pick(count, _Judge(self._roster, lambda entry: Readiness.REFUSED if refuses(entry) else Readiness.READY))

    def turns(self, count: int, is_refused: Callable[[Entry], bool] | None = None) -> list[tuple[Entry, int]]:
        """The same, each with how often it airs in a row: `count` turns, whatever their repeats."""
        refuses = is_refused or (lambda _: False)
        judge = _Judge(self._roster, lambda entry: Readiness.REFUSED if refuses(entry) else Readiness.READY)
        return list(islice(self._turns(judge), count))

    def listed(self, position: int) -> Entry:
        """The entry at a position of the newest list, from 0, under its lasting id."""
        return self._roster.entry(position)

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

    def _start_insertion(self, entry_id: str) -> None:
        entry, left = self._insertions[entry_id]
        self.current = entry
        if left > 1:
            self._insertions[entry_id] = entry, left - 1
        else:
            del self._insertions[entry_id]

    def _start_departed(self, departed: _Departed) -> list[int]:
        self.current = departed.entry
        if departed.was_owed:
            return []
        successor = departed.successor
        while successor is not None and successor not in self._roster:
            successor = self._departed[successor].successor if successor in self._departed else None
        return self._course.advance_departed(departed.entry.id, departed.key, successor)

    def _pass_over(self, positions: list[int]) -> list[Entry]:
        passed = []
        for position in positions:
            entry_id = self._roster.ids[position]
            if entry_id in self._waiting:
                self._waiting.discard(entry_id)
                self._owed.setdefault(entry_id)
                passed.append(self._roster.entry(position))
        return passed

    def _remember_departed(self, renewal: Renewal, successors: dict[str, str | None]) -> None:
        self._departed = {entry_id: each for entry_id, each in self._departed.items() if entry_id not in self._roster}
        for entry, key in zip(renewal.diff.removed, renewal.removed_keys, strict=True):
            self._departed[entry.id] = _Departed(entry, key, successors.get(entry.id), entry.id in self._owed)

    def _refresh(self) -> None:
        roster = self._roster
        self._owed = {entry_id: None for entry_id in self._owed if entry_id in roster}
        self._waiting = {entry_id for entry_id in self._waiting if entry_id in roster or entry_id in self._insertions}
        if self.current is not None and self.current.id in roster:
            self.current = roster.entry(roster.position[self.current.id])

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
