"""What is written to one target: notices gathered into one message, and the message tried again until it is taken. Pure.

Rule: a message goes `group_s` after the first notice for it; the next one waits until it was taken or given up, so that a target that is
away gets few, full messages when it is back. What waits is bounded. Seconds of the monotonic clock. Used by one thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from channeld.notices.alert_book import Notice, Phase
from channeld.process.backoff import Backoff

WAITING = 200
LINES = 40
GIVE_UP_S = 86_400.0
FIRST_S = 5.0
LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One message. `is_bad`: something fires; else it only says what is over."""

    title: str
    body: str
    is_bad: bool


class Letterbox:
    """One target's messages."""

    def __init__(self, *, first_s: float = FIRST_S) -> None:
        self.sent = self.failures = self.dropped = 0
        self.last_error: str | None = None
        self._first_s = first_s
        self._waiting: list[Notice] = []
        self._since_s = 0.0
        self._letter: Letter | None = None
        self._written_s = self._next_s = 0.0
        self._backoff = Backoff(first_s=first_s, longest_s=LONGEST_S)

    def __len__(self) -> int:
        return len(self._waiting) + (self._letter is not None)

    def add(self, notice: Notice, now_s: float) -> None:
        """One more to be told."""
        if not self._waiting:
            self._since_s = now_s
        self._waiting.append(notice)
        if len(self._waiting) > WAITING:
            del self._waiting[0]
            self.dropped += 1

    def due(self, now_s: float, group_s: float) -> Letter | None:
        """What to send now."""
        if self._letter is None and self._waiting and now_s - self._since_s >= group_s:
            self._letter, self._waiting = write(self._waiting), []
            self._written_s = self._next_s = now_s
        return self._letter if self._letter is not None and now_s >= self._next_s else None

    def wait_s(self, now_s: float, group_s: float) -> float | None:
        """Until something is due; None: nothing waits."""
        if self._letter is not None:
            return max(0.0, self._next_s - now_s)
        return max(0.0, self._since_s + group_s - now_s) if self._waiting else None

    def taken(self) -> None:
        """The message has arrived."""
        self.sent += 1
        self._letter, self.last_error = None, None
        self._backoff = Backoff(first_s=self._first_s, longest_s=LONGEST_S)

    def failed(self, reason: str, now_s: float) -> None:
        """It has not; it is tried again later, for a day."""
        self.failures += 1
        self.last_error = reason
        self._next_s = now_s + self._backoff.next_s(healthy_for_s=0)
        if now_s - self._written_s > GIVE_UP_S:
            self._letter = None
            self.dropped += 1


def write(notices: Iterable[Notice]) -> Letter:
    """All of them in one message: what fires first, then what goes on, then what is over."""
    ordered = sorted(notices, key=lambda notice: tuple(Phase).index(notice.phase))
    counts = {phase: sum(1 for notice in ordered if notice.phase is phase) for phase in Phase}
    if len(ordered) == 1:
        title = f"channeld: {_subject_line(ordered[0])}"
    else:
        title = "channeld: " + ", ".join(f"{count} {phase}" for phase, count in counts.items() if count)
    lines = [_line(notice) for notice in ordered[:LINES]]
    if len(ordered) > LINES:
        lines.append(f"… and {len(ordered) - LINES} more: GET /api/v1/status lists what stands")
    return Letter(title, "\n".join(lines), counts[Phase.RESOLVED] < len(ordered))


def _subject_line(notice: Notice) -> str:
    return f"{notice.phase} {notice.rule.name} {notice.fact.subject}"


def _line(notice: Notice) -> str:
    if notice.phase is Phase.RESOLVED:
        return f"RESOLVED {notice.rule.name} {notice.fact.subject}, after {_lasting(notice.lasted_s)}"
    since = f" (for {_lasting(notice.lasted_s)})" if notice.lasted_s >= 1 else ""
    return f"{notice.phase.upper()} {notice.rule.name} {notice.fact.subject}: {notice.fact.text}{since}"


def _lasting(seconds: float) -> str:
    """`42 s`, `5 min`, `3 h 20 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
