"""Which alerts stand: rules over what is wrong just now. Pure: facts and time in, notices out.

Rule: an alert fires once its fact has held without a break for the rule's time, is told again each `repeat_s`, and is resolved once, by the
first look without the fact. A thing that happens (clip_failed) has no end: it is told once per subject, and again only after `repeat_s`.
Seconds of the monotonic clock. Used by one thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from channeld.notices.settings import ABOVE_PERCENT, AlertRule, Trouble

HAPPENINGS = frozenset({Trouble.CLIP_FAILED})
MAX_HAPPENED = 1_000
FORGET_S = 86_400.0
"""A rule that does not repeat tells of the same happening again after this."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so now, or has happened. `percent`: the figure, where a rule has a mark; `channel` None: the daemon's."""

    trouble: Trouble
    subject: str
    text: str
    channel: str | None = None
    percent: float | None = None


class Phase(StrEnum):
    """What a notice says of an alert."""

    FIRING = "firing"
    STILL = "still"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Notice:
    """What has to be told. `lasted_s`: since the fact began to hold."""

    phase: Phase
    rule: AlertRule
    fact: Fact
    lasted_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A fact under a rule; `told_s` None: it has not lasted long enough yet."""

    rule: AlertRule
    fact: Fact
    since_s: float
    told_s: float | None = None


Key = tuple[str, str]


class AlertBook:
    """All alerts of a daemon."""

    def __init__(self, rules: Iterable[AlertRule] = ()) -> None:
        self._rules = tuple(rules)
        self._standing: dict[Key, Standing] = {}
        self._happened: dict[Key, Standing] = {}

    @property
    def troubles(self) -> frozenset[Trouble]:
        """What has to be looked at."""
        return frozenset(rule.when for rule in self._rules)

    def change(self, rules: Iterable[AlertRule]) -> None:
        """Have other rules; an alert of a rule that is no more, or is about another thing, is forgotten."""
        self._rules = tuple(rules)
        known = {rule.name: rule for rule in self._rules}
        self._standing = {
            key: replace(each, rule=known[key[0]])
            for key, each in self._standing.items()
            if key[0] in known and known[key[0]].when is each.rule.when
        }

    def look(self, facts: Iterable[Fact], now_s: float) -> list[Notice]:
        """What is to be told, given all that is so now."""
        held: dict[Key, tuple[AlertRule, Fact]] = {}
        for fact in facts:
            for rule in self._rules:
                if _concerns(rule, fact):
                    held[rule.name, fact.subject] = rule, fact
        notices = [self._resolve(key, now_s) for key in self._standing.keys() - held.keys()]
        notices += [self._hold(key, rule, fact, now_s) for key, (rule, fact) in held.items()]
        return [notice for notice in notices if notice is not None]

    def happened(self, fact: Fact, now_s: float) -> list[Notice]:
        """What is to be told of something that has happened."""
        notices = []
        for rule in self._rules:
            key = rule.name, fact.subject
            if rule.when is not fact.trouble or not _concerns(rule, fact):
                continue
            before = self._happened.pop(key, None)
            if before is None or now_s - before.since_s >= (rule.repeat_s or FORGET_S):
                before = Standing(rule, fact, now_s, now_s)
                notices.append(Notice(Phase.FIRING, rule, fact, 0.0))
            self._happened[key] = before
        while len(self._happened) > MAX_HAPPENED:
            del self._happened[next(iter(self._happened))]
        return notices

    def firing(self) -> list[Standing]:
        """All that were told and are not resolved."""
        return [each for each in self._standing.values() if each.told_s is not None]

    def told(self) -> list[Standing]:
        """What another process must know so as to tell nothing twice: all that fires, and what has happened."""
        return [*self._happened.values(), *self.firing()]

    def restore(self, told: Iterable[Standing]) -> None:
        """Take over what another process told; what is not so any more is resolved by the next look."""
        known = {rule.name: rule for rule in self._rules}
        for each in told:
            rule = known.get(each.rule.name)
            if rule is not None and rule.when is each.fact.trouble:
                kept = self._happened if rule.when in HAPPENINGS else self._standing
                kept[rule.name, each.fact.subject] = replace(each, rule=rule)

    def _resolve(self, key: Key, now_s: float) -> Notice | None:
        each = self._standing.pop(key)
        return None if each.told_s is None else Notice(Phase.RESOLVED, each.rule, each.fact, now_s - each.since_s)

    def _hold(self, key: Key, rule: AlertRule, fact: Fact, now_s: float) -> Notice | None:
        before = self._standing.get(key)
        since_s, told_s = (now_s, None) if before is None else (before.since_s, before.told_s)
        phase = None
        if told_s is None and now_s - since_s >= rule.for_s:
            phase = Phase.FIRING
        elif told_s is not None and rule.repeat_s > 0 and now_s - told_s >= rule.repeat_s:
            phase = Phase.STILL
        self._standing[key] = Standing(rule, fact, since_s, told_s if phase is None else now_s)
        return None if phase is None else Notice(phase, rule, fact, now_s - since_s)


def _concerns(rule: AlertRule, fact: Fact) -> bool:
    if rule.when is not fact.trouble or (rule.channels is not None and fact.channel not in rule.channels):
        return False
    mark = rule.above_percent if rule.above_percent is not None else ABOVE_PERCENT.get(rule.when)
    return mark is None or fact.percent is None or fact.percent > mark
