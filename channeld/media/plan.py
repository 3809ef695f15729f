"""Where a clip begins and ends on the house's frame grid: the arithmetic between a file's clocks and ours.

Rule: frame n of the clip is the source picture shown at `origin_s + n / fps`; when source and house run at one rate the first
picture lies exactly on the grid, so frames map one to one. Pure.
"""

import math
from dataclasses import dataclass

from channeld.base.errors import PrepareError
from channeld.base.units import FrameRate
from channeld.media.facts import STREAMS, AudioFacts, MediaFacts, Span

JOIN_TOLERANCE_S = 0.2
"""Tracks that start or end within this of each other are taken to start or end together; the picture decides."""
IMAGE_SECONDS = 10.0
PREROLL_S = 5.0
STREAM_PREROLL_S = 20.0
"""Where FFmpeg finds a moment, but not the key frame before it: longer than from one to the next."""
SEEK_GAIN_S = 7.0
"""What would be left out by less is not worth a seek."""
MIN_FRAMES = 2
"""x264 cannot tell the reordering delay of a single picture and writes it without a DTS; one picture airs as two."""


@dataclass(frozen=True, slots=True)
class Trim:
    """What part of the source airs, in seconds from its start; `out_s` is exclusive, `duration_s` counts from `in_s`."""

    in_s: float = 0.0
    out_s: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A clip in seconds from the file's start: where FFmpeg seeks to, where frame 0 lies, how many frames.

    `picture_frames` of them come from the source; what is missing beyond is its last picture, held.
    `jump_s`, `is_known_late`: as in MediaFacts.
    """

    seek_s: float
    origin_s: float
    frames: int
    picture_frames: int
    jump_s: float | None = None
    is_known_late: bool = False

    @property
    def unseen_s(self) -> float:
        """How much is decoded before anything of it airs: what was not sought."""
        return max(0.0, self.origin_s - self.seek_s)

    @property
    def shift_s(self) -> float:
        """What to take off the timestamps that FFmpeg gives after its seek, so that frame 0 is at 0."""
        return self.origin_s - self.seek_s


def make_plan(facts: MediaFacts, audio: AudioFacts | None, trim: Trim, fps: FrameRate) -> Plan:
    """Lay the clip on the grid. Raises PrepareError when nothing is left of it."""
    if facts.is_image or (facts.video is None and audio is None):
        seconds = trim.duration_s or _length(trim) or IMAGE_SECONDS
        frames = max(MIN_FRAMES, fps.frames_in(seconds))
        return Plan(0.0, 0.0, frames, frames)
    video = facts.video.span if facts.video else None
    sound = audio.span if audio else None
    origin_s = _begin(video, sound, fps)
    whole = max(1, fps.frames_in(_end(video, sound, facts) - origin_s))
    picture = whole if video is None else max(1, fps.frames_in(_span_end(video, facts) - origin_s))
    first = fps.frames_in(trim.in_s)
    last = whole
    if trim.out_s is not None:
        last = min(last, fps.frames_in(trim.out_s))
    if trim.duration_s is not None:
        last = min(last, first + max(1, fps.frames_in(trim.duration_s)))
    if first >= last:
        raise PrepareError(
            f"nothing left between in {trim.in_s:g} s and out {fps.seconds(last):g} s (the clip has {fps.seconds(whole):.3f} s)"
        )
    origin_s += fps.seconds(first)
    preroll_s = STREAM_PREROLL_S if facts.container in STREAMS else PREROLL_S
    can_seek = origin_s > preroll_s + SEEK_GAIN_S and facts.jump_s is None
    seek_s = origin_s - preroll_s if can_seek else 0.0
    return Plan(seek_s, origin_s, max(MIN_FRAMES, last - first), max(0, min(picture, last) - first), facts.jump_s, facts.is_known_late)


def _length(trim: Trim) -> float | None:
    return None if trim.out_s is None else trim.out_s - trim.in_s


def _begin(video: Span | None, sound: Span | None, fps: FrameRate) -> float:
    """Frame 0: the first picture, or, when sound begins well before it, the grid point at or before the sound."""
    if video is None or sound is None:
        only = video or sound
        assert only is not None
        return only.start_s
    lead_s = video.start_s - sound.start_s
    if lead_s <= JOIN_TOLERANCE_S:
        return video.start_s
    return video.start_s - fps.seconds(math.ceil(lead_s * fps.num / fps.den - 1e-6))


def _span_end(span: Span, facts: MediaFacts) -> float:
    """End of a track: what its packets reach, else what the track or the file declares."""
    if span.end_s is not None:
        return span.end_s
    if span.declared_s is not None:
        return span.start_s + span.declared_s
    if facts.duration_s is not None:
        return facts.duration_s
    raise PrepareError("the duration is unknown")


def _end(video: Span | None, sound: Span | None, facts: MediaFacts) -> float:
    ends = [_span_end(span, facts) for span in (video, sound) if span is not None]
    if len(ends) == 1:
        return ends[0]
    picture_s, sound_s = ends
    return sound_s if sound_s > picture_s + JOIN_TOLERANCE_S else picture_s
