"""How late slices were released, as counts per bucket, in a form that travels in a message.

Rule: plain integers and floats only, no metrics library: the playout host counts here, control shows the figures.
Used by the host's heap thread, read by its reporting thread (a snapshot may be one release old).
"""

from bisect import bisect_left
from dataclasses import dataclass

LATENESS_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds; one more bucket counts what was later still."""


@dataclass(frozen=True, slots=True)
class LatenessFigures:
    """Counts by bucket (not cumulative, one more than there are bounds) and the sum of all latenesses in seconds."""

    counts: tuple[int, ...]
    sum_s: float


class Lateness:
    """Counts releases by how late they were."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENESS_BUCKETS_S) + 1)
        self._sum_ns = 0

    def observe(self, late_ns: int) -> None:
        """Count one release; early ones count as 0."""
        late_ns = max(0, late_ns)
        self._counts[bisect_left(LATENESS_BUCKETS_S, late_ns / 1e9)] += 1
        self._sum_ns += late_ns

    def figures(self) -> LatenessFigures:
        """What was counted since the start."""
        return LatenessFigures(tuple(self._counts), self._sum_ns / 1e9)
