"""What a channel airs at set times in place of what would: each day, on some days, or once at a date.

Rule: times are those of a wall clock in one time zone, summer time included: a slot begins when that clock shows its time, and lasts its
seconds. Of slots that overlap the one that began last counts. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path

MAX_SLOT_S = 7 * 86_400
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AHEAD_DAYS = 8
"""Every weekly slot begins within so many days."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Slot:
    """One. `begins`: a time of the day, or a moment of one date, both without a zone. `days`: from Monday, 0; none: every day.

    Exactly one of `text` (a slate), `file`, `source` (its name: it goes before the others) and `is_list` (it, though sources are live).
    """

    begins: time | datetime
    seconds: float
    days: frozenset[int] = frozenset()
    text: str | None = None
    file: str | None = None
    source: str | None = None
    is_list: bool = False
    once: bool = False

    @property
    def title(self) -> str:
        """What people are shown."""
        return self.text or (Path(self.file).stem if self.file else self.source or "the list")


@dataclass(frozen=True, slots=True)
class Turn:
    """A slot at one of its times, in seconds since 1970."""

    slot: Slot
    begins_s: float

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.begins_s + self.slot.seconds


@dataclass(frozen=True, slots=True)
class Timetable:
    """The slots of a channel. `zone` None: the machine's."""

    slots: tuple[Slot, ...]
    zone: tzinfo | None = None

    def now(self, wall_s: float) -> Turn | None:
        """The turn that counts at this moment."""
        running = [turn for turn in self._turns(wall_s) if turn.begins_s <= wall_s < turn.ends_s]
        return max(running, key=lambda turn: turn.begins_s, default=None)

    def next(self, wall_s: float) -> Turn | None:
        """The turn that begins next."""
        return min((turn for turn in self._turns(wall_s) if turn.begins_s > wall_s), key=lambda turn: turn.begins_s, default=None)

    def changes_in_s(self, wall_s: float) -> float | None:
        """How soon another turn may count; None: never any more."""
        edges = [edge for turn in self._turns(wall_s) for edge in (turn.begins_s, turn.ends_s) if edge > wall_s]
        return min(edges) - wall_s if edges else None

    def _turns(self, wall_s: float) -> Iterator[Turn]:
        """All that are running, and the next of each slot."""
        today = datetime.fromtimestamp(wall_s, self.zone).date()
        for slot in self.slots:
            if isinstance(slot.begins, datetime):
                yield Turn(slot, self._moment(slot.begins))
                continue
            first = -int(slot.seconds // _DAY_S) - 1
            for day in (today + timedelta(days=number) for number in range(first, _AHEAD_DAYS + 1)):
                if not slot.days or day.weekday() in slot.days:
                    yield Turn(slot, self._of_day(day, slot.begins))

    def _of_day(self, day: date, begins: time) -> float:
        return self._moment(datetime.combine(day, begins))

    def _moment(self, local: datetime) -> float:
        # A time that the clock leaves out in spring counts an hour later, one that it shows twice in autumn the first time.
        return local.replace(tzinfo=self.zone).timestamp() if self.zone is not None else local.timestamp()


def clash(slots: Sequence[Slot]) -> bool:
    """Two slots of one time of the day, of which one could never air."""
    times = sorted((str(slot.begins), day) for slot in slots for day in (slot.days or range(7)) if isinstance(slot.begins, time))
    return any(before == after for before, after in pairwise(times))
