"""How long to wait before something that failed is tried again.

Rule: 0.2 s, doubled (or grown by another factor) up to 10 s, with jitter so that a hundred outputs of one dead target do not come back
in step; back to the start after 60 s of health. Used by one thread.
"""

import random

FIRST_S = 0.2
LONGEST_S = 10.0
HEALTHY_S = 60.0


class Backoff:
    """The next wait of one retried thing."""

    def __init__(
        self, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S, healthy_s: float = HEALTHY_S, growth: float = 2.0
    ) -> None:
        self._first_s, self._longest_s, self._healthy_s, self._growth = first_s, longest_s, healthy_s, growth
        self._failures = 0
        self._random = random.Random()  # system entropy: daemons started together must differ

    def next_s(self, *, healthy_for_s: float) -> float:
        """Seconds to wait after a failure that followed so many seconds of health."""
        if healthy_for_s >= self._healthy_s:
            self._failures = 0
        wait_s = min(self._longest_s, self._first_s * self._growth ** min(self._failures, 30))
        self._failures += 1
        return wait_s * self._random.uniform(0.75, 1.0)
