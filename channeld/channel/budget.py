"""How often a channel's parts may end by themselves, and what it does without when they end more often. Pure.

Rule: two accounts, one for the FFmpegs of its pushes, one for its air (the playout host, the channel's own code). Each is a bucket of
tokens that refills over a sliding window. An account that is overdrawn costs the next thing that has something to do with it: outputs
rest, then the entry is passed over that aired at the ends, then the filler airs. What is overdrawn begins again with half of its tokens;
one that is full again gives back what was taken last. Moments are seconds of the monotonic clock, brought by the caller.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from channeld.playlist.model import Content

MAX_CONVICTED = 1_000


class Step(IntEnum):
    """What the channel does without; each step has those below it to go back to."""

    NONE = 0
    OUTPUTS = 1
    ENTRY = 2
    FILLER = 3


class Answer(Enum):
    """What an end of the air led to. CLEARED: it goes on while the filler airs, so it is not the channel's doing."""

    BORNE = "borne"
    HELD = "held"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """`push_restarts` FFmpegs and `air_ends` within `window_s` are borne. Rests double from the first to the longest with each relapse.

    An output that has not ended for `calm_s` behind its rest rests no more.
    """

    push_restarts: int = 20
    air_ends: int = 2
    window_s: float = 600.0
    output_rest_s: tuple[float, float] = (30.0, 600.0)
    entry_rest_s: tuple[float, float] = (600.0, 21_600.0)
    calm_s: float = 60.0


@dataclass(slots=True)
class Account:
    """A bucket of tokens: `size` of them come back within `window_s`."""

    size: int
    window_s: float
    tokens: float = field(init=False)
    seen_s: float | None = None

    def __post_init__(self) -> None:
        self.tokens = float(self.size)

    def refill(self, now_s: float) -> None:
        """Count what came back since it was last looked at."""
        since_s, self.seen_s = self.seen_s, now_s
        if since_s is not None:
            self.tokens = min(float(self.size), self.tokens + max(0.0, now_s - since_s) * self.size / self.window_s)

    def spend(self, now_s: float, tokens: int) -> bool:
        """Take tokens; False when there were too few, and then half of all is there again."""
        self.refill(now_s)
        if self.tokens >= tokens:
            self.tokens -= tokens
            return True
        self.tokens = self.size / 2
        return False

    def full_in_s(self) -> float:
        """Seconds until it is full, if nothing is spent."""
        return (self.size - self.tokens) * self.window_s / self.size


@dataclass(frozen=True, slots=True)
class Rest:
    """Not before `until_s`; it has been told to rest `times`."""

    until_s: float
    times: int


class Budget:
    """One channel's."""

    def __init__(self, rules: BudgetRules) -> None:
        self._rules = rules
        self._pushes = Account(rules.push_restarts, rules.window_s)
        self._air = Account(rules.air_ends, rules.window_s)
        self._failures: deque[tuple[float, str]] = deque(maxlen=4 * rules.push_restarts)
        self._ends: deque[tuple[float, Content | None]] = deque(maxlen=4 * rules.air_ends + 4)
        self._convicted: Counter[Content] = Counter()
        self._convicted_s = 0.0
        self.outputs: dict[str, Rest] = {}
        """Outputs that rest, or are being tried behind a rest."""
        self.entries: dict[Content, Rest] = {}
        """Contents that are passed over."""
        self.airs_filler = False

    @property
    def step(self) -> Step:
        """The highest that is taken."""
        if self.airs_filler:
            return Step.FILLER
        return Step.ENTRY if self.entries else Step.OUTPUTS if self.outputs else Step.NONE

    # -- what happens -------------------------------------------------------------------------------------------

    def push_ended(self, name: str, now_s: float) -> float:
        """A push's FFmpeg ended; gives how long the push is to rest, 0 where its own back-off is enough."""
        self._failures.append((now_s, name))
        rest = self.outputs.get(name)
        is_borne = self._pushes.spend(now_s, 1)
        if rest is None and is_borne:
            return 0.0
        if not is_borne:
            for each in self._worst_outputs(now_s):
                self.outputs.setdefault(each, Rest(now_s, 0))
        rest = self.outputs.get(name)
        if rest is None:
            return 0.0
        rest_s = _doubled(self._rules.output_rest_s, rest.times)
        self.outputs[name] = Rest(now_s + rest_s, rest.times + 1)
        return rest_s

    def _worst_outputs(self, now_s: float) -> list[str]:
        counts = Counter(name for at_s, name in self._failures if now_s - at_s <= self._rules.window_s)
        return [name for name, count in counts.items() if 2 * count >= max(counts.values())]

    def air_ended(self, content: Content | None, now_s: float, *, ends: int = 1) -> Answer:
        """What aired the channel ended, so often, while `content` was on air (None: the filler)."""
        self._ends.extend([(now_s, content)] * ends)
        if self._air.spend(now_s, ends):
            return Answer.BORNE
        if self.airs_filler:
            self.clear()
            return Answer.CLEARED
        suspect = self._suspect(now_s)
        has_helped = not self.entries or now_s - self._convicted_s > self._rules.calm_s
        if suspect is not None and has_helped:
            self._convict(suspect, now_s)
        else:
            self.airs_filler = True
        return Answer.HELD

    def _suspect(self, now_s: float) -> Content | None:
        """What aired at more than one of the newest ends, and most often."""
        counts = Counter(content for at_s, content in self._ends if content is not None and now_s - at_s <= self._rules.window_s)
        found = counts.most_common(1)
        return found[0][0] if found and found[0][1] > 1 else None

    def _convict(self, content: Content, now_s: float) -> None:
        if len(self._convicted) >= MAX_CONVICTED:
            self._convicted.clear()
        times = self._convicted[content]
        self._convicted[content] += 1
        self._convicted_s = now_s
        self.entries[content] = Rest(now_s + _doubled(self._rules.entry_rest_s, times), times + 1)
        self._ends.clear()

    def clear(self) -> None:
        """The ends of the air are not the channel's doing: all that was held back for them is given back."""
        for content in self.entries:
            del self._convicted[content]
        self.entries.clear()
        self._ends.clear()
        self.airs_filler = False
        self._air.tokens = float(self._air.size)

    # -- the way back -------------------------------------------------------------------------------------------

    def look(self, now_s: float) -> None:
        """Take back, one at a time, what is not needed any more."""
        self._pushes.refill(now_s)
        self._air.refill(now_s)
        for name, rest in list(self.outputs.items()):
            if now_s >= rest.until_s + self._rules.calm_s:
                del self.outputs[name]
        if self.airs_filler:
            if self._air.full_in_s() <= 0:
                self.airs_filler = False
                self._air.tokens = self._air.size / 2  # a relapse is soon seen
        elif self._air.full_in_s() <= 0:
            for content, rest in list(self.entries.items()):
                if now_s >= rest.until_s:
                    del self.entries[content]

    def until_s(self, now_s: float) -> float:
        """When the highest step may be taken back, or, of outputs, one is tried next."""
        full_s = now_s + self._air.full_in_s()
        if self.airs_filler:
            return full_s
        if self.entries:
            return max(full_s, min(rest.until_s for rest in self.entries.values()))
        return max(now_s, min((rest.until_s for rest in self.outputs.values()), default=now_s))


def _doubled(bounds: tuple[float, float], times: int) -> float:
    first_s, longest_s = bounds
    return min(longest_s, first_s * 2.0 ** min(times, 30))
