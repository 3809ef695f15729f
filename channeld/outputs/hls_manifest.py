"""The HLS media playlist as a value: written, read back after a restart, and given a viewer's token.

Rule: RFC 8216 only, plus one private tag that holds what a restart needs, so that manifest and state change in one rename.
Sans-I/O. Used by the packager; reading is bounded and refuses what it did not write.
"""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any
from urllib.parse import quote

from channeld.base.clock import iso_utc
from channeld.base.units import TICKS_PER_SECOND

MANIFEST_NAME = "index.m3u8"
MAX_MANIFEST_BYTES = 1 << 20
MAX_SEGMENTS = 4096
SEGMENT_NAME = re.compile(r"segment-(\d{10})\.ts")

_LAST_WALL_S = 200_000_000_000.0  # the year 8307; datetime ends at 9999
_STATE_TAG = "#EXT-X-CHANNELD-TIMELINE:"
OUR_MARK = _STATE_TAG.encode()
"""No manifest but those rendered here has it."""
_NUMBER_TAGS = {"#EXT-X-TARGETDURATION": "target_s", "#EXT-X-MEDIA-SEQUENCE": "first", "#EXT-X-DISCONTINUITY-SEQUENCE": "discontinuities"}


def segment_name(sequence: int) -> str:
    """File name of a segment; ten digits sort and last for a thousand years of one a second from the epoch on."""
    return f"segment-{sequence:010d}.ts"


@dataclass(frozen=True, slots=True)
class Timeline:
    """Which ticks are meant and what wall clock they stand for: `anchor_wall_s` (epoch) at `anchor_ticks` (90 kHz)."""

    id: str
    anchor_wall_s: float
    anchor_ticks: int

    def wall_s(self, ticks: int) -> float:
        """Wall clock at a tick, to the millisecond."""
        return round(self.anchor_wall_s + (ticks - self.anchor_ticks) / TICKS_PER_SECOND, 3)


def read_timeline(description: dict[str, Any]) -> Timeline:
    """The timeline that a ring's description names. Raises ValueError when something is missing or cannot be a time."""
    name, wall_s, ticks = (description.get(key) for key in ("timeline", "anchor_wall_s", "anchor_ticks"))
    if not (isinstance(name, str) and isinstance(wall_s, int | float) and isinstance(ticks, int)):
        raise ValueError("a description without its timeline or anchor")
    if not 0 <= wall_s < _LAST_WALL_S:
        raise ValueError(f"not a wall clock: {wall_s}")
    return Timeline(name, float(wall_s), ticks)


@dataclass(frozen=True, slots=True)
class Segment:
    """One listed segment. Duration in ticks of 90 kHz; `wall_s` is the wall clock at its first tick."""

    sequence: int
    duration_ticks: int
    wall_s: float
    is_discontinuity: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """A media playlist. `end_ticks` is where the last segment ends on `timeline`."""

    target_s: int
    discontinuity_sequence: int
    segments: tuple[Segment, ...]
    timeline: Timeline
    end_ticks: int


def target_seconds(segment_seconds: float | Fraction) -> int:
    """TARGETDURATION for a cut at the last random access point not later than `segment_seconds`."""
    return math.ceil(segment_seconds)


def render(manifest: Manifest) -> bytes:
    """The playlist's text. Durations are exact: six decimals tell every tick apart."""
    timeline = manifest.timeline
    state = {
        "timeline": timeline.id,
        "anchor_wall_s": timeline.anchor_wall_s,
        "anchor_ticks": timeline.anchor_ticks,
        "end": manifest.end_ticks,
    }
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        f"#EXT-X-TARGETDURATION:{manifest.target_s}",
        f"#EXT-X-MEDIA-SEQUENCE:{manifest.segments[0].sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{manifest.discontinuity_sequence}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        _STATE_TAG + json.dumps(state, separators=(",", ":")),
    ]
    for segment in manifest.segments:
        if segment.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{iso_utc(segment.wall_s)}")
        micros = round(Fraction(segment.duration_ticks * 1_000_000, TICKS_PER_SECOND))
        lines.append(f"#EXTINF:{micros // 1_000_000}.{micros % 1_000_000:06d},")
        lines.append(segment_name(segment.sequence))
    return ("\n".join(lines) + "\n").encode()


def parse(text: bytes) -> Manifest:
    """Read back what `render` wrote; tags of others are passed over. Raises ValueError on anything torn or inconsistent."""
    if len(text) > MAX_MANIFEST_BYTES or not text.startswith(b"#EXTM3U\n") or not text.endswith(b".ts\n"):
        raise ValueError("not a whole manifest")
    numbers = {"target_s": -1, "first": -1, "discontinuities": -1}
    segments: list[Segment] = []
    state: dict[str, Any] | None = None
    pending: dict[str, Any] = {}
    for line in text.decode("utf-8").splitlines():
        tag, _, value = line.partition(":")
        if tag in _NUMBER_TAGS:
            numbers[_NUMBER_TAGS[tag]] = _whole(value)
        elif line.startswith(_STATE_TAG):
            state = json.loads(line.removeprefix(_STATE_TAG))
        elif line.startswith("#"):
            _read_segment_tag(tag, value, pending)
        else:
            segments.append(_segment(line, pending, numbers["first"] + len(segments)))
            pending = {}
    if min(numbers.values()) < 0 or not isinstance(state, dict) or not 0 < len(segments) <= MAX_SEGMENTS:
        raise ValueError("a manifest without its numbers, its timeline or its segments")
    timeline, end = _timeline(state)
    return Manifest(numbers["target_s"], numbers["discontinuities"], tuple(segments), timeline, end)


def _whole(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", value):
        raise ValueError(f"not a number: {value[:40]!r}")
    return int(value)


def _read_segment_tag(tag: str, value: str, pending: dict[str, Any]) -> None:
    if tag == "#EXT-X-DISCONTINUITY":
        pending["is_discontinuity"] = True
    elif tag == "#EXT-X-PROGRAM-DATE-TIME":
        pending["wall_s"] = datetime.fromisoformat(value).timestamp()
    elif tag == "#EXTINF":
        if not re.fullmatch(r"[0-9]{1,6}\.[0-9]{6},", value):
            raise ValueError(f"not a duration: {value[:40]!r}")
        # Six decimals are finer than a tick (11.1 µs): rounding gives back the exact number of ticks.
        pending["duration_ticks"] = round(Fraction(value.rstrip(",")) * TICKS_PER_SECOND)


def _segment(name: str, pending: dict[str, Any], sequence: int) -> Segment:
    if name != segment_name(sequence) or not {"wall_s", "duration_ticks"} <= pending.keys():
        raise ValueError(f"unexpected segment {name[:40]!r}")
    return Segment(sequence, pending["duration_ticks"], pending["wall_s"], pending.get("is_discontinuity", False))


def _timeline(state: dict[str, Any]) -> tuple[Timeline, int]:
    end = state.get("end")
    if not isinstance(end, int):
        raise ValueError("a timeline without its end")
    return read_timeline(state), end


def below(text: bytes, folder: bytes) -> bytes:
    """The playlist for who reads it at another place: its segments are in this folder beside it."""
    return b"\n".join(folder + b"/" + line if line and not line.startswith(b"#") else line for line in text.split(b"\n"))


def with_token(text: bytes, token: str) -> bytes:
    """The playlist as one viewer gets it: each segment's URI carries the viewer's own token."""
    suffix = b"?token=" + quote(token, safe="").encode()
    return b"\n".join(line + suffix if line and not line.startswith(b"#") else line for line in text.split(b"\n"))
