"""What was to be heard and seen lately: each airing's place on the timeline, with the silences and stills of its clip.

Rule: silence or a still picture is a fault only where the clip on air has none; what is not known excuses everything.
Pure and immutable, so that the control loop makes it and the read-back thread reads it. Ticks of 90 kHz, unbounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import TICKS_PER_SECOND

KEPT_S = 300.0
MAX_KEPT = 500
UNEXPLAINED_S = 1.5
"""Quiet that nobody notices: what prepare's facts leave out at a clip's end and the next one's beginning."""
_UNEXPLAINED_SHARE = 0.6
_EDGE_S = 0.3
_WRAP = 1 << 33

Spans = tuple[tuple[float, float], ...]
Kind = Literal["silent", "still"]


@dataclass(frozen=True, slots=True)
class Stillness:
    """Seconds from the clip's start in which it is silent, and in which its picture stands still."""

    silent: Spans = ()
    still: Spans = ()


def read_stillness(facts: Mapping[str, Any]) -> Stillness | None:
    """What a prepared clip's facts tell; None for one that was prepared before they were measured."""
    spans = facts.get("silent"), facts.get("still")
    if not all(isinstance(each, list) for each in spans):
        return None
    try:
        silent, still = (tuple((float(begin), float(end)) for begin, end in each or ()) for each in spans)
    except (TypeError, ValueError):
        return None
    return Stillness(silent, still)


@dataclass(frozen=True, slots=True)
class Airing:
    """A clip's airing: tick of its first frame, moment (monotonic) at which that was due, and facts (None: unknown).

    `offset_s`: where in the clip it began.
    """

    start_ticks: int
    due_ns: int
    stillness: Stillness | None
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Programme:
    """The airings of the last minutes, oldest first."""

    airings: tuple[Airing, ...] = ()

    def started(self, airing: Airing) -> "Programme":
        """With one more; one of the same tick is replaced, and what another timeline aired is forgotten."""
        before = [old for old in self.airings[-MAX_KEPT:] if old.start_ticks < airing.start_ticks]
        oldest = airing.start_ticks - round(KEPT_S * TICKS_PER_SECOND)
        # The last that began before the kept time may have been on air in it.
        while len(before) > 1 and before[1].start_ticks < oldest:
            before.pop(0)
        return replace(self, airings=(*before, airing))

    def head_ticks(self, now_ns: int) -> int | None:
        """The tick that is due now."""
        if not self.airings:
            return None
        newest = self.airings[-1]
        return newest.start_ticks + (now_ns - newest.due_ns) * TICKS_PER_SECOND // NS_PER_SECOND

    def unwrap(self, pts: int, now_ns: int) -> int | None:
        """The tick that a timestamp of 33 bits means: the one nearest to now."""
        head = self.head_ticks(now_ns)
        return None if head is None else head + (pts - head + _WRAP // 2) % _WRAP - _WRAP // 2

    def explains(self, kind: Kind, begin_ticks: int, seconds: float) -> bool:
        """Whether a stretch that is wholly silent (or still) on air is so in what aired there."""
        end_ticks = begin_ticks + round(seconds * TICKS_PER_SECOND)
        if not self.airings or begin_ticks < self.airings[0].start_ticks:
            return True
        covered_s = self._covered_s(kind, begin_ticks, end_ticks)
        return covered_s is None or seconds - covered_s <= min(UNEXPLAINED_S, _UNEXPLAINED_SHARE * seconds)

    def explains_somewhere(self, kind: Kind, begin_ticks: int, end_ticks: int, seconds: float) -> bool:
        """The same where it is not known when exactly it aired: anywhere between two ticks."""
        step = TICKS_PER_SECOND
        last = max(begin_ticks, end_ticks - round(seconds * TICKS_PER_SECOND))
        return any(self.explains(kind, at, seconds) for at in range(begin_ticks, last + step, step))

    def _covered_s(self, kind: Kind, begin_ticks: int, end_ticks: int) -> float | None:
        """Expected quiet between two ticks; None where something unknown aired."""
        covered_s = 0.0
        ends = [after.start_ticks for after in self.airings[1:]] + [end_ticks]
        for airing, airing_end in zip(self.airings, ends, strict=True):
            begin, end = max(begin_ticks, airing.start_ticks), min(end_ticks, airing_end)
            if begin >= end:
                continue
            if airing.stillness is None:
                return None
            spans = airing.stillness.silent if kind == "silent" else airing.stillness.still
            from_s, to_s = (airing.offset_s + (tick - airing.start_ticks) / TICKS_PER_SECOND for tick in (begin, end))
            covered_s += sum(max(0.0, min(to_s, last + _EDGE_S) - max(from_s, first - _EDGE_S)) for first, last in spans)
        return covered_s
