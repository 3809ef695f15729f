"""The embedded HLS output, and what all segmented outputs share: slices of one channel in, segments and a manifest out.

Rule: a segment begins at a random access point and ends at the last one not later than `segment_seconds`; a DISCONTINUITY
stands exactly where the timeline does not go on; media sequences never go back, whatever restarts.
`push` only cuts, `flush` only writes; a segment that cannot be written waits in memory for the length of the window.
Not thread-safe; used by the packager thread only.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.base.errors import StreamError
from channeld.base.units import TICKS_PER_SECOND
from channeld.outputs.hls_manifest import Manifest, Segment, Timeline, parse, read_timeline, render, segment_name, target_seconds
from channeld.outputs.hls_store import HLS_FILES, SegmentStore
from channeld.outputs.packing import Cut, Packed, Packing
from channeld.telemetry import log

MAX_WAITING_BYTES = 64 << 20
"""Of one output, while its files cannot be written: minutes at most bitrates."""
_LONGEST_SEGMENTS = 10
"""A stream without random access points is given up after so many segment durations, so that memory stays bounded; a
timeline that steps back further than this does not repeat itself, it is wrong, and airs after a DISCONTINUITY."""

_PACKET_BYTES = 188
UNHEARD = 10
"""Segments that may have been published after their number was heard of."""
_LOST_TIMELINE = Timeline("", 0.0, 0)
"""Stands for whatever was on air before an unreadable manifest; no ring's timeline is called so."""


class Sliced(Protocol):
    """What is packaged: whole transport packets, PAT and PMT first. dts and duration in ticks of 90 kHz; `monotonic_ns`: of its release."""

    @property
    def data(self) -> bytes: ...
    @property
    def dts(self) -> int: ...
    @property
    def duration(self) -> int: ...
    @property
    def is_random_access(self) -> bool: ...
    @property
    def monotonic_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """The manifest was published: its last media sequence and when (epoch seconds), and its discontinuity sequence.

    `segment_wait_s`: since the newest segment's first slice aired.
    """

    media_sequence: int
    published_wall_s: float
    discontinuity_sequence: int = 0
    segment_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Numbering:
    """Where a manifest stood that may be lost; a moment old."""

    media_sequence: int
    discontinuity_sequence: int


class Cutter:
    """Decides where segments begin and end. Sans-I/O."""

    def __init__(self, segment_ticks: int, *, expected_dts: int | None = None) -> None:
        self.expected_dts = expected_dts
        self._segment_ticks = segment_ticks
        self._pending: list[Sliced] = []

    def push(self, piece: Sliced) -> list[Cut]:
        """Take the next slice; what was already had is passed over, a hole ends the segment before it."""
        cuts: list[Cut] = []
        longest_ticks = _LONGEST_SEGMENTS * self._segment_ticks
        if self.expected_dts is not None and piece.dts != self.expected_dts:
            if 0 <= self.expected_dts - piece.dts - piece.duration <= longest_ticks:
                return cuts
            cuts = self.interrupt()
        self.expected_dts = piece.dts + piece.duration
        if not self._pending and not piece.is_random_access:
            return cuts
        self._pending.append(piece)
        while (at := self._cut_index()) is not None:
            cuts.append(self._cut(at))
        if self.expected_dts - self._pending[0].dts > longest_ticks:
            self._pending.clear()
        return cuts

    def interrupt(self) -> list[Cut]:
        """The timeline does not go on: what is pending becomes a short segment, and any tick may come next."""
        self.expected_dts = None
        return [self._cut(len(self._pending))] if self._pending else []

    def _cut_index(self) -> int | None:
        """Where in `pending` to cut, once no later slice can begin in time; a random access point that is late is the next best."""
        pending = self._pending
        limit = pending[0].dts + self._segment_ticks
        if pending[-1].dts + pending[-1].duration <= limit:
            return None
        points = [index for index in range(1, len(pending)) if pending[index].is_random_access]
        in_time = [index for index in points if pending[index].dts <= limit]
        return max(in_time) if in_time else min(points, default=None)

    def _cut(self, at: int) -> Cut:
        taken, self._pending = self._pending[:at], self._pending[at:]
        pieces = tuple(piece.data for piece in taken)
        return Cut(taken[0].dts, taken[-1].dts + taken[-1].duration, pieces, taken[0].monotonic_ns)


class HlsPacking:
    """A segment is the cut itself; see Packing."""

    names = HLS_FILES

    def pack(self, cut: Cut, listed: Segment, before: Manifest | None) -> Packed:
        """The transport stream as it is."""
        return Packed(listed, {segment_name(listed.sequence): cut.pieces})

    def files_of(self, segments: Sequence[Segment]) -> list[str]:
        """One for each."""
        return [segment_name(segment.sequence) for segment in segments]

    def is_intact(self, segment: Segment, sizes: Mapping[str, int]) -> bool:
        """Whole packets."""
        size = sizes.get(segment_name(segment.sequence), 0)
        return size > 0 and size % _PACKET_BYTES == 0

    def render(self, manifest: Manifest) -> bytes:
        """See hls_manifest."""
        return render(manifest)

    def parse(self, text: bytes) -> Manifest:
        """See hls_manifest."""
        return parse(text)


class Packager:
    """One channel's HLS or DASH. Give it each ring's description and slices; when it `has_unpublished`, `flush` until that returns None."""

    def __init__(
        self,
        channel: str,
        store: SegmentStore,
        *,
        segment_seconds: float | Fraction,
        window: int,
        clock: Clock,
        after: Numbering | None = None,
        packing: Packing | None = None,
    ) -> None:
        self._channel, self._store, self._clock = channel, store, clock
        self._packing: Packing = packing or HlsPacking()
        self._window = window
        # What waited for a whole window would be gone from the manifest anyway: the oldest falls out.
        self._waiting: deque[tuple[Cut, Timeline]] = deque(maxlen=window)
        self._is_unpublished = False
        self._newest_ns: int | None = None
        self._leaving: list[tuple[str, float]] = []  # (file, seconds to keep) once the manifest without them stands
        self._target_s = target_seconds(segment_seconds)
        self._manifest, self._next_sequence = self._recover(after)
        self._timeline = self._manifest.timeline if self._manifest else None
        expected_dts = self._manifest.end_ticks if self._manifest else None
        self._cutter = Cutter(round(Fraction(segment_seconds) * TICKS_PER_SECOND), expected_dts=expected_dts)

    @property
    def has_unpublished(self) -> bool:
        """`flush` has something to do."""
        return self._is_unpublished or bool(self._waiting)

    def resume_dts(self, description: dict[str, Any]) -> int | None:
        """The tick from which a ring's slices are still needed; None: all of them, its timeline is another one."""
        goes_on = self._timeline is not None and self._timeline.id == description["timeline"]
        return self._cutter.expected_dts if goes_on else None

    def attach(self, description: dict[str, Any]) -> None:
        """Slices come from this ring now. The same timeline keeps its first anchor; another one begins a discontinuity."""
        timeline = read_timeline(description)
        if self._timeline is not None and self._timeline.id == timeline.id:
            return
        if self._timeline is not None:
            self._enqueue(self._cutter.interrupt())
        self._timeline = timeline

    def push(self, piece: Sliced) -> None:
        """Take the ring's next slice; no I/O."""
        self._enqueue(self._cutter.push(piece))

    def flush(self) -> Progress | None:
        """Write one waiting segment and the manifest with it; None when nothing waits.

        Raises OSError when a file cannot be written: what listed stays listed, the rest is tried again next time.
        """
        self._store.purge()
        while self._waiting and not self._is_unpublished:
            self._write(*self._waiting[0])
            self._waiting.popleft()
        if self._manifest is None or not self._is_unpublished:
            return None
        self._store.write_manifest(self._channel, self._packing.render(self._manifest), self._packing.names)
        self._is_unpublished = False
        for name, keep_s in self._leaving:
            self._store.retire(self._channel, name, keep_s=keep_s)
        self._leaving.clear()
        wait_s = round((self._clock.monotonic_ns() - self._newest_ns) / NS_PER_SECOND, 3) if self._newest_ns is not None else None
        return Progress(self._next_sequence - 1, self._clock.wall_s(), self._manifest.discontinuity_sequence, wait_s)

    def _write(self, cut: Cut, timeline: Timeline) -> None:
        """Write a cut and list it; one that cannot be packaged is told and left out, a hole like any other."""
        before = self._manifest
        goes_on = before is None or (timeline.id == before.timeline.id and cut.start == before.end_ticks)
        segment = Segment(self._next_sequence, cut.end - cut.start, timeline.wall_s(cut.start), not goes_on)
        try:
            packed = self._packing.pack(cut, segment, before)
        except StreamError as error:
            log.get(self._packing.names.type).error("segment_left_out", channel=self._channel, error=str(error))
            return
        self._store.write_segment(self._channel, packed.files)
        self._list(packed.segment, cut, timeline)
        self._is_unpublished, self._newest_ns = True, cut.released_ns

    def _enqueue(self, cuts: Iterable[Cut]) -> None:
        assert self._timeline is not None, "attach first"
        self._waiting.extend((cut, self._timeline) for cut in cuts)
        while len(self._waiting) > 1 and sum(cut.size_bytes for cut, _ in self._waiting) > MAX_WAITING_BYTES:
            self._waiting.popleft()

    def _list(self, segment: Segment, cut: Cut, timeline: Timeline) -> None:
        before = self._manifest
        listed = before.segments if before else ()
        kept = self._in_window((*listed, segment))
        gone = listed[: len(listed) + 1 - len(kept)]
        needed, keep_s = set(self._packing.files_of(kept)), _total_ticks(listed) / TICKS_PER_SECOND
        for old in gone:
            names = (name for name in self._packing.files_of([old]) if name not in needed)
            self._leaving += [(name, old.duration_ticks / TICKS_PER_SECOND + keep_s) for name in names]
        discontinuities = (before.discontinuity_sequence if before else 0) + sum(old.is_discontinuity for old in gone)
        self._manifest = Manifest(self._target_s, discontinuities, kept, timeline, cut.end)
        self._next_sequence += 1

    def _in_window(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """The newest ones: `window` of them, more where these last less than three target durations (RFC 8216, 6.2.2)."""
        least_ticks = 3 * self._target_s * TICKS_PER_SECOND
        while len(segments) > self._window and _total_ticks(segments[1:]) >= least_ticks:
            segments = segments[1:]
        return segments

    def _recover(self, after: Numbering | None) -> tuple[Manifest | None, int]:
        """Read the own manifest back; returns it, as far as its files stand, and the next media sequence.

        An unreadable one leaves the wall clock's seconds: larger than any number given so far, as no segment is shorter than a
        second. An empty folder goes on some numbers behind where the manifest stood when it was heard of last, else begins at 0.
        """
        packing, names = self._packing, self._packing.names
        sizes = self._store.open_channel(self._channel, names)
        text = self._store.read_manifest(self._channel, names)
        found = None if text is None else _parse_or_none(packing, text)
        kept = self._intact(found.segments, sizes) if found else ()
        for name in sorted(sizes.keys() - set(packing.files_of(kept))):
            self._store.retire(self._channel, name, keep_s=2 * self._window * self._target_s)
        if found is not None:
            lost = found.segments[: len(found.segments) - len(kept)]
            gone = found.discontinuity_sequence + sum(segment.is_discontinuity for segment in lost)
            manifest = replace(found, target_s=self._target_s, segments=kept, discontinuity_sequence=gone)
            return manifest, found.segments[-1].sequence + 1
        if text is None and not sizes:
            if after is None:
                return None, 0
            return Manifest(self._target_s, after.discontinuity_sequence + 1, (), _LOST_TIMELINE, 0), after.media_sequence + UNHEARD
        numbers = (int(match[1]) for name in sizes if (match := names.segment.fullmatch(name)) is not None)
        sequence = max([int(self._clock.wall_s()), *(number + 1 for number in numbers)])
        return Manifest(self._target_s, sequence, (), _LOST_TIMELINE, 0), sequence

    def _intact(self, segments: tuple[Segment, ...], sizes: dict[str, int]) -> tuple[Segment, ...]:
        """The newest listed segments without a missing or torn file among them (a power loss may leave such)."""
        kept: list[Segment] = []
        for segment in reversed(segments):
            if not self._packing.is_intact(segment, sizes):
                break
            kept.insert(0, segment)
        return tuple(kept)


def _total_ticks(segments: Iterable[Segment]) -> int:
    return sum(segment.duration_ticks for segment in segments)


def _parse_or_none(packing: Packing, text: bytes) -> Manifest | None:
    try:
        return packing.parse(text)
    except ValueError:
        return None
