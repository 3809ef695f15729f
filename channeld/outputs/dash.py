"""DASH from the same cuts as HLS: each becomes a segment of video and one of audio, in fragmented MP4 (CMAF).

Rule: no time is made up here: every sample has the presentation and decoding time that the transport stream gave it, on a timeline
that goes on over the wraps of 33 bits. Where timeline or format do not go on, another Period begins, with headers of its own.
Not thread-safe; used by the packager thread only.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from channeld.base.errors import StreamError
from channeld.base.units import TICKS_PER_SECOND
from channeld.outputs.dash_manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SEGMENT_NAME,
    DashSegment,
    Period,
    dash_segments,
    header_names,
    parse,
    render,
)
from channeld.outputs.fmp4 import AUDIO_TRACK, NOT_SYNC, SYNC, VIDEO_TRACK, Samples, audio_header, segment, video_header
from channeld.outputs.hls_manifest import Manifest, Segment
from channeld.outputs.hls_store import FileNames
from channeld.outputs.packing import Cut, Packed
from channeld.ts.codecs import AacFormat, AvcFormat, aac_frame, avc_format, avc_sample, nal_units
from channeld.ts.h265 import H265Format, h265_format, h265_sample
from channeld.ts.nal import H265_IDR, VideoCodec, nal_kind
from channeld.ts.packet import AUDIO_PID, VIDEO_PID, Packets, as_packets
from channeld.ts.psi import codec_of
from channeld.ts.units import access_units

VideoFormat = AvcFormat | H265Format
DASH_FILES = FileNames("dash", MANIFEST_NAME, SEGMENT_NAME, MAX_MANIFEST_BYTES)
_AAC_FRAME = 1024
_KINDS: dict[VideoCodec, tuple[frozenset[int], Callable[[list[bytes]], VideoFormat], Callable[[list[bytes]], bytes]]] = {
    VideoCodec.H264: (frozenset({5}), avc_format, avc_sample),
    VideoCodec.H265: (H265_IDR, h265_format, h265_sample),
}
"""Of each codec: NAL units of pictures that a reader may begin with, what they say, and units as samples."""


@dataclass(frozen=True, slots=True)
class _Video:
    """The pictures of a cut; `begins`: when the first is shown, in ticks."""

    form: VideoFormat
    samples: Samples
    begins: int


@dataclass(frozen=True, slots=True)
class _Audio:
    """The sound of a cut, and how long it lasts, in ticks of its sample rate."""

    form: AacFormat
    samples: Samples
    lasts: int


class DashPacking:
    """See Packing."""

    names = DASH_FILES

    def pack(self, cut: Cut, listed: Segment, before: Manifest | None) -> Packed:
        """Two files, and two headers with a Period's first segment."""
        packets = as_packets(b"".join(cut.pieces))
        video, audio = _video(packets, cut), _audio(packets, cut)
        period = _period(listed, video, audio, dash_segments(before) if before is not None else ())
        is_first = period.id == listed.sequence
        pictures, sounds = segment(VIDEO_TRACK, listed.sequence, video.samples), segment(AUDIO_TRACK, listed.sequence, audio.samples)
        made = DashSegment(
            listed.sequence,
            listed.duration_ticks,
            listed.wall_s,
            is_first and before is not None,
            period,
            video.begins,
            sum(map(len, pictures)),
            audio.samples.begins_at,
            audio.lasts,
            sum(map(len, sounds)),
        )
        files: dict[str, Sequence[bytes]] = dict(zip(made.files, (pictures, sounds), strict=True))
        if is_first:
            headers = video_header(video.form, TICKS_PER_SECOND), audio_header(audio.form, period.audio_timescale)
            files |= {name: [header] for name, header in zip(header_names(period.id), headers, strict=True)}
        return Packed(made, files)

    def files_of(self, segments: Sequence[Segment]) -> list[str]:
        """Segments, and the headers of their Periods."""
        found = [segment for segment in segments if isinstance(segment, DashSegment)]
        periods = dict.fromkeys(segment.period.id for segment in found)
        return [name for segment in found for name in segment.files] + [name for number in periods for name in header_names(number)]

    def is_intact(self, segment: Segment, sizes: Mapping[str, int]) -> bool:
        """Both files are as long as they were, and the headers are there."""
        if not isinstance(segment, DashSegment):
            return False
        found = tuple(sizes.get(name) for name in segment.files)
        return found == (segment.video_bytes, segment.audio_bytes) and all(sizes.get(name) for name in header_names(segment.period.id))

    def render(self, manifest: Manifest) -> bytes:
        """See dash_manifest."""
        return render(manifest)

    def parse(self, text: bytes) -> Manifest:
        """See dash_manifest."""
        return parse(text)


def _video(packets: Packets, cut: Cut) -> _Video:
    found = access_units(packets, VIDEO_PID, near=cut.start)
    nals = [nal_units(unit) for unit in found.units]
    codec = codec_of(packets)
    random_access, format_of, sample_of = _KINDS[codec]
    is_idr = np.array([any(nal_kind(nal, codec) in random_access for nal in each) for each in nals])
    durations = np.diff(found.dts, append=cut.end)
    if durations.min() <= 0 or not is_idr[0]:
        raise StreamError("pictures are not in order of decoding, or begin without a random access point", pid=VIDEO_PID)
    payloads, flags = [sample_of(each) for each in nals], np.where(is_idr, SYNC, NOT_SYNC)
    samples = Samples(int(found.dts[0]), payloads, durations, found.pts - found.dts, flags)
    # Not the first picture's own time: at 23.976 a second its duration is no whole number of ticks, and segments would not meet.
    return _Video(format_of(nals[0]), samples, cut.start + int(found.pts[0] - found.dts[0]))


def _sets(form: VideoFormat) -> tuple[bytes, ...]:
    return (form.sps, form.pps) if isinstance(form, AvcFormat) else (form.vps, form.sps, form.pps)


def _audio(packets: Packets, cut: Cut) -> _Audio:
    found = access_units(packets, AUDIO_PID, near=cut.start)
    frames = [aac_frame(unit) for unit in found.units]
    form = frames[0][0]
    if any(each != form for each, _ in frames):
        raise StreamError("audio changes its format", pid=AUDIO_PID)
    # Exact at 48 kHz: units are 1920 ticks apart, which are 1024 samples.
    begins = found.pts * form.sample_rate // TICKS_PER_SECOND
    durations = np.diff(begins, append=begins[-1] + _AAC_FRAME)
    if durations.min() <= 0:
        raise StreamError("audio units are not in order", pid=AUDIO_PID)
    is_even = bool(np.all(durations == _AAC_FRAME))
    samples = Samples(int(begins[0]), [frame for _, frame in frames], _AAC_FRAME if is_even else durations)
    return _Audio(form, samples, int(durations.sum()))


def _period(listed: Segment, video: _Video, audio: _Audio, earlier: Sequence[DashSegment]) -> Period:
    """The Period that a segment belongs to: the newest one where timeline and format go on, else a new one, not before the newest ends."""
    form = hashlib.sha256(b"".join((*_sets(video.form), audio.form.specific_config))).hexdigest()[:16]
    wall_s = listed.wall_s
    if earlier:
        newest, last = earlier[-1].period, earlier[-1]
        if newest.form == form and not listed.is_discontinuity:
            return newest
        ended = last.video_begins + last.duration_ticks - newest.video_begins
        wall_s = max(wall_s, round(newest.wall_s + ended / TICKS_PER_SECOND, 3))
    rate = audio.form.sample_rate
    return Period(
        listed.sequence,
        wall_s,
        form,
        video.begins,
        video.begins * rate // TICKS_PER_SECOND,
        rate,
        video.form.codec,
        audio.form.codec,
        video.form.width,
        video.form.height,
        audio.form.channels,
    )
