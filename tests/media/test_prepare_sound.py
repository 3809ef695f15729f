"""Sound that does not go along with its pictures: it ends, pauses, begins late, is not the first track, or lost packets."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import ClipShelf
from judge.decode import audio_samples
from prepared import blocks_of

from channeld.media.cache import ClipCache
from channeld.media.clip import PreparedClip
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.profile import Profile

AUDIO_UNITS_A_SECOND = 48_000 / 1024
FRAMES = 600


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True, timeout=120)


def generated(*sources: str) -> list[str]:
    return [word for source in sources for word in ("-f", "lavfi", "-i", source)]


def made(cache: ClipCache, small: Profile, source: Path) -> PreparedClip:
    return prepare(PrepareRequest(source, small), cache)


def loud_seconds(clip: PreparedClip) -> list[int]:
    """Seconds of which more than half is heard."""
    loud = np.abs(audio_samples(clip.ts_path)) > 0.005
    return [second for second in range(len(loud) // 48_000) if loud[second * 48_000 : (second + 1) * 48_000].mean() > 0.5]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 s without sound."""
    path = tmp_path_factory.mktemp("pictures") / "pictures.mp4"
    return clips.numbered_clip(path, frames=FRAMES, size=(320, 180), audio=None)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    ("sounds", "late_s", "heard"),
    [
        ("sine=d=4", 0, range(4)),
        ("sine=d=24,aselect='lt(t,4)+gt(t,20)'", 0, [0, 1, 2, 3, 20, 21, 22, 23]),
        ("sine=d=8", 16, range(16, 24)),
    ],
    ids=["ends", "pauses", "begins late"],
)
def test_every_block_has_its_sound_wherever_the_files_own_is(
    shared_cache: ClipCache, small: Profile, pictures: Path, tmp_path: Path, suffix: str, sounds: str, late_s: int, heard: Iterable[int]
) -> None:
    """Longer than a muxer waits (10 s). In a transport stream FFmpeg takes a pause of that length for a jump of the clock."""
    if suffix == "ts" and "aselect" in sounds:
        sounds, heard = sounds.replace("20", "12"), [0, 1, 2, 3, *range(12, 24)]
    sound, source = tmp_path / "sound.mka", tmp_path / f"clip.{suffix}"
    ffmpeg(*generated(sounds), "-c:a", "aac", sound)
    ffmpeg("-i", pictures, "-itsoffset", late_s, "-i", sound, "-map", "0:v", "-map", "1:a", "-c", "copy", source)
    clip = made(shared_cache, small, source)
    blocks = blocks_of(clip)
    assert sum(len(block.video) for block in blocks) == FRAMES
    for block in blocks[:-1]:
        assert len(block.audio) == pytest.approx(len(block.video) / 25 * AUDIO_UNITS_A_SECOND, abs=8)
    assert loud_seconds(clip) == list(heard)


def test_a_track_that_begins_earlier_and_does_not_air_moves_nothing(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path
) -> None:
    numbered, source = shelf.get("six-seconds.mp4", clips.numbered_clip, frames=150), tmp_path / "two.ts"
    inputs = ("-itsoffset", 2, "-i", numbered, *generated("sine=f=900:d=8"))
    ffmpeg(*inputs, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "mp2", source)
    clip = made(shared_cache, small, source)
    assert clips.read_numbers(clip.ts_path) == list(range(150))
    assert max(map(abs, clips.av_sync(clip.ts_path))) < 15


def test_lost_packets_of_sound_are_silence_and_what_follows_is_on_time(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path
) -> None:
    numbered, source = shelf.get("twelve-seconds.mp4", clips.numbered_clip, frames=300), tmp_path / "lost.ts"
    ffmpeg("-i", numbered, "-c", "copy", "-bsf:a", r"noise=drop='between(n\,125\,127)'", source)
    assert max(map(abs, clips.av_sync(made(shared_cache, small, source).ts_path))) < 33


def test_a_track_without_packets_is_passed_over(shared_cache: ClipCache, small: Profile, tmp_path: Path) -> None:
    source = tmp_path / "empty.mkv"
    maps = ("-map", "0:v", "-map", "1:a", "-map", "2:a", "-filter:a:0", "atrim=end=0")
    ffmpeg(*generated("testsrc=s=320x240:r=25:d=3", "anullsrc", "sine=d=3"), *maps, "-t", 3, "-c:v", "libx264", "-c:a", "aac", source)
    assert loud_seconds(made(shared_cache, small, source)) == [0, 1, 2]


@pytest.mark.parametrize(("name", "options"), [("a.mp3", ["-q:a", 0, "-write_xing", 0]), ("a.aac", ["-q:a", 2])])
def test_sound_that_declares_no_length_is_not_held_to_a_guess(
    shared_cache: ClipCache, small: Profile, tmp_path: Path, name: str, options: list[object]
) -> None:
    """Quiet at first: what FFmpeg takes the rest to be by its bit rate is many times as long."""
    source = tmp_path / name
    ffmpeg(*generated("aevalsrc='if(lt(t,4),0,0.8*(random(0)-0.5))':d=24"), *options, source)
    assert loud_seconds(made(shared_cache, small, source)) == list(range(4, 24))


def test_sound_alone_is_judged_by_its_own_track_not_by_the_card(shared_cache: ClipCache, small: Profile, tmp_path: Path) -> None:
    second, damaged = tmp_path / "second.mka", tmp_path / "damaged.mp4"
    chosen = ("-map", "0:a", "-map", "1:a", "-disposition:a:0", 0, "-disposition:a:1", "default")
    ffmpeg(*generated("anullsrc", "sine=d=4"), *chosen, "-t", 4, "-c:a", "flac", second)
    assert loud_seconds(made(shared_cache, small, second)) == [0, 1, 2, 3]
    ffmpeg(*generated("anoisesrc=d=20:a=0.3"), "-c:a", "aac", damaged)
    content = bytearray(damaged.read_bytes())
    for at in range(20_000, 24_000, 97):
        content[at] ^= 0xFF
    damaged.write_bytes(content)
    assert any("sound" in warning for warning in made(shared_cache, small, damaged).facts["warnings"])


@pytest.mark.parametrize("suffix", ["mkv", "wmv", "mp4"])
def test_pictures_that_end_before_their_sound_are_held(shared_cache: ClipCache, small: Profile, tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"short.{suffix}"
    ffmpeg(*generated("testsrc=s=320x240:r=25:d=3", "sine=d=6"), source)
    assert loud_seconds(made(shared_cache, small, source)) == list(range(6))
