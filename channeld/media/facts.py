"""What a probe says of a media file, as values.

Rule: times are seconds from the file's own first timestamp (`Span.start_s` 0 is where the file begins).
Pure; crosses from the probe to prepare, the API and the index.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

STREAMS = frozenset(("mpegts", "mpeg"))
"""FFmpeg's formats that have no index of key frames, and a clock that may begin anew."""
HDR_TRANSFERS = ("smpte2084", "arib-std-b67")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a track lies in the file: its start, the duration that the file declares, and the end that its packets reach."""

    start_s: float
    declared_s: float | None
    end_s: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Coded size in pixels, sample aspect ratio, clockwise rotation for display (0, 90, 180, 270), pixel format, field order."""

    width: int
    height: int
    sar: tuple[int, int] = (1, 1)
    rotation: int = 0
    pix_fmt: str = ""
    field_order: str = "unknown"


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour as FFmpeg names it; empty where the file does not say."""

    range: str = ""
    matrix: str = ""
    primaries: str = ""
    transfer: str = ""

    @property
    def is_hdr(self) -> bool:
        """PQ or HLG: wants tone mapping."""
        return self.transfer in HDR_TRANSFERS


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """The video track that airs. Rates in frames per second; 0 where unknown."""

    index: int
    codec: str
    picture: Picture
    colour: Colour
    span: Span
    average_fps: float
    nominal_fps: float
    is_vfr: bool = False
    has_captions: bool = False


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """One audio track. `language` is ISO 639-2 or empty."""

    index: int
    codec: str
    rate: int
    channels: int
    language: str
    span: Span
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """A media file: `start_s` is its first timestamp, `duration_s` what it declares (None: it does not say).

    `jump_s`: its clock jumps, by about so much at least; then all times are of one that goes on, as FFmpeg's does.
    `is_known_late`: what its picture is stands further in than FFmpeg looks by itself.
    """

    container: str
    start_s: float
    duration_s: float | None
    video: VideoFacts | None
    audio: tuple[AudioFacts, ...]
    is_image: bool = False
    cover: VideoFacts | None = None
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    jump_s: float | None = None
    is_known_late: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values for the API, the index and `probe --json`."""
        values = asdict(self)
        if self.video is not None:
            values["video"]["is_hdr"] = self.video.colour.is_hdr
        return values

    def dropped_tracks(self, chosen: AudioFacts | None) -> tuple[str, ...]:
        """Tracks that will not air, named: those of no use at all, and the audio tracks that were not chosen."""
        others = tuple(
            f"audio {track.index} ({track.codec}{', ' + track.language if track.language else ''})"
            for track in self.audio
            if chosen is None or track.index != chosen.index
        )
        return self.dropped + others


def choose_audio(facts: MediaFacts, language: str | None) -> AudioFacts | None:
    """The audio track that airs: the first in the wanted language, else the default one, else the first; one without packets last."""
    tracks = [track for track in facts.audio if track.span.end_s is not None] or facts.audio
    if language:
        wanted = _language(language)
        for track in tracks:
            if _language(track.language) == wanted:
                return track
    return next((track for track in tracks if track.is_default), tracks[0] if tracks else None)


# People write `de`, Matroska `ger`, MP4 `deu`: the common ones are told apart no further than this.
_SAME = (
    ("en", "eng"), ("de", "ger", "deu"), ("fr", "fre", "fra"), ("es", "spa"), ("it", "ita"), ("pt", "por"), ("nl", "dut", "nld"),
    ("ja", "jpn"), ("zh", "chi", "zho"), ("ru", "rus"), ("pl", "pol"), ("cs", "cze", "ces"), ("sv", "swe"), ("da", "dan"),
    ("no", "nor", "nob"), ("fi", "fin"), ("el", "gre", "ell"), ("tr", "tur"), ("ar", "ara"), ("ko", "kor"), ("uk", "ukr"), ("hu", "hun"),
)  # fmt: skip
_CANONICAL = {code: codes[0] for codes in _SAME for code in codes}


def _language(code: str) -> str:
    code = code.lower().split("-")[0]
    return _CANONICAL.get(code, code)
