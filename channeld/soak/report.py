"""What a soak came to: figures, and the verdict on them.

Rule: memory, descriptors and threads are judged by the slope over the run, behind its first fifth; a run of less than six
hours is too short for a slope and is judged by everything else. Memory is what is held: before it is measured, the C
library gives back what it keeps of freed blocks, which wanders by megabytes in either direction.
"""

import ctypes
import gc
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psutil

from channeld.soak.tally import Complaint, Tally

SETTLED = 0.2
SLOPE_HOURS = 6.0
MAX_SLOPE_MB_PER_DAY = 1.0


@dataclass(slots=True)
class Samples:
    """What the process held, over stream time (s) and time that passed (s): MB resident, descriptors, threads."""

    rows: list[tuple[float, float, float, int, int]] = field(default_factory=list)

    def take(self, stream_s: float, wall_s: float) -> None:
        """Measure now."""
        gc.collect()
        _give_back()
        process = psutil.Process()
        self.rows.append((stream_s, wall_s, process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()))

    def slope(self, column: int, per: int, unit_s: float) -> float:
        """Growth of a column per `unit_s` of stream time (`per` 0) or of the time that passed (1)."""
        settled = np.array(self.rows[int(len(self.rows) * SETTLED) :], dtype=np.float64)
        if len(settled) < 3:
            return 0.0
        return float(np.polyfit(settled[:, per] / unit_s, settled[:, column], 1)[0])

    def extent(self, column: int) -> tuple[float, float]:
        """Least and most behind the first fifth."""
        settled = [row[column] for row in self.rows[int(len(self.rows) * SETTLED) :]] or [0.0]
        return min(settled), max(settled)


def _give_back() -> None:
    """malloc_trim(3), where the C library has it: musl does not, and keeps little."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict with its figures. Hours are of stream time and of each channel."""

    is_good: bool
    seed: int
    hours: float
    channels: int
    took_s: float
    speed: float
    joins: int
    edits: int
    faults: dict[str, int]
    counts: dict[str, int]
    broken_promises: dict[str, int]
    continuity_errors: int
    insertions_lost: int
    memory_mb: tuple[float, float]
    memory_mb_per_stream_day: float
    memory_mb_per_hour: float
    fds: tuple[float, float]
    threads: tuple[float, float]
    digest: str
    complaints: tuple[Complaint, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def make_report(tally: Tally, samples: Samples, *, seed: int, hours: float, channels: int, took_s: float, edits: int, lost: int) -> Report:
    """Judge a soak that ended."""
    per_day = samples.slope(2, 0, 86_400.0)
    fds, threads = samples.extent(3), samples.extent(4)
    is_long = hours >= SLOPE_HOURS
    is_flat = per_day < MAX_SLOPE_MB_PER_DAY and abs(samples.slope(3, 0, 86_400.0)) < 1 and threads[0] == threads[1]
    return Report(
        is_good=not tally.broken and lost <= 0 and (is_flat or not is_long),
        seed=seed,
        hours=hours,
        channels=channels,
        took_s=round(took_s, 1),
        speed=round(hours * 3600 * channels / max(took_s, 1e-9), 1),
        joins=tally.counts["joins"],
        edits=edits,
        faults=dict(sorted(tally.faults.items())),
        counts=dict(sorted(tally.counts.items())),
        broken_promises=dict(sorted(tally.broken.items())),
        continuity_errors=tally.broken["continuity"],
        insertions_lost=max(0, lost),
        memory_mb=samples.extent(2),
        memory_mb_per_stream_day=round(per_day, 3),
        memory_mb_per_hour=round(samples.slope(2, 1, 3600.0), 3),
        fds=fds,
        threads=threads,
        digest=tally.digest,
        complaints=tuple(tally.complaints),
    )
