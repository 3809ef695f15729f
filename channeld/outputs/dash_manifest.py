"""The DASH manifest (MPD) as a value: written, read back after a restart, and given a viewer's token.

Rule: ISO/IEC 23009-1 only, live profile; presentation time is the wall clock (availabilityStartTime is 1970), so that it survives
whatever is lost. A timeline that does not go on begins another Period. A comment holds what a restart needs, so that manifest and
state change in one rename. Sans-I/O. Used by the packager; reading is bounded and refuses what it did not write.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby, pairwise
from typing import Any
from urllib.parse import quote

from channeld.base.clock import iso_utc
from channeld.base.units import TICKS_PER_SECOND
from channeld.outputs.hls_manifest import MAX_SEGMENTS, Manifest, Segment, read_timeline

MANIFEST_NAME = "manifest.mpd"
TIME_NAME = "time"
"""Where players read our clock, beside the manifest."""
MAX_MANIFEST_BYTES = 2 << 20
SEGMENT_NAME = re.compile(r"(?:video|audio)-(\d{10,12})(?:-\d{1,20}\.m4s|\.mp4)")
OUR_MARK = b"<!--channeld "
"""No manifest but those rendered here has it."""

_STATE = re.compile(r"<!--channeld (\{.*\})-->")
_ADDRESSES = re.compile(rb'(?<=\.m4s)(?=")|(?<=\.mp4)(?=")|(?<= value="time)(?=")')
_BEHIND = 3
"""Segments that a player should be behind the newest: one on its way, one in its buffer, one that a join made late."""


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of one timeline in one format. `id`: the media sequence of its first segment, which is never given twice.

    `wall_s`: the wall clock (epoch) at presentation tick `video_begins` of the video and `audio_begins` of the audio, each in
    units of its own timescale. `form`: a digest of what decoders are told beforehand.
    """

    id: int
    wall_s: float
    form: str
    video_begins: int
    audio_begins: int
    audio_timescale: int
    video_codec: str
    audio_codec: str
    width: int
    height: int
    channels: int


@dataclass(frozen=True, slots=True)
class DashSegment(Segment):
    """One listed segment of both tracks: when they begin and how long they last, in their timescales, and how large they are."""

    period: Period
    video_begins: int
    video_bytes: int
    audio_begins: int
    audio_lasts: int
    audio_bytes: int

    @property
    def files(self) -> tuple[str, str]:
        """Names of its two files."""
        return segment_name("video", self.period.id, self.video_begins), segment_name("audio", self.period.id, self.audio_begins)


@dataclass(frozen=True, slots=True)
class _Track:
    """One adaptation set: each segment's begin, duration and bytes."""

    name: str
    timescale: int
    begins: int
    rows: tuple[tuple[int, int, int], ...]
    attributes: str
    inside: str = ""

    @property
    def bits_per_second(self) -> int:
        """The most that any segment takes."""
        return max(8 * size * self.timescale // max(1, lasts) for _, lasts, size in self.rows)


def segment_name(track: str, period: int, begins: int | str) -> str:
    """File name of a media segment; with `$Time$`, the template that players fill."""
    return f"{track}-{period:010d}-{begins}.m4s"


def header_names(period: int) -> tuple[str, str]:
    """File names of a Period's initialization segments, video and audio."""
    return f"video-{period:010d}.mp4", f"audio-{period:010d}.mp4"


def dash_segments(manifest: Manifest) -> tuple[DashSegment, ...]:
    """A manifest's segments, known to be of DASH."""
    return tuple(segment for segment in manifest.segments if isinstance(segment, DashSegment))


def render(manifest: Manifest) -> bytes:
    """The MPD's text."""
    segments = dash_segments(manifest)
    listed_s = sum(segment.duration_ticks for segment in segments) / TICKS_PER_SECOND
    times = {
        "availabilityStartTime": "1970-01-01T00:00:00Z",
        "publishTime": iso_utc(manifest.timeline.wall_s(manifest.end_ticks)),
        "minimumUpdatePeriod": _seconds(manifest.target_s),
        "timeShiftBufferDepth": _seconds(listed_s),
        "suggestedPresentationDelay": _seconds(_BEHIND * manifest.target_s),
        "minBufferTime": _seconds(manifest.target_s),
        "maxSegmentDuration": _seconds(max(_longest_s(segments), manifest.target_s)),
    }
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"{OUR_MARK.decode()}{_state(manifest, segments)}-->",
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic"',
        "     " + " ".join(f'{name}="{value}"' for name, value in times.items()) + ">",
    ]
    for period, inside in groupby(segments, key=lambda segment: segment.period):
        lines += _period(period, tuple(inside))
    lines += [f'  <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="{TIME_NAME}"/>', "</MPD>"]
    return ("\n".join(lines) + "\n").encode()


def _longest_s(segments: Iterable[DashSegment]) -> float:
    return max(segment.duration_ticks for segment in segments) / TICKS_PER_SECOND


def _seconds(seconds: float) -> str:
    return f"PT{seconds:.3f}S"


def _period(period: Period, segments: Sequence[DashSegment]) -> Iterator[str]:
    video = _Track(
        "video",
        TICKS_PER_SECOND,
        period.video_begins,
        tuple((each.video_begins, each.duration_ticks, each.video_bytes) for each in segments),
        f'codecs="{period.video_codec}" width="{period.width}" height="{period.height}"',
    )
    channels = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
    audio = _Track(
        "audio",
        period.audio_timescale,
        period.audio_begins,
        tuple((each.audio_begins, each.audio_lasts, each.audio_bytes) for each in segments),
        f'codecs="{period.audio_codec}" audioSamplingRate="{period.audio_timescale}"',
        f'<AudioChannelConfiguration schemeIdUri="{channels}" value="{period.channels}"/>',
    )
    yield f'  <Period id="{period.id}" start="{_seconds(period.wall_s)}">'
    for number, (track, header) in enumerate(zip((video, audio), header_names(period.id), strict=True), 1):
        yield from _adaptation_set(number, track, header, segment_name(track.name, period.id, "$Time$"))
    yield "  </Period>"


def _adaptation_set(number: int, track: _Track, header: str, media: str) -> Iterator[str]:
    yield (
        f'    <AdaptationSet id="{number}" contentType="{track.name}" mimeType="{track.name}/mp4" segmentAlignment="true" startWithSAP="1">'
    )
    offset = f'timescale="{track.timescale}" presentationTimeOffset="{track.begins}"'
    yield f'      <SegmentTemplate {offset} initialization="{header}" media="{media}">'
    yield "        <SegmentTimeline>"
    expected = None
    for (lasts, _), run in groupby(_placed(track.rows), key=lambda row: row[1:]):
        begins, *repeated = [row[0] for row in run]
        time = "" if begins == expected else f' t="{begins}"'
        repeat = f' r="{len(repeated)}"' if repeated else ""
        yield f'          <S{time} d="{lasts}"{repeat}/>'
        expected = begins + lasts * (1 + len(repeated))
    yield "        </SegmentTimeline>"
    yield "      </SegmentTemplate>"
    representation = f'<Representation id="{track.name}" bandwidth="{track.bits_per_second}" {track.attributes}'
    yield f"      {representation}>{track.inside}</Representation>" if track.inside else f"      {representation}/>"
    yield "    </AdaptationSet>"


def _placed(rows: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Begin, duration, and a number that grows with every hole before a segment, so that runs are without holes."""
    holes = 0
    for before, (begins, lasts, _) in pairwise([(rows[0][0], 0, 0), *rows]):
        holes += begins != before[0] + before[1]
        yield begins, lasts, holes


def _state(manifest: Manifest, segments: Sequence[DashSegment]) -> str:
    timeline, periods = manifest.timeline, list(dict.fromkeys(segment.period for segment in segments))
    rows = [
        (each.sequence, each.duration_ticks, each.wall_s, each.is_discontinuity, periods.index(each.period), *_measures(each))
        for each in segments
    ]
    values = {
        "timeline": timeline.id,
        "anchor_wall_s": timeline.anchor_wall_s,
        "anchor_ticks": timeline.anchor_ticks,
        "end": manifest.end_ticks,
        "target_s": manifest.target_s,
        "discontinuities": manifest.discontinuity_sequence,
        "periods": [astuple(period) for period in periods],
        "segments": rows,
    }
    # Two dashes would end the comment (XML 1.0, 2.5).
    return json.dumps(values, separators=(",", ":")).replace("--", "-\\u002d")


def _measures(each: DashSegment) -> tuple[int, ...]:
    return each.video_begins, each.video_bytes, each.audio_begins, each.audio_lasts, each.audio_bytes


def parse(text: bytes) -> Manifest:
    """Read back what `render` wrote. Raises ValueError on anything else, torn or changed by so much as a byte."""
    if len(text) > MAX_MANIFEST_BYTES or not text.endswith(b"</MPD>\n"):
        raise ValueError("not a whole manifest")
    found = _STATE.search(text.decode("utf-8"))
    if found is None:
        raise ValueError("a manifest without its state")
    try:
        manifest = _manifest(json.loads(found[1]))
        is_same = render(manifest) == text
    except (TypeError, KeyError, IndexError, OverflowError, RecursionError, ZeroDivisionError) as error:
        raise ValueError(f"a manifest with a state of another kind ({error})") from error
    if not is_same:
        raise ValueError("a manifest that does not say what its state says")
    return manifest


def _manifest(state: dict[str, Any]) -> Manifest:
    periods = [Period(*row) for row in state["periods"]]
    rows = state["segments"]
    if not 0 < len(rows) <= MAX_SEGMENTS:
        raise ValueError("a manifest without segments, or with too many")
    segments = tuple(
        DashSegment(sequence, ticks, wall_s, is_discontinuity, periods[period], *sizes)
        for sequence, ticks, wall_s, is_discontinuity, period, *sizes in rows
    )
    return Manifest(state["target_s"], state["discontinuities"], segments, read_timeline(state), state["end"])


def with_token(text: bytes, token: str) -> bytes:
    """The MPD as one viewer gets it: every address carries the viewer's own token, whose bytes no template takes for its own."""
    return _ADDRESSES.sub(b"?token=" + quote(token, safe="").encode(), text)
