"""What viewers of HLS got from a moment on: every decoded picture held against the loop of numbered clips, and when it came.

Rule: judges segments as they were fetched. A picture's place is its number in the loop, so that losses and repeats of up to half
a loop are told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from judge.decode import gray_frames
from judge.hls_recorder import Fetched, HlsRecorder
from judge.marks import read_number
from judge.ts import Allowances, read_ts

FPS = 25
CLIP_FRAMES, CLIPS = 150, 4
LOOP_FRAMES = CLIP_FRAMES * CLIPS
EARLIER = 4
"""Segments before the moment that tell how late pictures come when nothing is wrong."""
READ_SIZE = (160, 90)
CUT_OUT = Allowances(open_start=True, open_end=True)


def first_number(clip: int) -> int:
    """The number of a clip's first picture."""
    return 1000 * (clip + 1)


def place(number: int) -> int:
    """Where in the loop a picture stands."""
    return (number // 1000 - 1) * CLIP_FRAMES + number % 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures from a moment on. `late_s`: how much later than before they came at worst; `strange`: without a number, as the filler is."""

    pictures: int
    lost: int
    repeated: int
    strange: int
    late_s: float
    discontinuities: int
    faults: tuple[str, ...]

    @property
    def gap_s(self) -> float:
        """What was missed or waited for beyond real time."""
        return round(self.lost / FPS + self.late_s, 2)

    def complaints(self) -> list[str]:
        """All that a channel without a fault must not show."""
        counts = {"lost": self.lost, "repeated": self.repeated, "strange": self.strange, "discontinuities": self.discontinuities}
        return [f"{count} {name}" for name, count in counts.items() if count] + list(self.faults)


def look(viewer: HlsRecorder, since: int, folder: Path, *, allowances: Allowances | None = CUT_OUT) -> Seen:
    """Judge a viewer's segments from number `since` on; the stream itself only with `allowances`. Raises ValueError when there are none."""
    numbers = sorted(number for number in viewer.fetched if number >= since - EARLIER)
    fetched = [viewer.fetched[number] for number in numbers]
    new = [each for number, each in zip(numbers, fetched, strict=True) if number >= since]
    if not new:
        raise ValueError(f"{viewer.url}: no segment since {since}")
    joined = folder / f"seen-{since}-{numbers[-1]}.ts"
    joined.parent.mkdir(parents=True, exist_ok=True)
    joined.write_bytes(b"".join(each.path.read_bytes() for each in fetched))
    read = [read_number(picture) for picture in gray_frames(joined, size=READ_SIZE)]
    joined.unlink()
    places = [None if number is None else place(number) for number in read]
    unwrapped = _unwrap(places)
    seen = unwrapped[_pictures(fetched[: len(fetched) - len(new)]) :]
    shown = {each for each in seen if each is not None}
    return Seen(
        pictures=len(seen),
        lost=max(shown) - min(shown) + 1 - len(shown) if shown else 0,
        repeated=sum(each is not None for each in seen) - len(shown),
        strange=seen.count(None),
        late_s=_late_s(fetched, len(fetched) - len(new), unwrapped),
        discontinuities=sum(each.segment.discontinuity for each in new),
        faults=tuple(_stream_faults(new, allowances)) if allowances else (),
    )


def _unwrap(places: Sequence[int | None]) -> list[int | None]:
    """Places counted on over the loop's ends; a stretch without numbers counts as no time."""
    unwrapped: list[int | None] = []
    last: int | None = None
    shift = 0
    is_after_strange = False
    for each in places:
        if each is not None:
            if last is None:
                last = each
            step = (each - shift - last + LOOP_FRAMES // 2) % LOOP_FRAMES - LOOP_FRAMES // 2
            if is_after_strange:
                shift, step = shift + step - 1, 1
            last += step
        is_after_strange = each is None
        unwrapped.append(None if each is None else last)
    return unwrapped


def _pictures(fetched: Sequence[Fetched]) -> int:
    return round(sum((each.segment.duration_s for each in fetched), Fraction(0)) * FPS)


def _late_s(fetched: Sequence[Fetched], earlier: int, unwrapped: Sequence[int | None]) -> float:
    """How much later than before the moment a segment's last picture came, at worst; in seconds."""
    lags: list[tuple[int, float]] = []
    end = Fraction(0)
    for number, each in enumerate(fetched):
        end += each.segment.duration_s
        at = min(len(unwrapped), round(end * FPS)) - 1
        shown = unwrapped[at] if at >= 0 else None
        if shown is not None:
            lags.append((number, each.at_s - shown / FPS))
    before = [lag for number, lag in lags if number < earlier]
    after = [lag for number, lag in lags if number >= earlier]
    return max(0.0, round(max(after) - max(before), 2)) if before and after else 0.0


def _stream_faults(fetched: Sequence[Fetched], allowances: Allowances) -> list[str]:
    pieces = [each.path.read_bytes() for each in fetched]
    return read_ts(b"".join(pieces), fps=Fraction(FPS), allowances=allowances, segment_bytes=tuple(map(len, pieces))).faults()
