"""Whether a clip is whole enough to air: what FFmpeg told while decoding, counted, against the tolerance.

Rule: refused when no frame decodes, when the picture (or the only sound) ends before 90 % of what the file declares, when more
than 5 % of the frames have errors; whatever is less is a warning. Pure.
"""

import errno
import re
from dataclasses import dataclass

from channeld.base.errors import PrepareError
from channeld.media.facts import AudioFacts, MediaFacts, Span, VideoFacts

DECLARED_SLACK_S = 0.5
"""A container rounds its duration, or counts an encoder's padding; on clips of under a second that is more than the tolerance."""

EVERY_INPUT = range(8)
_GUESSED_LENGTHS = frozenset(("mp3", "aac", "ac3", "eac3", "dts", "amr"))
"""Formats that declare nothing: their length is guessed from the first packets' bit rate."""
_SHARED_LENGTHS = frozenset(("matroska", "asf"))
"""Containers that often declare one length for all their tracks."""

_READ = re.compile(r"Input stream #(\d+):(\d+) \((?:video|audio)\): \d+ packets read \(\d+ bytes\); (\d+) frames decoded")
_CORRUPT = re.compile(r"corrupt decoded frame(?: in stream (\d+))?")
_FAILED = re.compile(r"Error while decoding stream #(\d+):(\d+)|\[[va]ist#(\d+):(\d+).*Error submitting packet to decoder")
_RATE_FILTER = re.compile(r"\[Parsed_fps_.*\] (\d+) frames in, (\d+) frames out")
_READ_FAILED = re.compile(r"\[error\] .*: Input/output error$")
"""FFmpeg writes to us alone, so that only its input can fail so."""
_MEMORY_FAILED = re.compile(
    r"malloc of size \d+ failed|cannot allocate memory|failed to map segment|\[error\].*: Resource temporarily unavailable", re.IGNORECASE
)
"""The last is what FFmpeg's threads fail with, for want of memory or of processes (pthread_create(3))."""
_SOUND = re.compile(r"^\[graph_\S+ @ [^]]*\] (?:\[verbose\] )?tb:\S+ samplefmt:\S+ samplerate:\d+ chlayout:")
"""What the filters of a sound begin with: told once, and again when rate or channels have changed."""
_STREAM_TAG = re.compile(r"\[[va]ist#\d+:(\d+)")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Smallest decoded part of the declared duration, largest part of frames with errors."""

    min_duration: float = 0.9
    max_errors: float = 0.05


class DecodeLog:
    """Counts FFmpeg's complaints by stream index as the lines come. Not thread-safe.

    `inputs`: which of FFmpeg's inputs are the file: pictures and sound of it may be read by two, a card comes before.
    """

    def __init__(self, inputs: range = EVERY_INPUT) -> None:
        self._inputs = inputs
        self._sounds = 0
        self._errors: dict[int, int] = {}
        self._decoded: dict[int, int] = {}
        self.house_frames: int | None = None
        self.machine_failure: OSError | None = None
        """FFmpeg could not read the file any further, or got no memory or thread: not the clip's fault."""

    def feed(self, line: str) -> None:
        """Take one line of FFmpeg's stderr."""
        if match := _CORRUPT.search(line):
            tag = _STREAM_TAG.search(line)
            self._count(match[1] or (tag[1] if tag else None))
        elif match := _FAILED.search(line):
            if int(match[1] or match[3]) in self._inputs:
                self._count(match[2] or match[4])
        elif match := _READ.search(line):
            if int(match[1]) in self._inputs:  # of each input every track is told, also those that another one reads
                self._decoded[int(match[2])] = max(self.decoded(int(match[2])), int(match[3]))
        elif match := _RATE_FILTER.search(line):
            self.house_frames = int(match[2])
        elif _SOUND.match(line):
            self._sounds += 1
        elif _READ_FAILED.search(line):
            self.machine_failure = OSError(errno.EIO, "the file could not be read to its end: Input/output error")
        elif _MEMORY_FAILED.search(line):
            self.machine_failure = OSError(errno.ENOMEM, "FFmpeg got no more memory or threads")

    @property
    def has_changed_sound(self) -> bool:
        """The sound has had more than one sample rate, or number of channels."""
        return self._sounds > 1

    def _count(self, index: str | None) -> None:
        if index is not None:
            self._errors[int(index)] = self._errors.get(int(index), 0) + 1

    def decoded(self, index: int) -> int:
        """Frames of a stream that decoded, damaged ones included."""
        return self._decoded.get(index, 0)

    def errors(self, index: int) -> int:
        """Frames of a stream that were damaged or did not decode."""
        return self._errors.get(index, 0)

    def error_share(self, index: int) -> float:
        """Part of a stream's frames with errors, 0 to 1."""
        errors = self.errors(index)
        return errors / max(1, errors, self.decoded(index))


def check_declared(facts: MediaFacts, tolerance: Tolerance) -> None:
    """Refuse a file whose packets end well before its header says. Raises PrepareError."""
    if facts.is_image:
        return
    if facts.video is not None and not _declares_files_length(facts):
        _check_span("video", facts.video.span, tolerance)
    ends = [track.span.end_s for track in (facts.video, *facts.audio) if track is not None and track.span.end_s is not None]
    if not ends:
        raise PrepareError("the file holds no packets of its tracks")
    if (
        facts.duration_s
        and not facts.dropped
        and facts.container not in _GUESSED_LENGTHS
        and max(ends) < tolerance.min_duration * facts.duration_s - DECLARED_SLACK_S
    ):
        raise PrepareError(f"cut short: {max(ends):.1f} s of the declared {facts.duration_s:.1f} s are there")


def _declares_files_length(facts: MediaFacts) -> bool:
    """The pictures' declared length is that of the file, which its sound has."""
    longest_s = max((track.span.end_s or 0.0 for track in facts.audio), default=0.0)
    is_shared = not _SHARED_LENGTHS.isdisjoint(facts.container.split(","))
    return is_shared and facts.duration_s is not None and longest_s >= facts.duration_s - DECLARED_SLACK_S


def _check_span(kind: str, span: Span, tolerance: Tolerance) -> None:
    if span.declared_s is None:
        return
    there_s = 0.0 if span.end_s is None else span.end_s - span.start_s
    if there_s < tolerance.min_duration * span.declared_s:
        raise PrepareError(f"cut short: {there_s:.1f} s of the declared {span.declared_s:.1f} s of {kind} are there")


def judge(
    log: DecodeLog,
    video: VideoFacts | None,
    audio: AudioFacts | None,
    picture_frames: int,
    tolerance: Tolerance,
    *,
    sound_log: DecodeLog | None = None,
) -> tuple[str, ...]:
    """Warnings of a clip that may air. Raises PrepareError with the reason of one that may not.

    `sound_log`: of the run in which the sound was decoded, where that was another.
    """
    warnings = []
    sound_log = sound_log or log
    if video is not None:
        if not log.decoded(video.index) or not log.house_frames:
            raise PrepareError("no picture could be decoded")
        if log.house_frames < tolerance.min_duration * picture_frames:
            raise PrepareError(f"only {log.house_frames} of {picture_frames} frames could be decoded")
    elif audio is not None and not sound_log.decoded(audio.index):
        raise PrepareError("no sound could be decoded")
    for kind, track, its, is_decisive in (("picture", video, log, True), ("sound", audio, sound_log, video is None)):
        if track is None or not its.errors(track.index):
            continue
        share = its.error_share(track.index)
        if is_decisive and share > tolerance.max_errors:
            raise PrepareError(f"damaged: {share:.0%} of the {kind}'s frames have errors")
        warnings.append(f"{its.errors(track.index)} frames of the {kind} have errors")
    return tuple(warnings)
