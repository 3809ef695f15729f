"""Which of a channel's sources is to be on air: the rules of loss and return, without I/O.

Rule: the first source in order that is live; one that was lost only after it was live again for the recovery grace, so that a source that
flaps does not flap the air. What is on air and live stays until a better one has proved itself. Seconds are of the monotonic clock.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from channeld.base.clock import NS_PER_SECOND
from channeld.sources.spec import SWITCH_S, Reason, SourceState, patience_s

Standby = Literal["cold", "hot"]
HAD_ITS_GRACE = (Reason.TIMED_OUT, Reason.FROZEN, Reason.BLACK, Reason.SILENT)
"""What is told only after it lasted a while."""
STORE_SPARE_S = 0.5
"""What comes late at first: blocks of a source are not evenly long."""
STORE_GROWTH, MAX_STORE_S, MOST_GROWTHS = 1.6, 10.0, 20


@dataclass(frozen=True, slots=True)
class FailoverRules:
    """`loss_grace_s`: how long a source may be silent on air; `recovery_grace_s`: how long one that was lost has to be back.

    `buffer_s`: how much of any source has to be in store before it airs. `standby` cold: connected to when all before it are lost.
    """

    loss_grace_s: float = 2.0
    recovery_grace_s: float = 3.0
    buffer_s: float = 1.0
    standby: Standby = "cold"


@dataclass(slots=True)
class Standing:
    """How one source stands. `clip`: the live clip it writes. `since_s`: of the state; `since_wall_s` labels it.

    `silent_s`: since when nothing came of a lost one, whatever was told of it since. `dry_s`: when the air ran out of it last, and
    `is_silent`: that nothing is known to have come since.
    """

    state: SourceState = SourceState.CONNECTING
    reason: Reason | None = None
    detail: str = ""
    clip: str | None = None
    folder: str = ""
    since_s: float = 0.0
    since_wall_s: float = 0.0
    silent_s: float = 0.0
    dry_s: float = 0.0
    is_silent: bool = False
    was_lost: bool = False
    mode: str = ""
    why: str = ""


def standing_of(values: dict[str, Any]) -> Standing:
    """As the process that takes a source in told it; see sources.ingest."""
    reason = values["reason"]
    return Standing(
        state=SourceState(values["state"]),
        reason=Reason(reason) if reason else None,
        detail=str(values["detail"]),
        clip=values["clip"],
        folder=str(values.get("folder", "")),
        since_s=int(values["since_ns"]) / NS_PER_SECOND,
        since_wall_s=float(values["since"]),
        silent_s=int(values.get("silent_ns") or 0) / NS_PER_SECOND,
        mode=str(values.get("mode", "")),
        why=str(values.get("why", "")),
    )


@dataclass(frozen=True, slots=True)
class OnAir:
    """The live clip on air."""

    name: str
    clip: str


class Failover:
    """The sources of one channel, in order of preference."""

    def __init__(self, names: Sequence[str], rules: FailoverRules) -> None:
        self.names, self._rules = tuple(names), rules
        self._preferred: str | None = None
        self.standings = {name: Standing() for name in names}
        self._dry: dict[str, int] = {}

    def prefer(self, name: str | None) -> None:
        """One goes before all others, for a while."""
        self._preferred = name

    @property
    def _ranked(self) -> tuple[str, ...]:
        first = self._preferred
        return self.names if first not in self.names else (first, *(name for name in self.names if name != first))

    def told(self, name: str, standing: Standing) -> None:
        """A source stands otherwise; one that goes on being live with the same clip keeps its time."""
        before = self.standings.get(name)
        if before is None or (before.state is SourceState.LOST and standing.state is SourceState.CONNECTING):
            return  # a process that replaces another begins so; for whoever waits it is lost until it is there
        standing.dry_s = before.dry_s
        standing.was_lost = before.was_lost or standing.state is SourceState.LOST
        if standing.state is SourceState.LOST:
            standing.silent_s = before.silent_s if before.state is SourceState.LOST else standing.silent_s or standing.since_s
            self._dry.pop(name, None)  # another connection may be another thing
        self.standings[name] = standing

    def underran(self, name: str, now_s: float) -> None:
        """The air ran out of a source that is called live: it has to prove itself again, and more of it is kept in store."""
        self._dry[name] = self._dry.get(name, 0) + 1
        standing = self.standings[name]
        standing.was_lost, standing.is_silent, standing.since_s, standing.dry_s = True, True, now_s, now_s

    def heard(self, name: str, now_s: float, idle_s: float) -> bool:
        """How long nothing came of a source; of one that ran dry something new has to, before it proves itself. Whether it does now."""
        standing = self.standings[name]
        if not standing.is_silent:
            return False
        standing.is_silent = now_s - idle_s < standing.dry_s
        if standing.is_silent:
            standing.since_s = now_s
        return not standing.is_silent

    def best(self, now_s: float, on_air: OnAir | None) -> str | None:
        """Which source is to be on air; None for none."""
        return next((name for name in self._ranked if self._may_air(name, now_s, on_air)), None)

    def store_s(self, name: str) -> float:
        """How much of a source is kept in store: as the rules say, and more the oftener it ran dry."""
        grown_s = self._rules.buffer_s * STORE_GROWTH ** min(self._dry.get(name, 0), MOST_GROWTHS)
        return max(self._rules.buffer_s, min(MAX_STORE_S, grown_s))

    def _may_air(self, name: str, now_s: float, on_air: OnAir | None) -> bool:
        standing = self.standings[name]
        if standing.state is not SourceState.LIVE or standing.clip is None:
            return False
        return self._is_on_air(name, on_air) or self._proved_in_s(name, now_s) <= 0

    def _is_on_air(self, name: str, on_air: OnAir | None) -> bool:
        return on_air is not None and on_air == OnAir(name, self.standings[name].clip or "")

    def _proved_in_s(self, name: str, now_s: float) -> float:
        standing, store_s = self.standings[name], self.store_s(name) + STORE_SPARE_S
        if standing.is_silent:
            return math.inf
        return standing.since_s + (max(store_s, self._rules.recovery_grace_s) if standing.was_lost else store_s) - now_s

    def must_leave_in_s(self, name: str, now_s: float) -> float:
        """How long a lost source that is on air may go on with what of it is in store; what HAD_ITS_GRACE not at all."""
        standing = self.standings[name]
        if standing.reason in HAD_ITS_GRACE:
            return 0.0
        # Once more: at its end FFmpeg gives out what it held back, so that the last picture comes that much after the silence began.
        return max(0.0, standing.silent_s + patience_s(self._rules.loss_grace_s) - SWITCH_S - now_s)

    def look_again_in_s(self, now_s: float) -> float | None:
        """When `best` may change though nothing is told: a source proves itself."""
        waits = [self._proved_in_s(name, now_s) for name, standing in self.standings.items() if standing.state is SourceState.LIVE]
        coming = [wait for wait in waits if 0 < wait < math.inf]
        return min(coming) if coming else None

    def wanted(self, now_s: float, on_air: OnAir | None) -> tuple[str, ...]:
        """Which sources are to be connected to: those before the first that may air, and it; with hot standby all."""
        if self._rules.standby == "hot":
            return self.names
        best, ranked = self.best(now_s, on_air), self._ranked
        if best is None:
            lost = [self.standings[name].state is SourceState.LOST or self.standings[name].is_silent for name in ranked]
            first_hopeful = next((number for number, is_lost in enumerate(lost) if not is_lost), len(ranked) - 1)
            return ranked[: first_hopeful + 1]
        return ranked[: ranked.index(best) + 1]

    def fault(self) -> Standing:
        """What to tell viewers when no source is on air: the first source's trouble."""
        return self.standings[self._ranked[0]]
