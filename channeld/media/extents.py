"""How far a file's tracks really reach: the end of the last packet of each, read without decoding.

Rule: only the file's tail is read; when nothing stands there (a file cut short), or its clock jumps, the whole file, within the deadline.
Blocking; run by the probe.
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from channeld.base.errors import ChildExited, ChildKilled, ChildStalled, ProcessError
from channeld.media import child, clock_samples
from channeld.media.facts import STREAMS, AudioFacts, MediaFacts, Span, VideoFacts
from channeld.media.ffmpeg_args import packets_args, whole_packets_args
from channeld.media.tools import Tools

TAIL_S = 15.0
JUMP_S = 0.5
"""A clock that goes on says that a track ends elsewhere than its last timestamps do, by more than this: it jumps."""
WHOLE_FILE_S = 120.0
"""How long it may take to read a file whose clock jumps: 18 GB from a disk of 150 MB/s."""


class PacketEnds:
    """Reads FFmpeg's framecrc listing as it comes: the furthest end of each output stream, seconds on the file's own clock."""

    def __init__(self) -> None:
        self._rest = b""
        self._bases: dict[int, float] = {}
        self.ends_s: dict[int, float] = {}

    def feed(self, chunk: bytes) -> None:
        """Take bytes of the listing."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"#tb "):
                self._take_base(line.decode("ascii", "replace"))
            elif line and not line.startswith(b"#"):
                self._take_packet(line)

    def _take_base(self, line: str) -> None:
        stream, _, base = line[4:].partition(": ")
        num, _, den = base.partition("/")
        self._bases[int(stream)] = int(num) / int(den)

    def _take_packet(self, line: bytes) -> None:
        stream, dts, pts, duration, *_ = line.split(b",")
        number = int(stream)
        end_s = (max(_ticks(pts), _ticks(dts)) + max(0, int(duration))) * self._bases[number]
        self.ends_s[number] = max(end_s, self.ends_s.get(number, end_s))


def _ticks(field: bytes) -> int:
    text = field.strip()
    return -(1 << 62) if text == b"NOPTS" else int(text)


def measure_ends(
    source: Path,
    facts: MediaFacts,
    *,
    tools: Tools,
    timeout_s: float,
    whole_s: float = WHOLE_FILE_S,
    should_stop: child.Stop = child.never,
) -> MediaFacts:
    """Facts with the end of each track; a track without packets keeps None, a deadline leaves all as declared, with a warning.

    `whole_s`: how long it may take to read a file whose clock jumps. Raises ChildStopped; then also OSError, SpawnError and
    ChildKilled.
    """
    reader = _Reader(source, tools, timeout_s, should_stop)
    if facts.container in STREAMS:
        facts = _over_jumps(reader, facts, whole_s)
    return facts if facts.jump_s is not None else _by_tail(reader, facts)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Lists the packets of a file."""

    source: Path
    tools: Tools
    timeout_s: float
    should_stop: child.Stop

    def ends_s(self, indexes: list[int], start_s: float, *, is_patient: bool) -> dict[int, float]:
        """Of each track by its place among these, from about `start_s` on."""
        return self._listed(packets_args(self.source, indexes, start_s, self.tools, is_patient=is_patient), self.timeout_s)

    def whole_ends_s(self, indexes: list[int], jump_s: float, whole_s: float) -> dict[int, float]:
        """The same by a clock that goes on where the file's jumps."""
        argv = whole_packets_args(self.source, indexes, jump_s, self.tools)
        return child.twice(lambda: self._listed(argv, whole_s))

    def _listed(self, argv: list[str], timeout_s: float) -> dict[int, float]:
        listing = PacketEnds()
        with contextlib.closing(child.stream(argv, stall_s=timeout_s, deadline_s=timeout_s, should_stop=self.should_stop)) as chunks:
            for chunk in chunks:
                listing.feed(chunk)
        return listing.ends_s


def _by_tail(reader: _Reader, facts: MediaFacts) -> MediaFacts:
    tracks: list[VideoFacts | AudioFacts] = [track for track in (facts.video, *facts.audio) if track is not None]
    start_s = max(0.0, (facts.duration_s or 0.0) - TAIL_S)
    indexes, late = [track.index for track in tracks], facts.is_known_late
    try:
        ends = child.twice(lambda: reader.ends_s(indexes, start_s, is_patient=late))
        if start_s and (not ends or (facts.video is not None and 0 not in ends)):
            ends = {**reader.ends_s(indexes, 0.0, is_patient=late), **ends}
    except child.ChildStopped:
        raise
    except ProcessError as error:
        return _as_declared(facts, f"the tracks' ends could not be read ({error})")
    return _with_spans(facts, [_ended(track.span, ends.get(number), facts.start_s) for number, track in enumerate(tracks)])


def _over_jumps(reader: _Reader, facts: MediaFacts, whole_s: float) -> MediaFacts:
    """Facts by a clock that goes on, of a file whose own jumps; any other's as they are."""
    tracks: list[VideoFacts | AudioFacts] = [track for track in (facts.video, *facts.audio) if track is not None]
    indexes = [track.index for track in tracks]
    jump_s = clock_samples.shortest_jump_s(reader.source)
    if jump_s is None:
        return facts
    try:
        ends = reader.whole_ends_s(indexes, jump_s, whole_s)
    except ChildKilled:
        raise
    except (ChildExited, ChildStalled) as error:
        return replace(facts, warnings=(*facts.warnings, f"its clock may jump, and it could not be read to its end ({error})"))
    spans = [_ended(replace(track.span, declared_s=None), ends.get(number), 0.0) for number, track in enumerate(tracks)]
    told = _by_tail(reader, facts)
    if all(_is_same(span, track.span) for span, track in zip(spans, (each for each in (told.video, *told.audio) if each), strict=True)):
        return facts
    length_s = max(ends.values(), default=0.0)
    warning = f"the clock of the file jumps: {length_s:.1f} s of it are there"
    return replace(_with_spans(facts, spans), duration_s=length_s, jump_s=jump_s, warnings=(*facts.warnings, warning))


def _is_same(span: Span, told: Span) -> bool:
    """A track ends where its last timestamps say, and where the file does."""
    if span.end_s is None or told.end_s is None:
        return True
    declared_s = told.declared_s if told.declared_s is not None else span.end_s - span.start_s
    return abs(span.end_s - told.end_s) <= JUMP_S and abs(span.end_s - span.start_s - declared_s) <= JUMP_S


def _with_spans(facts: MediaFacts, spans: list[Span]) -> MediaFacts:
    """Those of the picture, if there is one, and of every audio track."""
    audio = tuple(replace(track, span=span) for track, span in zip(facts.audio, spans[len(spans) - len(facts.audio) :], strict=True))
    video = replace(facts.video, span=spans[0]) if facts.video is not None else None
    return replace(facts, video=video, audio=audio)


def _as_declared(facts: MediaFacts, warning: str) -> MediaFacts:
    def end(span: Span) -> Span:
        declared_s = span.declared_s if span.declared_s is not None else facts.duration_s
        return span if declared_s is None else replace(span, end_s=span.start_s + declared_s)

    video = replace(facts.video, span=end(facts.video.span)) if facts.video is not None else None
    audio = tuple(replace(track, span=end(track.span)) for track in facts.audio)
    return replace(facts, video=video, audio=audio, warnings=(*facts.warnings, warning))


def _ended(span: Span, end_s: float | None, start_s: float) -> Span:
    return span if end_s is None else replace(span, end_s=max(span.start_s, end_s - start_s))
