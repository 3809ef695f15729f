"""What is done about an output that viewers cannot watch although its parts say that all is well.

Rule: one remedy at a time, then patience: a broken origin must not cause a storm of restarts. Pure; one for each output.
"""

from collections.abc import Mapping
from enum import StrEnum

from channeld.base.clock import NS_PER_SECOND
from channeld.readback.judge import Condition, Verdict

FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 600.0
HEALED_S = 60.0
"""After so long without trouble the next trouble is a new one."""


class Remedy(StrEnum):
    """What the supervisor can do."""

    RESTART_PUSH = "restart_push"
    ORDER_AGAIN = "order_again"
    RESTART_WORKER = "restart_worker"


Course = Mapping[Condition, tuple[Remedy, ...]]
"""Which conditions are treated, and how: the remedies in order, the last one again and again."""

COURSES: Mapping[str, Course] = {
    # An origin that does not answer is not healed by a new publisher; one that answers without going on may be.
    "rtmp": {Condition.STALE: (Remedy.RESTART_PUSH,)},
    "hls": {Condition.STALE: (Remedy.ORDER_AGAIN, Remedy.RESTART_WORKER), Condition.UNREACHABLE: (Remedy.RESTART_WORKER,)},
}


class Recovery:
    """Decides for one output. `patience_s`: how long the trouble must last while its parts deliver."""

    def __init__(self, course: Course, patience_s: float) -> None:
        self._course, self._patience_s = course, patience_s
        self._done = 0
        self._treated_ns: int | None = None
        self._healthy_ns: int | None = None

    def consider(self, verdict: Verdict | None, *, delivers_since_ns: int | None, now_ns: int) -> Remedy | None:
        """The remedy to use now. `delivers_since_ns`: since when what feeds the output has gone on (None: it does not)."""
        if verdict is None or verdict.condition not in self._course:
            self._note_health(now_ns)
            return None
        self._healthy_ns = None
        if delivers_since_ns is None or not self._is_time(max(verdict.since_ns, delivers_since_ns), now_ns):
            return None
        remedies = self._course[verdict.condition]
        remedy = remedies[min(self._done, len(remedies) - 1)]
        self._done, self._treated_ns = self._done + 1, now_ns
        return remedy

    def _is_time(self, since_ns: int, now_ns: int) -> bool:
        if now_ns - since_ns < self._patience_s * NS_PER_SECOND:
            return False
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, self._done - 1))
        return self._treated_ns is None or now_ns - self._treated_ns >= wait_s * NS_PER_SECOND

    def _note_health(self, now_ns: int) -> None:
        if self._healthy_ns is None:
            self._healthy_ns = now_ns
        elif now_ns - self._healthy_ns >= HEALED_S * NS_PER_SECOND:
            self._done, self._treated_ns = 0, None
