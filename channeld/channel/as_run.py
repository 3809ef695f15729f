"""The as-run log: what aired when, for how long, and why not, kept by the store and, the newest of it, in memory.

Rule: lines are made of what is published, by nobody else; a line once told is never lost while there is memory or disk. A page that the
newest lines fill is answered from memory; for older ones the database is asked, and while it cannot be read the answer is what is in
memory, and says so. Safe from any thread.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from channeld.base.clock import iso_utc
from channeld.base.errors import StoreError
from channeld.store.questions import AiringFilter, ClipTotal, count
from channeld.store.records import AIRED, Airing, Ending, Outcome
from channeld.store.store import Store

KEPT_AIRINGS = 5_000
WAIT_S = 2.0

T = TypeVar("T")
_NO_TURN = {"entry_substituted": Outcome.SUBSTITUTED, "entry_passed_over": Outcome.PASSED_OVER, "entry_skipped": Outcome.SKIPPED}

_OUTCOMES = {outcome.value: outcome for outcome in (Outcome.END, Outcome.CUT, Outcome.UNDERRUN, Outcome.DAMAGED)}


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, newest first, or totals. `problem`: why it is only what is in memory; None when it is all there is."""

    rows: list[dict[str, Any]]
    problem: str | None = None


class AsRun:
    """`first_id` is greater than every id in the store."""

    def __init__(self, store: Store | None, first_id: int = 1, kept: list[Airing] | None = None) -> None:
        self._store = store
        self._lock = threading.Lock()  # guards the rest; never held over anything slow
        self._ids = itertools.count(first_id)
        self._kept: OrderedDict[int, Airing] = OrderedDict((airing.id, airing) for airing in kept or ())
        self._all_from = next(iter(self._kept), first_id)  # every line with this id or a greater one is in memory
        self._open = {airing.channel: airing.id for airing in kept or () if airing.outcome is Outcome.ON_AIR}

    def note(self, kind: str, values: dict[str, Any]) -> None:
        """Make a line of what is published, or end one."""
        if kind in ("entry_started", "entry_continued"):
            self._begin(_airing(next(self._ids), Outcome.ON_AIR, values))
        elif kind == "entry_ended":
            self._end(_ending(values))
        elif kind in _NO_TURN:
            self._keep(_airing(next(self._ids), _NO_TURN[kind], values))

    def _begin(self, airing: Airing) -> None:
        with self._lock:
            before = self._kept.get(self._open.get(airing.channel, 0))
            if before is not None and _life(before) == _life(airing):
                return
            if before is not None:
                self._kept[before.id] = replace(before, outcome=Outcome.LOST)
            self._open[airing.channel] = airing.id
        self._keep(airing)

    def _keep(self, airing: Airing) -> None:
        with self._lock:
            self._kept[airing.id] = airing
            if len(self._kept) > KEPT_AIRINGS:
                self._forget_oldest()
        if self._store is not None:
            self._store.add_airing(airing)

    def _forget_oldest(self) -> None:
        # What is on air stays: its end is told of this very line, however many others came meanwhile.
        on_air = set(self._open.values())
        oldest = next(number for number in self._kept if number not in on_air)
        del self._kept[oldest]
        self._all_from = oldest + 1

    def _end(self, ending: Ending) -> None:
        with self._lock:
            begun = self._begun(ending)
            if begun is None:
                ending = replace(ending, id=next(self._ids))
                begun = Airing(ending.id, ending.channel, ending.ended_at_s, ending.outcome, *_life(ending)[1:], ending.entry, ending.path)
            self._kept[begun.id] = replace(
                begun, outcome=ending.outcome, ended_at_s=ending.ended_at_s, frames=ending.frames, reason=ending.reason
            )
            if self._open.get(ending.channel) == begun.id:
                del self._open[ending.channel]
        if self._store is not None:
            self._store.add_airing(replace(ending, id=begun.id))

    def _begun(self, ending: Ending) -> Airing | None:
        newest = self._kept.get(self._open.get(ending.channel, 0))
        if newest is not None and _life(newest) == _life(ending):
            return newest
        return next((each for each in reversed(self._kept.values()) if _life(each) == _life(ending)), None)

    def remembered(self) -> list[Airing]:
        """The newest lines, oldest first."""
        with self._lock:
            return list(self._kept.values())

    def lines(self, wanted: AiringFilter, limit: int) -> Page:
        """Newest first."""
        newest = self._newest(wanted, limit)
        if newest is not None:
            return Page([described(airing) for airing in newest])
        found, problem = self._ask(
            lambda store: store.airings(wanted, limit),
            lambda: list(itertools.islice((each for each in reversed(self.remembered()) if wanted.admits(each)), limit)),
        )
        return Page([described(airing) for airing in found], problem)

    def _newest(self, wanted: AiringFilter, limit: int) -> list[Airing] | None:
        """A whole page, where the lines that memory has all of fill it; else None."""
        with self._lock:
            lines = itertools.takewhile(lambda airing: airing.id >= self._all_from, reversed(self._kept.values()))
            found = list(itertools.islice(filter(wanted.admits, lines), limit))
        return found if len(found) == limit else None

    def totals(self, wanted: AiringFilter) -> Page:
        """By channel and path."""
        found, problem = self._ask(
            lambda store: store.totals(wanted), lambda: count(each for each in self.remembered() if wanted.admits(each))
        )
        return Page([described_total(total) for total in found], problem)

    def _ask(self, ask: Callable[[Store], T], remember: Callable[[], T]) -> tuple[T, str | None]:
        if self._store is None:
            return remember(), None
        try:
            self._store.flush(WAIT_S)
            return ask(self._store), None
        except StoreError as error:
            return remember(), f"only what is in memory: {error}"


def _life(one: Airing | Ending) -> tuple[str, str | None, int | None]:
    """What tells an airing from all others."""
    return one.channel, one.timeline, one.serial


def described(airing: Airing) -> dict[str, Any]:
    """A line as the API shows it. `ended` is the outcome of what aired and is over."""
    is_over = airing.outcome in AIRED and airing.outcome is not Outcome.ON_AIR
    return {
        "id": airing.id,
        "channel": airing.channel,
        "timeline": airing.timeline,
        "serial": airing.serial,
        "entry": airing.entry,
        "title": airing.title,
        "path": airing.path,
        "planned_at": _iso(airing.planned_at_s),
        "started_at": _iso(airing.at_s),
        "ended_at": _iso(airing.ended_at_s),
        "ticks": airing.ticks,
        "frames_planned": airing.frames_planned,
        "frames": airing.frames,
        "outcome": airing.outcome.value,
        "ended": airing.outcome.value if is_over else None,
        "reason": airing.reason,
        "error": airing.reason if airing.outcome in (Outcome.DAMAGED, Outcome.UNDERRUN) else None,
    }


def described_total(total: ClipTotal) -> dict[str, Any]:
    """A total as the API shows it."""
    return {
        "channel": total.channel,
        "path": total.path,
        "title": total.title,
        "airings": total.airings,
        "frames": total.frames,
        "aired_s": round(total.aired_s, 3),
        "first_at": _iso(total.first_at_s),
        "last_at": _iso(total.last_at_s),
    }


def _iso(wall_s: float | None) -> str | None:
    return None if wall_s is None else iso_utc(wall_s)


def _wall_s(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


def _airing(number: int, outcome: Outcome, values: dict[str, Any]) -> Airing:
    return Airing(
        id=number,
        channel=values["channel"],
        at_s=datetime.fromisoformat(values["at"]).timestamp(),
        outcome=outcome,
        timeline=values.get("timeline"),
        serial=values.get("serial"),
        entry=values.get("entry"),
        path=values.get("path"),
        title=values.get("title"),
        planned_at_s=_wall_s(values.get("planned_at")),
        ticks=values.get("ticks"),
        frames_planned=values.get("frames_planned"),
        reason=values.get("reason"),
    )


def _ending(values: dict[str, Any]) -> Ending:
    return Ending(
        id=0,
        channel=values["channel"],
        timeline=values["timeline"],
        serial=values["serial"],
        outcome=_OUTCOMES.get(values["reason"], Outcome.CUT),
        ended_at_s=datetime.fromisoformat(values["ended_at"]).timestamp(),
        frames=values["frames"],
        reason=values.get("error") or values.get("cause"),
        entry=values.get("entry"),
        path=values.get("path"),
    )
