"""What a channel does without while its parts end too often: the budget, carried out.

Rule: it only ever holds back: a push makes no attempt, an entry is refused, the list waits behind the filler; everything else goes on, no
other channel notices, and what was held back comes again by itself. Control loop's thread only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.base.redact import redact_source
from channeld.channel.budget import Answer, Budget, Step
from channeld.channel.means import Means
from channeld.channel.preparation import Prepared
from channeld.outputs.push_health import PushState
from channeld.playlist.model import Content, Entry, Readiness

LOOK_S = 1.0

log = structlog.get_logger()


class Restraint:
    """One channel's. `rest(output, seconds)` keeps a push quiet; `on_change` has the channel plan again."""

    def __init__(self, channel: str, means: Means, *, rest: Callable[[str, float], None], on_change: Callable[[], None]) -> None:
        self._channel = channel
        self._means = means
        self._rest, self._on_change = rest, on_change
        self._budget = Budget(means.budget)
        self._failures: dict[str, int] = {}
        self._told = _Held(Step.NONE, frozenset())
        self._causes: dict[Step, tuple[float, str]] = {}
        self._is_looking = False

    def _now_s(self) -> float:
        return self._means.clock.monotonic_ns() / NS_PER_SECOND

    # -- what happens -------------------------------------------------------------------------------------------

    def output_changed(self, state: PushState) -> None:
        """A push told how it stands."""
        known = self._failures.get(state.name, 0)
        self._failures[state.name] = state.failures
        if state.failures <= known:
            return
        rest_s = self._budget.push_ended(state.name, self._now_s())
        if rest_s:
            log.warning("output_rested", channel=self._channel, output=state.name, rest_s=round(rest_s, 1), error=state.last_error)
            self._rest(state.name, rest_s)
        rules = self._means.budget
        self._follow(
            f"pushes ended more than {rules.push_restarts} times in {rules.window_s:g} s: {', '.join(sorted(self._budget.outputs))}"
        )

    def air_ended(self, entry: Entry | None, cause: str, *, ends: int = 1) -> Answer:
        """The channel's air ended, so often, and it may be its own doing. `entry` was on air, None: the filler."""
        answer = self._budget.air_ended(entry.content if entry is not None else None, self._now_s(), ends=ends)
        what = redact_source(entry.locator) if entry is not None else "the filler"
        self._follow(f"{cause} again and again, the last time while {what} aired")
        return answer

    def clear(self) -> None:
        """The ends of the air are not this channel's doing."""
        self._budget.clear()
        self._follow("")

    def forgive(self) -> None:
        """Somebody ordered the channel off the air: it begins with all of its budget."""
        self._budget = Budget(self._means.budget)
        self._follow("it was stopped by order")

    # -- what is held back --------------------------------------------------------------------------------------

    def judge(self, entry: Entry, prepared: Prepared) -> Prepared:
        """How far an entry is, as far as it may air."""
        if self._budget.airs_filler:
            return replace(prepared, readiness=Readiness.PENDING, clip=None, reason=self._why("the filler airs", Step.FILLER))
        if self._budget.entries and entry.content in self._budget.entries:
            return Prepared(Readiness.REFUSED, reason=self._why("passed over", Step.ENTRY))
        return prepared

    def _why(self, what: str, step: Step) -> str:
        return f"{what} for a while: {self._causes[step][1]}" if step in self._causes else f"{what} for a while"

    def refuses(self, entry: Entry | None) -> bool:
        """An entry that is on air should not be (None: the filler)."""
        return entry is not None and (self._budget.airs_filler or entry.content in self._budget.entries)

    def refusals(self) -> dict[Content, str]:
        """What is passed over, and why."""
        return dict.fromkeys(self._budget.entries, self._why("passed over", Step.ENTRY)) if self._budget.entries else {}

    @property
    def step(self) -> Step:
        """How much is held back."""
        return self._budget.step

    def describe(self) -> dict[str, Any] | None:
        """CONTRACT's `degraded`; None while nothing is held back."""
        step = self._budget.step
        if step is Step.NONE:
            return None
        clock = self._means.clock
        until_s = clock.wall_s() + self._budget.until_s(self._now_s()) - self._now_s()
        since_s, reason = self._causes.get(step, (clock.wall_s(), ""))
        return {"step": step.name.lower(), "since": iso_utc(since_s), "until": iso_utc(until_s), "reason": reason}

    # -- telling ------------------------------------------------------------------------------------------------

    def _follow(self, cause: str) -> None:
        """Tell what is held back now, if that is news, and have the channel plan by it."""
        before, now = self._told, _Held.of(self._budget)
        if now == before:
            return
        self._told = now
        if now.step > before.step or (now.step is before.step and now.what > before.what):
            since_s = self._means.clock.wall_s() if now.step > before.step else self._causes[now.step][0]
            self._causes[now.step] = since_s, cause
            told = {"channel": self._channel, **(self.describe() or {})}
            log.error("channel_degraded", **told)
            self._means.publish("channel_degraded", **told)
        elif now.step < before.step:
            facts = {"channel": self._channel, "step": now.step.name.lower() if now.step else None, "before": before.step.name.lower()}
            log.info("channel_recovered", **facts)
            self._means.publish("channel_recovered", **facts)
        self._on_change()
        self._look_later()

    def _look_later(self) -> None:
        if self._budget.step and not self._is_looking:
            self._is_looking = True
            self._means.loop.later(LOOK_S, self._look)

    def _look(self) -> None:
        self._is_looking = False
        self._budget.look(self._now_s())
        self._follow("")
        self._look_later()


@dataclass(frozen=True, slots=True)
class _Held:
    """What is held back at one moment."""

    step: Step
    what: frozenset[str | Content]

    @classmethod
    def of(cls, budget: Budget) -> "_Held":
        return cls(budget.step, frozenset(budget.outputs) | frozenset(budget.entries))
