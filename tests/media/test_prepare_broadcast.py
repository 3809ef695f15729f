"""What recordings of broadcasts do in their midst: the clock begins anew, the picture changes its shape."""

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import clips
import pytest
from clips import ClipShelf

from channeld.media import clock_samples
from channeld.media.cache import ClipCache
from channeld.media.clip import PreparedClip
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.probe import probe
from channeld.media.profile import Profile

FRAMES = 100
FIRST, SECOND = list(range(FRAMES)), list(range(1000, 1000 + FRAMES))


def made(cache: ClipCache, small: Profile, source: Path, **wishes: float) -> PreparedClip:
    return prepare(PrepareRequest(source, small, **wishes), cache)


def joined(path: Path, parts: Sequence[Path], offsets_s: Sequence[float], *, format: str, options: Sequence[str] = ()) -> Path:
    """Files one behind the other, as `cat` does it, each with its clock moved."""
    with path.open("wb") as file:
        for part, offset_s in zip(parts, offsets_s, strict=True):
            moved = path.with_name(f"moved-{offset_s}-{part.name}")
            command = ["ffmpeg", "-v", "error", "-y", "-i", str(part), "-map", "0", "-c", "copy", "-output_ts_offset", str(offset_s)]
            subprocess.run([*command, *options, "-f", format, str(moved)], check=True, timeout=60)
            with moved.open("rb") as piece:
                shutil.copyfileobj(piece, file)
    return path


def halves(shelf: ClipShelf, kind: str, **facts: object) -> list[Path]:
    suffix = "mkv" if facts.get("codec") == "mpeg2" else "mp4"
    return [
        shelf.get(f"half-{kind}-{base}.{suffix}", clips.numbered_clip, frames=FRAMES, base=base, size=(320, 180), **facts)
        for base in (0, 1000)
    ]


@pytest.mark.parametrize(
    ("format", "offsets_s"),
    [("mpegts", (0, 0)), ("mpegts", (0, 3000)), ("mpegts", (5000, 20)), ("mpegts", (0, 15)), ("dvd", (0, 0)), ("dvd", (0, 3000))],
    ids=["anew", "ahead", "back", "a little ahead", "program stream anew", "program stream ahead"],
)
def test_a_clock_that_jumps_loses_nothing(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path, format: str, offsets_s: tuple[float, float]
) -> None:
    parts = halves(shelf, "mpeg2", codec="mpeg2", acodec="ac3")
    source = joined(tmp_path / f"jumps-{offsets_s[0]}-{offsets_s[1]}.{format}", parts, offsets_s, format=format)
    clip = made(shared_cache, small, source)
    numbers = clips.read_numbers(clip.ts_path)
    assert [number for number in numbers if number in FIRST[:-2]] == FIRST[:-2]
    assert [number for number in numbers if number in SECOND[:-2]] == SECOND[:-2]
    assert abs(len(numbers) - 2 * FRAMES) <= 3, "a few stand twice where the halves meet"
    assert max(map(abs, clips.av_sync(clip.ts_path))) < 60.0
    assert any("clock of the file jumps" in warning for warning in probe(source).warnings)


def test_what_is_wanted_behind_a_jump_is_found(shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path) -> None:
    parts = halves(shelf, "h264")
    source = joined(tmp_path / "parts.ts", [*parts] * 3, [0, 500, 0, 900, 0, 0], format="mpegts")
    clip = made(shared_cache, small, source, in_s=21.0, duration_s=2.0)
    numbers = clips.read_numbers(clip.ts_path)
    assert len(numbers) == 50 and set(numbers) <= set(SECOND) and numbers == sorted(numbers)


@pytest.mark.parametrize("first_s", [0, 2**33 / 90_000 - 4.1], ids=["goes on", "wraps"])
def test_a_clock_that_goes_on_or_wraps_is_left_alone(shelf: ClipShelf, tmp_path: Path, first_s: float) -> None:
    parts = halves(shelf, "mpeg2", codec="mpeg2", acodec="ac3")
    source = joined(tmp_path / "goes-on.ts", parts, [first_s, first_s + FRAMES / 25], format="mpegts")
    assert clock_samples.shortest_jump_s(source) is None
    assert probe(source).jump_s is None


def test_a_program_stream_s_clock_goes_on(shelf: ClipShelf, tmp_path: Path) -> None:
    source = joined(tmp_path / "whole.mpg", halves(shelf, "mpeg2", codec="mpeg2", acodec="ac3")[:1], [0], format="dvd")
    assert clock_samples.shortest_jump_s(source) is None


@pytest.mark.parametrize(("codec", "acodec"), [("h264", "aac"), ("mpeg2", "ac3")])
def test_a_picture_that_changes_its_shape_keeps_its_proportions(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path, codec: str, acodec: str
) -> None:
    """As in a broadcast in 4:3 with advertisements in 16:9, both with the same number of pixels."""
    suffix = "mkv" if codec == "mpeg2" else "mp4"
    size = (360, 288)
    narrow = shelf.get(f"narrow.{suffix}", clips.numbered_clip, frames=FRAMES, size=size, codec=codec, acodec=acodec, filters="setdar=4/3")
    wide = shelf.get(
        f"wide.{suffix}", clips.numbered_clip, frames=FRAMES, size=size, base=1000, codec=codec, acodec=acodec, filters="setdar=16/9"
    )
    source = joined(tmp_path / "shapes.ts", [narrow, wide, narrow], [0, FRAMES / 25, 2 * FRAMES / 25], format="mpegts")
    clip = made(shared_cache, small, source)
    narrow_numbers = clips.read_numbers(clip.ts_path, aspect=Fraction(4, 3))
    wide_numbers = clips.read_numbers(clip.ts_path, aspect=Fraction(16, 9))
    assert narrow_numbers[5:95] == FIRST[5:95]
    assert [number for number in wide_numbers if number in SECOND[5:95]] == SECOND[5:95]
    assert narrow_numbers[-95:-5] == FIRST[-95:-5]
