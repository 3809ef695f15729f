"""The timeline that a channel aired, picture by picture, and how a recording of it is held against it.

Rule: the daemon's as-run says what aired and how long; every number that decodes must then stand in its one place.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from judge.decode import SAMPLE_RATE, audio_samples, audio_start, clicks, decode_faults, frame_times, gray_frames
from judge.marks import read_number
from judge.ts import Allowances

WATCHED = Allowances(open_end=True)
"""What a spliced stream may do that is left at any moment: nothing but end."""
REORDERED = 4
_MARGIN_S = 0.3

Numbers = list[int | None]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A numbered clip as the playlist trims it: the number of its first picture, and how many pictures air."""

    first: int
    frames: int
    aspect: Fraction | None = None


DECK = {f"d{number}.mp4": Numbered(1000 * (number + 1), 30) for number in range(8)}
"""Clips of 1.2 s in the house's own rate and shape, so that boundaries come often; the fixture `deck` makes them."""

LONG, LONG_FRAMES = "long.mp4", 250


@dataclass(frozen=True, slots=True)
class Timeline:
    """All pictures from the channel's first on: the number of each, None where the clip has none; `joins` are first pictures."""

    numbers: tuple[int | None, ...]
    joins: tuple[int, ...]
    paths: tuple[str | None, ...]
    """What begins at each join; None is the filler."""

    def place(self, seen: Numbers) -> int:
        """Which picture of the timeline is the recording's first. Raises ValueError when no place fits all the numbers."""
        at = next((index for index, number in enumerate(seen) if number is not None), None)
        if at is None:
            raise ValueError("no number can be read in the recording")
        candidates = [index - at for index, number in enumerate(self.numbers) if number == seen[at]]
        misfits = {shift: self._misfits(seen, shift) for shift in candidates}
        best = min(misfits, key=lambda shift: len(misfits[shift]), default=None)
        if best is None:
            raise ValueError(f"picture {at} shows {seen[at]}, which never aired")
        if misfits[best]:
            raise ValueError(f"{len(misfits[best])} pictures are out of place, first: {misfits[best][:6]}")
        return best

    def _misfits(self, seen: Numbers, shift: int) -> list[str]:
        if shift < 0:
            return [f"the recording begins {-shift} pictures before the timeline"]
        aired = self.numbers[shift : shift + len(seen)]
        pairs = enumerate(zip(seen, aired, strict=False))
        return [f"picture {at} shows {number} instead of {wanted}" for at, (number, wanted) in pairs if number != wanted]


def timeline_of(airings: Sequence[dict[str, Any]], numbered: Mapping[str, Numbered]) -> Timeline:
    """From as-run, oldest first, up to the last airing that ended. `numbered` by path as listed."""
    numbers: list[int | None] = []
    joins: list[int] = []
    paths: list[str | None] = []
    for airing in airings:
        if airing["frames"] is None:
            break
        joins.append(len(numbers))
        paths.append(airing["path"])
        marks = numbered.get(airing["path"] or "")
        shown = range(marks.first, marks.first + min(marks.frames, airing["frames"])) if marks else range(0)
        numbers += [*shown, *[None] * (airing["frames"] - len(shown))]
    return Timeline(tuple(numbers), tuple(joins), tuple(paths))


def read_pictures(path: Path) -> Numbers:
    """The number in every decoded picture of a recording, in order of time."""
    return [read_number(picture) for picture in gray_frames(path)]


def content_faults(path: Path, timeline: Timeline, *, must_show: Collection[int] = (), is_cut: bool = False) -> list[str]:
    """Sentences on a recording that does not decode, shows pictures elsewhere than they aired, or clicks at a join.

    `is_cut`: it ends anywhere in the order of decoding, so that pictures which are shown before its last one may lack.
    """
    found = decode_faults(path)
    seen = read_pictures(path)
    seen = seen[:-REORDERED] if is_cut else seen
    missing = sorted(set(must_show) - set(seen))
    found += [f"{len(missing)} pictures are missing, first: {missing[:6]}"] if missing else []
    try:
        shift = timeline.place(seen)
    except ValueError as error:
        return [*found, str(error)]
    return found + _click_faults(path, [join - shift for join in timeline.joins])


def _click_faults(path: Path, joins: Sequence[int]) -> list[str]:
    """`joins` are numbers of decoded pictures; those outside of the recording are left out."""
    times, begin = frame_times(path), audio_start(path)
    samples = audio_samples(path)
    latest_s = len(samples) / SAMPLE_RATE - _MARGIN_S
    inside = [float(times[join] - begin) for join in joins if 0 < join < len(times)]
    joins_s = [at for at in inside if _MARGIN_S < at < latest_s]
    if not joins_s:
        return ["no join lies within the recording"]
    return [f"click at {click.at_s:.3f} s: step {click.step:.4f}, allowed {click.allowed:.4f}" for click in clicks(samples, joins_s)]
