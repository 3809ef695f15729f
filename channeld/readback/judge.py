"""The verdict on one output, from what looks at it found: a table of conditions, worst first.

Rule: alive means that what a viewer gets goes on. Pure: moments come in as nanoseconds of the monotonic clock, and the wall
clock only labels. One judge for each output; used by the read-back thread.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from channeld.base.clock import NS_PER_SECOND
from channeld.readback.manifest import Listing

MAX_REASON_CHARACTERS = 300
_KEPT_FINDINGS = 7


class Condition(StrEnum):
    """What an output is to its viewers."""

    OK = "ok"
    LATE = "late"
    STALE = "stale"
    BROKEN = "broken"
    SILENT = "silent"
    FROZEN = "frozen"
    UNREACHABLE = "unreachable"

    @property
    def can_be_watched(self) -> bool:
        """A viewer who comes now sees the channel go on."""
        return self not in (Condition.STALE, Condition.BROKEN, Condition.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition, why (None when ok), and since when: `since_s` of the wall clock, `since_ns` of the monotonic one."""

    condition: Condition
    reason: str | None
    since_s: float
    since_ns: int


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found. Without a listing: `trouble` tells why, `is_missing` that the server answered there is none.

    `faults` are the newest segment's, None when it was not fetched; `load_s` is how long it took to load.
    """

    at_ns: int
    listing: Listing | None = None
    trouble: str | None = None
    is_missing: bool = False
    faults: tuple[str, ...] | None = None
    load_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What decoding one segment found, held against what was to be expected there. `span_s`: how long the segment lasts."""

    at_ns: int
    span_s: float
    errors: str | None = None
    silent: str | None = None
    frozen: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a judge is, in target durations, and `grain_s` for how often it looks."""

    late_targets: float = 1.5
    stale_targets: float = 3.0
    fault_targets: float = 3.0
    first_s: float = 20.0
    grain_s: float = 1.0
    least_span_s: float = 2.5


@dataclass(slots=True)
class _Seen:
    """The newest listing, when it last grew, and what stands against it."""

    since_ns: int
    listing: Listing | None = None
    advanced_ns: int | None = None
    trouble: str | None = None
    trouble_ns: int | None = None
    looks_in_trouble: int = 0
    is_missing: bool = False
    load_s: float = 0.0


class Judge:
    """Judges one output. `is_constant`: its TARGETDURATION never changes (RFC 8216, 6.2.1; nginx-rtmp's does)."""

    def __init__(self, *, now_ns: int, target_s: float, is_constant: bool, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._target_s, self._is_constant = target_s, is_constant
        self._seen = _Seen(now_ns)
        self._held: tuple[str, int] | None = None
        self._segment_fault: str | None = None
        self._findings: tuple[Finding, ...] = ()
        self._verdict: Verdict | None = None
        self.segment_errors = 0
        self.discontinuities = 0

    @property
    def target_s(self) -> float:
        """The target duration that is reckoned with."""
        return self._target_s

    @property
    def listing(self) -> Listing | None:
        """The newest listing."""
        return self._seen.listing

    def age_s(self, now_ns: int) -> float | None:
        """Seconds since the manifest was seen to grow; None before any was seen."""
        advanced_ns = self._seen.advanced_ns
        return None if advanced_ns is None else (now_ns - advanced_ns) / NS_PER_SECOND

    @property
    def is_suspect(self) -> bool:
        """The newest segment or decoding gives reason to decode the next one soon."""
        newest = self._findings[-1] if self._findings else None
        return self._segment_fault is not None or (newest is not None and any((newest.errors, newest.silent, newest.frozen)))

    def take_look(self, look: Look) -> None:
        """Take what a look found."""
        seen = self._seen
        if look.listing is None:
            seen.trouble, seen.is_missing = look.trouble or "no manifest", look.is_missing
            seen.trouble_ns = look.at_ns if seen.trouble_ns is None else seen.trouble_ns
            seen.looks_in_trouble += 1
            return
        seen.trouble, seen.trouble_ns, seen.looks_in_trouble, seen.is_missing = None, None, 0, False
        self._take_listing(look.listing, look.at_ns)
        if look.faults is not None:
            self._segment_fault = look.faults[0] if look.faults else None
            self.segment_errors += bool(look.faults)
            seen.load_s = look.load_s

    def take_finding(self, finding: Finding) -> None:
        """Take what decoding found."""
        self._findings = (*self._findings[-_KEPT_FINDINGS:], finding)

    def hold_fault(self, fault: str, now_ns: int) -> None:
        """Something that the next look will not show any more, but that players stumble over: broken for a while."""
        until_ns = now_ns + round(self._limits.fault_targets * self._target_s * NS_PER_SECOND)
        self._held = fault[:MAX_REASON_CHARACTERS], until_ns

    def _take_listing(self, listing: Listing, now_ns: int) -> None:
        before = self._seen.listing
        if before is None or listing.newest.sequence != before.newest.sequence:
            self._seen.advanced_ns = now_ns
        if before is not None:
            self._compare(before, listing, now_ns)
        self._seen.listing, self._target_s = listing, float(listing.target_s)

    def _compare(self, before: Listing, now: Listing, now_ns: int) -> None:
        fresh = [segment for segment in now.segments if segment.sequence > before.newest.sequence]
        self.discontinuities += sum(segment.is_discontinuity for segment in fresh)
        if now.newest.sequence < before.newest.sequence:
            self.hold_fault(f"the media sequence went back from {before.newest.sequence} to {now.newest.sequence}", now_ns)
        elif now.segments[0].sequence < before.segments[0].sequence:
            self.hold_fault("segments that were removed from the manifest are listed again", now_ns)
        if self._is_constant and now.target_s != before.target_s:
            self.hold_fault(f"TARGETDURATION changed from {before.target_s} to {now.target_s}", now_ns)
        if self._is_constant and now.discontinuities < before.discontinuities:
            self.hold_fault(f"DISCONTINUITY-SEQUENCE went back from {before.discontinuities} to {now.discontinuities}", now_ns)

    def verdict(self, now_ns: int, wall_s: float) -> Verdict | None:
        """The verdict at this moment; None while the output has time to begin."""
        found = next(((condition, reason) for condition, rule in _RULES if (reason := rule(self, now_ns)) is not None), None)
        if found is None and self._seen.listing is None:
            return None
        condition, reason = found or (Condition.OK, None)
        before = self._verdict
        is_new = before is None or before.condition is not condition
        since = (wall_s, now_ns) if before is None or is_new else (before.since_s, before.since_ns)
        self._verdict = Verdict(condition, reason[:MAX_REASON_CHARACTERS] if reason else None, *since)
        return self._verdict

    # -- the rules: a reason, or None where the condition does not hold -------------------------------------------

    def _is_beginning(self, now_ns: int) -> bool:
        first_s = self._limits.first_s + self._limits.stale_targets * self._target_s
        return self._seen.listing is None and now_ns - self._seen.since_ns < first_s * NS_PER_SECOND

    def _unreachable(self, now_ns: int) -> str | None:
        seen = self._seen
        if seen.trouble_ns is None or seen.is_missing or seen.looks_in_trouble < 2 or self._is_beginning(now_ns):
            return None
        lasts_s = (now_ns - seen.trouble_ns) / NS_PER_SECOND
        return seen.trouble if lasts_s >= self._target_s else None

    def _stale(self, now_ns: int) -> str | None:
        seen = self._seen
        if seen.listing is None:
            return (seen.trouble or "there is no manifest") if seen.is_missing and not self._is_beginning(now_ns) else None
        age_s = self.age_s(now_ns) or 0.0
        if age_s <= self._limits.stale_targets * self._target_s + self._limits.grain_s:
            return None
        return f"no new segment for {age_s:.0f} s" + (f": {seen.trouble}" if seen.trouble else "")

    def _broken(self, now_ns: int) -> str | None:
        if self._held is not None and now_ns < self._held[1]:
            return self._held[0]
        if self._segment_fault is not None:
            return f"the newest segment: {self._segment_fault}"
        errors = self._findings[-1].errors if self._findings else None
        return f"decoding: {errors}" if errors else None

    def _frozen(self, _now_ns: int) -> str | None:
        return self._lasting([(finding, finding.frozen) for finding in self._findings])

    def _silent(self, _now_ns: int) -> str | None:
        return self._lasting([(finding, finding.silent) for finding in self._findings])

    def _lasting(self, told: list[tuple[Finding, str | None]]) -> str | None:
        """What the newest decodings found, two in a row at least; a single one may have met the seam of two clips."""
        run = [finding for finding, _ in itertools.takewhile(lambda each: each[1] is not None, reversed(told))]
        if len(run) < 2:
            return None
        span_s = run[-1].span_s + (run[0].at_ns - run[-1].at_ns) / NS_PER_SECOND
        return told[-1][1] if span_s >= self._limits.least_span_s else None

    def _late(self, now_ns: int) -> str | None:
        age_s = self.age_s(now_ns)
        if age_s is not None and age_s > self._limits.late_targets * self._target_s + self._limits.grain_s:
            return f"no new segment for {age_s:.0f} s, where one is due every {self._target_s:g} s"
        if self._seen.load_s > self._target_s:
            return f"the newest segment took {self._seen.load_s:.1f} s to load, longer than it lasts"
        return None


_RULES: tuple[tuple[Condition, Callable[[Judge, int], str | None]], ...] = (
    (Condition.UNREACHABLE, Judge._unreachable),  # the table is part of the class
    (Condition.STALE, Judge._stale),
    (Condition.BROKEN, Judge._broken),
    (Condition.FROZEN, Judge._frozen),
    (Condition.SILENT, Judge._silent),
    (Condition.LATE, Judge._late),
)
