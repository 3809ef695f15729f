"""How well one channel's joins went: counted from what the host tells of each. Control loop's thread only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Joins:
    """Since control began.

    In ticks of 90 kHz: what joins left empty of picture and sound, and audio against video (late audio is positive).
    """

    count: int = 0
    video_gap: int = 0
    audio_gap: int = 0
    skew: int = 0
    skew_max: int = 0

    def take(self, started: Mapping[str, Any]) -> None:
        """A clip or the filler began."""
        video_gap, audio_gap = started.get("gaps", (0, 0))
        self.count += 1
        self.video_gap += video_gap
        self.audio_gap += audio_gap
        self.skew = started["skew"]
        self.skew_max = max(self.skew_max, abs(self.skew))
