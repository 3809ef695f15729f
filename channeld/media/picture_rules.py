"""When a live source that sends counts as lost all the same: its picture is frozen or black, or it has no sound, for too long.

Rule: FFmpeg's detectors look at what would air, behind all other filters, and change nothing. Each may be off (None). Pure.
"""

from dataclasses import dataclass

_BLACK = "blackdetect=d=0.05:picture_black_ratio_th=0.98:pixel_black_th=0.1"
# blackdetect says a word of a black picture only when it is over; of its begin it leaves a note with the picture.
_BLACK_TOLD = ",".join(f"metadata=mode=print:key=lavfi.black_{edge}" for edge in ("start", "end"))


@dataclass(frozen=True, slots=True)
class PictureRules:
    """Seconds each."""

    frozen_s: float | None = None
    black_s: float | None = None
    silent_s: float | None = None

    @property
    def any(self) -> bool:
        """Something is looked at."""
        return any(each is not None for each in (self.frozen_s, self.black_s, self.silent_s))

    def picture_filters(self) -> list[str]:
        """What stands behind the picture's chain."""
        frozen = [f"freezedetect=n=-60dB:d={self.frozen_s:g}"] if self.frozen_s is not None else []
        return frozen + ([_BLACK, _BLACK_TOLD] if self.black_s is not None else [])

    def sound_filters(self) -> list[str]:
        """What stands behind the sound's chain."""
        return [f"silencedetect=n=-60dB:d={self.silent_s:g}"] if self.silent_s is not None else []


NOT_LOOKED_AT = PictureRules()
