"""Units of time, rate and size, and how people write them.

Rule: a bare number never crosses a module without its unit in the type or the name.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NewType

Ticks90k = NewType("Ticks90k", int)
"""Time in ticks of 90 kHz. Unbounded inside channeld; wrapped to 33 bits only when bytes are written."""

TICKS_PER_SECOND = 90_000
AAC_FRAME_TICKS = 1920
"""One AAC frame at 48 kHz: 1024 / 48000 s is exactly 1920 ticks."""


@dataclass(frozen=True, slots=True)
class FrameRate:
    """Constant frame rate as an exact fraction, frames per second."""

    num: int
    den: int

    def tick(self, frame: int) -> Ticks90k:
        """Tick of a frame counted from 0; exact for any count, so that it never drifts."""
        return Ticks90k(frame * TICKS_PER_SECOND * self.den // self.num)

    def frames_in(self, seconds: float | Fraction) -> int:
        """Whole frames nearest to a duration in seconds."""
        return round(Fraction(seconds) * self.num / self.den)

    def seconds(self, frames: int) -> float:
        """Duration of a number of frames, in seconds."""
        return frames * self.den / self.num

    def __str__(self) -> str:
        return str(self.num) if self.den == 1 else f"{self.num}/{self.den}"


_BROADCAST_RATES = {"23.976": (24000, 1001), "23.98": (24000, 1001), "29.97": (30000, 1001), "59.94": (60000, 1001)}


def parse_frame_rate(text: str | int | float) -> FrameRate:
    """Read `25`, `30000/1001` or `29.97` (the NTSC rates are taken for what they mean).

    Raises ValueError outside of 1 to 120 frames per second.
    """
    written = str(text).strip()
    if written in _BROADCAST_RATES:
        return FrameRate(*_BROADCAST_RATES[written])
    # Never any text: Fraction("1e999999999") is computed to its last digit.
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{0,9}|/0*[1-9][0-9]{0,8})?", written) is None:
        raise ValueError(f"not a frame rate: {written[:40]!r} (write 25, 29.97 or 30000/1001)")
    rate = Fraction(written)
    if not 1 <= rate <= 120:
        raise ValueError(f"frame rate {written} is outside 1 to 120")
    return FrameRate(rate.numerator, rate.denominator)


_SI = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_IEC = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_bitrate(text: str | int) -> int:
    """Read `3M`, `128k` or `128000` as bits per second. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([kMG]?)", str(text).strip())
    if match is None:
        raise ValueError(f"not a bitrate: {text!r} (write 3M, 128k or 128000)")
    return round(Fraction(match[1]) * _SI[match[2]])


def parse_size(text: str | int) -> int:
    """Read `500M`, `20G` or `1048576` as bytes (powers of 1024). Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)\s*([KMGT]?)i?B?", str(text).strip())
    if match is None:
        raise ValueError(f"not a size: {text!r} (write 500M, 20G or a number of bytes)")
    return int(Fraction(match[1]) * _IEC[match[2]])


def parse_timecode(value: str | int | float) -> Fraction:
    """Read seconds (`12.5`) or `HH:MM:SS.mmm` / `MM:SS` as exact seconds. Raises ValueError when negative or malformed."""
    written = str(value).strip()
    match = re.fullmatch(r"(?:(?:([0-9]{1,4}):)?([0-9]{1,2}):)?([0-9]{1,9}(?:\.[0-9]{1,9})?)", written)
    if match is None:
        raise ValueError(f"not a time: {written[:40]!r} (write seconds or HH:MM:SS.mmm)")
    hours, minutes, seconds = match[1], match[2], Fraction(match[3])
    if minutes is not None and ((int(minutes) > 59 and hours is not None) or seconds >= 60):
        raise ValueError(f"not a time: {written!r} (minutes and seconds go to 59)")
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + seconds
