"""A media playlist as a viewer reads it: ours, nginx-rtmp's or anybody's.

Rule: bounded, and refused with a sentence where a player could not use it. Sans-I/O. Source: RFC 8216.
"""

import math
from dataclasses import dataclass
from datetime import datetime

MAX_MANIFEST_BYTES = 1 << 20
MAX_LISTED = 10_000
_WHOLE_TAGS = {"#EXT-X-TARGETDURATION": "target", "#EXT-X-MEDIA-SEQUENCE": "sequence", "#EXT-X-DISCONTINUITY-SEQUENCE": "discontinuities"}
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Listed:
    """One segment of the list. `wall_s` is its PROGRAM-DATE-TIME as seconds since the epoch, None where none is given."""

    sequence: int
    uri: str
    duration_s: float
    is_discontinuity: bool
    wall_s: float | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A live media playlist: at least one segment. `discontinuities` is its DISCONTINUITY-SEQUENCE."""

    target_s: int
    discontinuities: int
    segments: tuple[Listed, ...]

    @property
    def newest(self) -> Listed:
        """The last segment listed."""
        return self.segments[-1]


def read_manifest(text: bytes) -> Listing:
    """Read a playlist. Raises ValueError saying what a player would stumble over."""
    if len(text) > MAX_MANIFEST_BYTES:
        raise ValueError(f"the manifest has more than {MAX_MANIFEST_BYTES} bytes")
    lines = text.decode("utf-8", "replace").splitlines()
    if not lines or lines[0].strip() != "#EXTM3U":
        raise ValueError("not a manifest: its first line is not #EXTM3U")
    numbers = {"target": 0, "sequence": 0, "discontinuities": 0}
    segments: list[Listed] = []
    pending = _Pending()
    for line in filter(None, (line.strip() for line in lines[1:])):
        tag, _, value = line.partition(":")
        if tag in _WHOLE_TAGS:
            numbers[_WHOLE_TAGS[tag]] = _whole(tag, value)
        elif line.startswith("#EXT-X-STREAM-INF"):
            raise ValueError("a playlist of playlists: name the media playlist itself")
        elif line.startswith("#"):
            pending.take(tag, value)
        else:
            segments.append(pending.finish(numbers["sequence"] + len(segments), line))
            pending = _Pending()
        if len(segments) > MAX_LISTED:
            raise ValueError(f"the manifest lists more than {MAX_LISTED} segments")
    if not segments or numbers["target"] < 1:
        raise ValueError("the manifest has no segment" if not segments else "the manifest has no TARGETDURATION")
    return Listing(numbers["target"], numbers["discontinuities"], tuple(segments))


class _Pending:
    """The tags that stand before a segment's URI."""

    def __init__(self) -> None:
        self._duration_s: float | None = None
        self._wall_s: float | None = None
        self._is_discontinuity = False

    def take(self, tag: str, value: str) -> None:
        if tag == "#EXTINF":
            self._duration_s = _seconds(value.partition(",")[0])
        elif tag == "#EXT-X-DISCONTINUITY":
            self._is_discontinuity = True
        elif tag == "#EXT-X-PROGRAM-DATE-TIME":
            self._wall_s = _moment(value)

    def finish(self, sequence: int, uri: str) -> Listed:
        if self._duration_s is None:
            raise ValueError(f"segment {uri[:_SHOWN_CHARACTERS]!r} has no EXTINF")
        return Listed(sequence, uri, self._duration_s, self._is_discontinuity, self._wall_s)


def _whole(tag: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise ValueError(f"{tag[1:]} is not a number: {value[:_SHOWN_CHARACTERS]!r}")
    return int(value)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e6:
        raise ValueError(f"EXTINF is not a duration: {text[:_SHOWN_CHARACTERS]!r}")
    return value


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"PROGRAM-DATE-TIME is not a time: {text[:_SHOWN_CHARACTERS]!r}") from None
