"""How much CPU looking may take: manifests are loaded in any case, segments while there is room.

Rule: all that the looking thread spends is counted, whatever for; who was left out for long, or is suspect, is looked at all the
same. Used by the looking thread only; `spent_s` may be read by any.
"""

import time

from channeld.base.clock import NS_PER_SECOND

SHARE = 0.05
"""Of one core, for all channels together: a dozen outputs are looked at with every segment, a hundred in turn."""
LONGEST_UNSEEN_S = 60.0
_MOST_S = 1.0
"""CPU seconds that may be saved up, and owed."""


class Effort:
    """The thread's own CPU time, held against its share."""

    def __init__(self, share: float = SHARE) -> None:
        self.spent_s = 0.0
        self._share = share
        self._balance_s = 0.0
        self._charged: tuple[int, float] | None = None

    def has_room(self, *, unseen_s: float, is_suspect: bool) -> bool:
        """Whether a segment may be loaded; `unseen_s` is how long ago the last one of this output was."""
        now_ns, used_s = time.monotonic_ns(), time.thread_time()
        then_ns, before_s = self._charged or (now_ns, used_s)
        self._charged = now_ns, used_s
        self.spent_s += used_s - before_s
        earned_s = self._share * (now_ns - then_ns) / NS_PER_SECOND
        self._balance_s = max(-_MOST_S, min(_MOST_S, self._balance_s + earned_s - (used_s - before_s)))
        return self._balance_s >= 0 or is_suspect or unseen_s >= LONGEST_UNSEEN_S
