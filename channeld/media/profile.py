"""The house format as values: what every prepared clip of a channel is.

Rule: whatever shapes a prepared clip's bytes is in the profile's key, so that two clips of one key always splice.
Pure; used by control and its prepare jobs.
"""

import hashlib
import json
from dataclasses import dataclass

from channeld.base.units import FrameRate

COMPOSITION_DELAY = 1
"""Frames by which display follows decoding: three B-frames without a pyramid reorder by one."""

TEMPLATE_VERSION = 2
"""Grows with every change of the FFmpeg arguments that changes prepared bytes."""

DECODER_BUFFER_S = 1.5
PEAK_RATIO = 1.2

# Level, macroblocks per second, macroblocks per frame, kbit/s of High profile. Source: ISO/IEC 14496-10, table A-1.
_LEVELS = (
    ("3.0", 40_500, 1_620, 12_500),
    ("3.1", 108_000, 3_600, 17_500),
    ("3.2", 216_000, 5_120, 25_000),
    ("4.0", 245_760, 8_192, 25_000),
    ("4.1", 245_760, 8_192, 62_500),
    ("4.2", 522_240, 8_704, 62_500),
    ("5.0", 589_824, 22_080, 168_750),
    ("5.1", 983_040, 36_864, 300_000),
    ("5.2", 2_073_600, 36_864, 300_000),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """Size in pixels, bitrates in bit/s, loudness in LUFS; `audio_language` is the track preferred (ISO 639-2).

    `tune`: one of x264's; it shapes the parameter sets, so that a source and its slates have to share it.
    """

    name: str
    width: int
    height: int
    fps: FrameRate
    video_bitrate: int
    audio_bitrate: int
    gop_seconds: float = 2.0
    loudness: float = -23.0
    preset: str = "veryfast"
    audio_language: str | None = None
    tune: str | None = None

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or not (16 <= self.width <= 4096 and 16 <= self.height <= 2304):
            raise ValueError(f"profile {self.name}: width and height must be even, from 16x16 to 4096x2304")

    @property
    def gop_frames(self) -> int:
        """Frames from one key frame to the next."""
        return max(1, self.fps.frames_in(self.gop_seconds))

    @property
    def level(self) -> str:
        """Lowest H.264 level that holds the size, the frame rate and the peak bitrate."""
        blocks = -(-self.width // 16) * -(-self.height // 16)
        rate = blocks * self.fps.num / self.fps.den
        peak_kbit = self.video_bitrate * PEAK_RATIO / 1000
        for level, max_rate, max_blocks, max_kbit in _LEVELS:
            if rate <= max_rate and blocks <= max_blocks and peak_kbit <= max_kbit:
                return level
        raise ValueError(f"profile {self.name}: {self.width}x{self.height} at {self.fps} fps is beyond H.264 level 5.2")

    @property
    def bytes_per_second(self) -> int:
        """About what a prepared second takes on disk."""
        return round((self.video_bitrate + self.audio_bitrate) * 1.06 / 8)


def profile_key(profile: Profile, encoder_version: str) -> str:
    """Name of the profile's folder in the cache: 24 hex digits over all that shapes bytes."""
    shape = [
        profile.width,
        profile.height,
        str(profile.fps),
        profile.video_bitrate,
        profile.audio_bitrate,
        profile.gop_frames,
        profile.loudness,
        profile.preset,
        COMPOSITION_DELAY,
        TEMPLATE_VERSION,
        encoder_version,
    ]
    if profile.tune is not None:  # not told otherwise: clips that are prepared already keep their key
        shape.append(profile.tune)
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:24]
