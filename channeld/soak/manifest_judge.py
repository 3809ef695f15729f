"""Judges what the embedded origin publishes, as a player would see it: RFC 8216, and the bytes of every segment.

Rule: parses by itself; a segment must be the very bytes of the bus from its first picture for its duration, and a
DISCONTINUITY must stand exactly where these do not go on.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from channeld.soak.stream_judge import PACKET, WRAP, Piece, first_dts

Complain = Callable[[str, str], None]

KEPT_SLICES = 1500
"""So much of the bus is remembered, to compare segments with: five minutes in slices of 0.2 s."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A segment as the manifest lists it. `seconds` of EXTINF, `date` of its PROGRAM-DATE-TIME (epoch)."""

    sequence: int
    name: str
    seconds: float
    date: float
    is_discontinuity: bool


@dataclass(slots=True)
class Shown:
    """What a manifest says."""

    target: int = 0
    first: int = 0
    discontinuities: int = 0
    segments: list[Listed] = field(default_factory=list)


def read(text: str) -> Shown:
    """Parse a media playlist. Raises ValueError, KeyError."""
    shown, tags = Shown(), dict[str, str]()
    if not text.startswith("#EXTM3U\n") or not text.endswith("\n"):
        raise ValueError("torn")
    for line in text.splitlines()[1:]:
        tag, _, value = line.partition(":")
        if line.startswith("#"):
            tags[tag] = value
            continue
        if not shown.segments:
            shown.target, shown.first = int(tags["#EXT-X-TARGETDURATION"]), int(tags["#EXT-X-MEDIA-SEQUENCE"])
            shown.discontinuities = int(tags["#EXT-X-DISCONTINUITY-SEQUENCE"])
        date = datetime.fromisoformat(tags["#EXT-X-PROGRAM-DATE-TIME"]).timestamp()
        seconds = float(tags["#EXTINF"].rstrip(","))
        shown.segments.append(Listed(shown.first + len(shown.segments), line, seconds, date, "#EXT-X-DISCONTINUITY" in tags))
        tags = {}
    return shown


class BusMemory:
    """The newest slices of a channel, over its timelines."""

    def __init__(self) -> None:
        self._slices: deque[tuple[int, Piece]] = deque(maxlen=KEPT_SLICES)  # with the timeline's number
        self.timeline = 0
        self.end = (0, 0)
        """The present timeline, and the DTS at which what is remembered of it ends."""

    def keep(self, piece: Piece) -> None:
        """Remember a slice of the present timeline."""
        self._slices.append((self.timeline, piece))
        self.end = self.timeline, piece.dts + piece.duration

    def find(self, dts: int, ticks: int, size: int) -> tuple[int, int, bytes] | None:
        """Timeline, first DTS (unwrapped) and bytes from a wrapped DTS on, for so long; None where it is not remembered whole."""
        for number in sorted({timeline for timeline, _ in self._slices}, reverse=True):
            pieces = [piece for timeline, piece in self._slices if timeline == number]
            begin = next((index for index, piece in enumerate(pieces) if piece.dts % WRAP == dts), None)
            if begin is None:
                continue
            taken, end = [], pieces[begin].dts + ticks
            for piece in pieces[begin:]:
                if piece.dts >= end:
                    break
                taken.append(piece.data)
            if sum(map(len, taken)) == size:
                return number, pieces[begin].dts, b"".join(taken)
        return None


class ManifestJudge:
    """One channel's published HLS, over all its timelines. `look` after each publication."""

    def __init__(self, folder: Path, segment_seconds: float, bus: BusMemory, complain: Complain) -> None:
        self.segments = 0
        self.deleted: set[str] = set()
        """Segments that a fault took away: a player's loss, not the packager's."""
        self._folder = folder
        self._target = -(-int(segment_seconds * 1000) // 1000)
        self._bus = bus
        self._complain = complain
        self._last: Listed | None = None
        self.end: tuple[int, int] | None = None  # timeline and DTS at which the last segment ended
        self._discontinuities = 0
        self._flags: dict[int, bool] = {}

    def forget(self) -> None:
        """Everything that was published is gone, with all that was known of it: numbers may begin anew."""
        self._last = self.end = None
        self._discontinuities = 0
        self._flags.clear()

    @property
    def age_ticks(self) -> int | None:
        """How much of the bus came after the newest segment; None where that is of another timeline."""
        return None if self.end is None or self.end[0] != self._bus.end[0] else self._bus.end[1] - self.end[1]

    def look(self) -> None:
        """Read the manifest and every segment that is new in it."""
        try:
            shown = read((self._folder / "index.m3u8").read_text())
        except (OSError, ValueError, KeyError) as error:
            self._complain("manifest", f"unreadable: {error!r}")
            return
        last = self._last.sequence if self._last else -1
        if shown.target != self._target or not shown.segments or shown.segments[-1].sequence < last:
            self._complain("manifest", f"target {shown.target}, last {shown.segments[-1:]} after {last}")
            return
        self._judge_numbers(shown)
        for segment in shown.segments:
            if segment.sequence > last:
                self._judge_segment(segment)
            elif segment.name not in self.deleted and not (self._folder / segment.name).exists():
                self._complain("manifest", f"{segment.name} is listed and gone")
        self.deleted &= {segment.name for segment in shown.segments}

    def _judge_numbers(self, shown: Shown) -> None:
        gone = [sequence for sequence in self._flags if sequence < shown.first]
        self._discontinuities += sum(self._flags.pop(sequence) for sequence in gone)
        if shown.discontinuities != self._discontinuities:
            self._complain("manifest", f"DISCONTINUITY-SEQUENCE {shown.discontinuities}, not {self._discontinuities}")
            self._discontinuities = shown.discontinuities
        if max(segment.seconds for segment in shown.segments) > shown.target + 0.5:
            self._complain("manifest", f"a segment is longer than the target of {shown.target} s")

    def _judge_segment(self, segment: Listed) -> None:
        self.segments += 1
        self._flags[segment.sequence] = segment.is_discontinuity
        before, self._last = self._last, segment
        if before is not None and segment.sequence != before.sequence + 1:
            self._complain("manifest", f"segment {segment.sequence} follows {before.sequence}")
        if segment.name != f"segment-{segment.sequence:010d}.ts":
            self._complain("manifest", f"segment {segment.sequence} is called {segment.name[:60]}")
            return
        try:
            data = (self._folder / segment.name).read_bytes()
        except FileNotFoundError:
            if segment.name not in self.deleted:
                self._complain("segments", f"{segment.name} is listed and not there")
            self.end = None
            return
        ticks = round(segment.seconds * 90_000)
        dts = first_dts(data) if data and len(data) % PACKET == 0 else None
        found = None if dts is None else self._bus.find(dts, ticks, len(data))
        if found is None or found[2] != data:
            self._complain("segments", f"{segment.name} is not what was on the bus")
            self.end = None
            return
        self._judge_seam(before, segment, found[0], found[1])
        self.end = found[0], found[1] + ticks

    def _judge_seam(self, before: Listed | None, segment: Listed, timeline: int, dts: int) -> None:
        if before is None or self.end is None:
            return
        goes_on = self.end == (timeline, dts)
        if goes_on == segment.is_discontinuity:
            self._complain("manifest", f"segment {segment.sequence} {'goes on' if goes_on else 'does not go on'}, and says otherwise")
        if goes_on and abs(segment.date - before.date - before.seconds) > 0.002:
            self._complain("manifest", f"PROGRAM-DATE-TIME of segment {segment.sequence} is off")
