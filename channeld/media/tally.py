"""What preparing came to: clips and seconds counted, and refusals by what is wrong with the clip.

Rule: a reason for people becomes one of REASONS by the table below, so that what is counted stays bounded. Safe from any thread.
"""

import re
import threading
from collections import Counter
from dataclasses import dataclass

OTHER = "other"
_TABLE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"no such file|does not exist|not a file", "missing"),
        (r"permission denied|outside|not allowed|may not", "forbidden"),
        (r"the URL|http|download|resolve|connect|timed out", "download"),
        (r"too large", "too_large"),
        (r"cut short|frames could be decoded|frames came out|nothing is left", "cut_short"),
        (r"have errors|no picture could|no sound could", "damaged"),
        (r"no video or audio|no packets|is empty|not readable as media|invalid data|moov atom", "not_media"),
        (r"duration is unknown|in the clip|behind its end", "trim"),
        (r"not conformed|ended by signal", "not_conformed"),
        (r"input/output error|cannot be read", "unreadable"),
    )
)
REASONS = (*(reason for _, reason in _TABLE), OTHER)
RESULTS = ("ready", "refused", "put_off")


def reason_of(text: str) -> str:
    """Which of REASONS a refusal is."""
    return next((reason for pattern, reason in _TABLE if pattern.search(text)), OTHER)


@dataclass(frozen=True, slots=True)
class PrepareFigures:
    """Since the start: clips by RESULTS, refused entries by REASONS, seconds spent, seconds of media conformed.

    `speed`: of the newest clip, 1 is real time.
    """

    results: dict[str, int]
    refusals: dict[str, int]
    spent_s: float
    media_s: float
    speed: float | None


class PrepareTally:
    """Counts for all threads that prepare."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._results: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))
        self._refusals: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self._spent_s = self._media_s = 0.0
        self._speed: float | None = None

    def add_ready(self, *, spent_s: float, media_s: float) -> None:
        """A clip was conformed: the time it took and the time it lasts, in seconds."""
        with self._lock:
            self._results["ready"] += 1
            self._spent_s += spent_s
            self._media_s += media_s
            self._speed = media_s / spent_s if spent_s > 0 else self._speed

    def add_other(self, result: str) -> None:
        """A clip was refused, or put off: one of RESULTS."""
        with self._lock:
            self._results[result] += 1

    def refuse(self, text: str) -> None:
        """An entry of a channel will not air, and why."""
        with self._lock:
            self._refusals[reason_of(text)] += 1

    def figures(self) -> PrepareFigures:
        """What was counted so far."""
        with self._lock:
            return PrepareFigures(dict(self._results), dict(self._refusals), self._spent_s, self._media_s, self._speed)
