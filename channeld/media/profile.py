"""The house format as values: what every prepared clip of a channel is.

Rule: whatever shapes a prepared clip's bytes is in the profile's key, so that two clips of one key always splice.
Pure; used by control and its prepare jobs.
"""

import hashlib
import json
from dataclasses import dataclass, field

from channeld.base.units import FrameRate
from channeld.ts.nal import VideoCodec

COMPOSITION_DELAY = 1
"""Frames by which display follows decoding: three B-frames without a pyramid reorder by one."""

TEMPLATE_VERSION = 2
"""Grows with every change of the FFmpeg arguments that changes most clips; one that mends odd clips leaves those prepared as they are."""

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


# Level, luma samples per second, luma samples per picture, kbit/s and kbit of decoder buffer in the Main tier. Source: ISO/IEC 23008-2,
# tables A.8 and A.9.
_H265_LEVELS = (
    ("3.0", 16_588_800, 552_960, 6_000),
    ("3.1", 33_177_600, 983_040, 10_000),
    ("4.0", 66_846_720, 2_228_224, 12_000),
    ("4.1", 133_693_440, 2_228_224, 20_000),
    ("5.0", 267_386_880, 8_912_896, 25_000),
    ("5.1", 534_773_760, 8_912_896, 40_000),
    ("5.2", 1_069_547_520, 8_912_896, 60_000),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """Size in pixels, bitrates in bit/s, loudness in LUFS; `audio_language` is the track preferred (ISO 639-2).

    `preset` is one of x264's and x265's. `tune`: one of x264's; it shapes the parameter sets, so that a source and its slates have to
    share it.
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
    codec: VideoCodec = field(default=VideoCodec.H264, repr=False)

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or not (16 <= self.width <= 4096 and 16 <= self.height <= 2304):
            raise ValueError(f"profile {self.name}: width and height must be even, from 16x16 to 4096x2304")

    @property
    def gop_frames(self) -> int:
        """Frames from one key frame to the next."""
        return max(1, self.fps.frames_in(self.gop_seconds))

    @property
    def level(self) -> str:
        """Lowest level that holds the size, the frame rate and the peak bitrate. Raises ValueError where none does."""
        return self._h264_level() if self.codec is VideoCodec.H264 else self._h265_level()

    def _h264_level(self) -> str:
        blocks = -(-self.width // 16) * -(-self.height // 16)
        rate = blocks * self.fps.num / self.fps.den
        peak_kbit = self.video_bitrate * PEAK_RATIO / 1000
        for level, max_rate, max_blocks, max_kbit in _LEVELS:
            if rate <= max_rate and blocks <= max_blocks and peak_kbit <= max_kbit:
                return level
        raise ValueError(f"profile {self.name}: {self.width}x{self.height} at {self.fps} fps is beyond H.264 level 5.2")

    def _h265_level(self) -> str:
        samples = self.width * self.height
        rate = samples * self.fps.num / self.fps.den
        most_kbit = self.video_bitrate * max(PEAK_RATIO, DECODER_BUFFER_S) / 1000
        for level, max_rate, max_samples, max_kbit in _H265_LEVELS:
            if rate <= max_rate and samples <= max_samples and most_kbit <= max_kbit:
                return level
        raise ValueError(f"profile {self.name}: {self.width}x{self.height} at {self.fps} fps is beyond H.265 level 5.2, Main tier")

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
    if profile.codec is not VideoCodec.H264:
        shape.append(profile.codec.value)
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:24]
