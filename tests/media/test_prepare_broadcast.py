"""What recordings of broadcasts do in their midst: the clock begins anew, the picture changes its shape."""

import errno
import random
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import ClipShelf
from judge.decode import audio_samples, decode_faults, gray_frames
from judge.marks import beep_onsets, flash_onsets
from prepared import TINY

from channeld.base.errors import PrepareError
from channeld.media import clock_samples, loudness
from channeld.media.cache import ClipCache
from channeld.media.child import ChildStopped
from channeld.media.clip import PreparedClip
from channeld.media.extents import measure_ends
from channeld.media.ffmpeg_args import Sound, Voice, even_args, prepare_args
from channeld.media.plan import Plan
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.probe import look, probe
from channeld.media.profile import Profile
from channeld.media.tools import find_tools
from channeld.media.verdict import Tolerance

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
    [
        pytest.param("mpegts", (0, 0), id="anew"),
        pytest.param("mpegts", (0, 2.5), id="a little back"),
        pytest.param("mpegts", (0, 3000), id="ahead"),
        pytest.param("mpegts", (5000, 20), id="back"),
        pytest.param("mpegts", (0, 15), id="a little ahead"),
        pytest.param("dvd", (0, 0), id="program stream anew"),
        pytest.param("dvd", (0, 3000), id="program stream ahead"),
    ],
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


def test_jumps_that_make_up_for_each_other_are_jumps(shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path) -> None:
    source = joined(tmp_path / "there-and-back.ts", [*halves(shelf, "h264"), halves(shelf, "h264")[0]], [0, 3000, 8], format="mpegts")
    numbers = clips.read_numbers(made(shared_cache, small, source).ts_path)
    assert abs(len(numbers) - 3 * FRAMES) <= 3 and set(SECOND[:-2]) <= set(numbers)


def test_a_file_that_takes_too_long_to_read_is_told_of(shelf: ClipShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[str]:
        return ["sleep", "30"]

    source = joined(tmp_path / "slow.ts", halves(shelf, "h264"), [0, 0], format="mpegts")
    monkeypatch.setattr("channeld.media.extents.whole_packets_args", refuse)
    facts = measure_ends(source, look(source, timeout_s=20, tools=find_tools()), tools=find_tools(), timeout_s=20, whole_s=0.5)
    assert facts.jump_s is None and "its clock may jump" in facts.warnings[0]


def test_sound_that_changes_stays_with_pictures_whose_clock_jumps(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path
) -> None:
    """Each part's sound ends long before its pictures."""
    parts = []
    for number, part in enumerate(with_sounds(shelf, "ac3") * 2):
        short = tmp_path / f"short-{number}.ts"
        cut = ["-filter_complex", "[0:a]atrim=end=3.1[a]", "-map", "0:v", "-map", "[a]", "-c:v", "copy", "-c:a", "ac3"]
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(part), *cut, str(short)], check=True, timeout=60)
        parts.append(short.read_bytes())
    (source := tmp_path / "short-sounds.ts").write_bytes(b"".join(parts))
    clip = made(shared_cache, small, source)
    pictures = list(gray_frames(clip.ts_path))
    flashes, beeps = np.array(flash_onsets(pictures)) / 25, np.array(beep_onsets(audio_samples(clip.ts_path)))
    offsets = [min(abs(beep - flashes)) for beep in beeps]
    assert len(beeps) >= 10 and max(offsets) < 0.06


def test_no_more_of_the_file_is_read_than_a_part_of_it_needs(shelf: ClipShelf, tmp_path: Path) -> None:
    """Neither of the tracks that are read for their clock alone."""
    plan = Plan(0.0, 2.0, 50, 50, jump_s=4.0)
    source = joined(tmp_path / "long.ts", with_sounds(shelf, "aac")[:1] * 5, [n * FRAMES / 25 for n in range(5)], format="mpegts")
    facts = probe(source)
    assert facts.video is not None
    own = Voice(source, facts.audio[0].index, plan)
    for argv in (
        even_args(own, 2.0, find_tools(), followed=facts.video.index),
        prepare_args(source, facts.video, own, plan, TINY, Sound(), find_tools(), is_apart=True, followed=facts.audio[0].index),
    ):
        said = subprocess.run(argv, capture_output=True, check=True, timeout=60).stderr.decode(errors="replace")
        decoded = [int(count) for count in re.findall(r"(\d+) frames decoded", said)]
        assert decoded and max(decoded) < 48_000 / 1024 * 8, "of twenty seconds"


def test_a_stop_ends_the_reading_of_a_whole_file(shelf: ClipShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = joined(tmp_path / "stopped.ts", halves(shelf, "h264"), [0, 0], format="mpegts")
    monkeypatch.setattr("channeld.media.extents.whole_packets_args", lambda *_: ["sleep", "60"])
    begun_s = time.monotonic()
    with pytest.raises(ChildStopped):
        probe(source, should_stop=lambda: time.monotonic() - begun_s > 2.0)


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


def with_sounds(shelf: ClipShelf, acodec: str) -> list[Path]:
    """A half in stereo, and one in 5.1, whose channels together are as loud."""
    facts = {"frames": FRAMES, "size": (320, 180), "acodec": acodec}
    quiet = ("-filter:a", "volume=-7.6dB")
    return [
        shelf.get(f"stereo-{acodec}.mp4", clips.numbered_clip, **facts),
        shelf.get(f"surround-{acodec}.mp4", clips.numbered_clip, base=1000, channels=6, options=quiet, **facts),
    ]


@pytest.mark.parametrize(("acodec", "suffix"), [("ac3", "ts"), ("ac3", "mkv"), ("aac", "ts")])
def test_sound_between_stereo_and_surround_airs_in_time(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path, acodec: str, suffix: str
) -> None:
    parts = with_sounds(shelf, acodec)
    source = joined(tmp_path / "channels.ts", [*parts, *parts], [n * FRAMES / 25 for n in range(4)], format="mpegts")
    if suffix != "ts":
        into = source.with_suffix(f".{suffix}")
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, "-map", "0", "-c", "copy", into], check=True, timeout=60)
        source = into
    grown: list[int] = []
    request = PrepareRequest(source, small)
    clip = prepare(request, shared_cache, on_block=lambda progress: grown.append(progress.clip.frames))
    numbers = clips.read_numbers(clip.ts_path)
    assert [number for number in numbers if number in FIRST[5:95]] == FIRST[5:95] * 2
    assert [number for number in numbers if number in SECOND[5:95]] == SECOND[5:95] * 2
    assert len(clips.av_sync(clip.ts_path)) >= 12 and max(map(abs, clips.av_sync(clip.ts_path))) < 30.0
    assert decode_faults(clip.ts_path, frames=clip.frames) == []
    assert grown == sorted(grown), "it was heard before that the sound changes, and the clip begun once"


def test_what_was_not_heard_before_is_seen_as_it_comes(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long clip that is urgent is listened to in parts."""
    monkeypatch.setattr(loudness, "SAMPLED_FROM_S", 1.0)
    source = joined(tmp_path / "channels.ts", with_sounds(shelf, "ac3") * 2, [2 + n * FRAMES / 25 for n in range(4)], format="mpegts")
    clip = prepare(PrepareRequest(source, small, urgent=True), shared_cache)
    assert len(clips.av_sync(clip.ts_path)) == 16


def test_a_part_of_it_is_cut_out_exactly(shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path) -> None:
    """From behind one change to behind another, far enough in that the file is sought in."""
    parts = with_sounds(shelf, "ac3")
    source = joined(tmp_path / "channels.ts", parts * 4, [n * FRAMES / 25 for n in range(8)], format="mpegts")
    clip = made(shared_cache, small, source, in_s=21.0, duration_s=6.0)
    numbers = clips.read_numbers(clip.ts_path)
    assert len(numbers) == 150 and numbers[:70] == SECOND[25:95] and numbers[-45:] == FIRST[30:75]
    assert max(map(abs, clips.av_sync(clip.ts_path))) < 30.0


def test_radio_that_changes_its_sound_airs_on_its_card(shared_cache: ClipCache, small: Profile, tmp_path: Path) -> None:
    pieces = []
    for channels in (2, 6, 1):
        piece = tmp_path / f"{channels}.aac"
        sine = ["-f", "lavfi", "-i", f"sine=frequency={400 * channels}:duration=3", "-ac", str(channels), "-c:a", "aac"]
        subprocess.run(["ffmpeg", "-v", "error", *sine, str(piece)], check=True, timeout=60)
        pieces.append(piece.read_bytes())
    (source := tmp_path / "radio.aac").write_bytes(b"".join(pieces))
    clip = made(shared_cache, small, source)
    loud = np.abs(audio_samples(clip.ts_path)) > 0.005
    assert clip.frames == pytest.approx(9 * small.fps.num / small.fps.den, abs=4)
    assert all(loud[second * 48_000 : (second + 1) * 48_000].mean() > 0.5 for second in range(8))


def test_damage_to_sound_that_changes_is_judged(shared_cache: ClipCache, small: Profile, tmp_path: Path) -> None:
    pieces = []
    for channels in (2, 6):
        piece = tmp_path / f"{channels}.aac"
        noise = ["-f", "lavfi", "-i", "anoisesrc=duration=6:seed=1", "-ac", str(channels), "-c:a", "aac"]
        subprocess.run(["ffmpeg", "-v", "error", *noise, str(piece)], check=True, timeout=60)
        pieces.append(piece.read_bytes())
    payload = bytearray(b"".join(pieces))
    dice = random.Random(1)
    at, number = 0, 0
    while at < len(payload) - 7:
        length = (payload[at + 3] & 3) << 11 | payload[at + 4] << 3 | payload[at + 5] >> 5
        if number % 3 == 0:
            payload[at + 9 : at + length] = dice.randbytes(length - 9)
        at, number = at + length, number + 1
    (source := tmp_path / "damaged.aac").write_bytes(payload)
    with pytest.raises(PrepareError, match="damaged"):
        made(shared_cache, small, source)


def test_no_memory_for_the_sound_is_not_held_against_the_clip(
    cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = joined(tmp_path / "channels.ts", with_sounds(shelf, "ac3"), [0, FRAMES / 25], format="mpegts")
    for status, error in ((1, OSError), (0, OSError), (2, PrepareError)):
        said = "[error] Cannot allocate memory" if error is OSError else "[error] something else"
        child = ["sh", "-c", f"echo '{said}' >&2; exit {status}"]
        monkeypatch.setattr("channeld.media.even_sound.even_args", lambda *_, argv=child, **__: argv)
        with pytest.raises(error, match="memory" if error is OSError else "could not be decoded"):
            made(cache, small, source)


def test_what_the_disk_has_no_room_for_is_not_held_against_the_clip(
    cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = halves(shelf, "stereo") + halves(shelf, "surround", channels=6)[1:]
    source = joined(tmp_path / "channels.ts", parts, [n * FRAMES / 25 for n in range(3)], format="mpegts")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("channeld.media.even_sound.tempfile.TemporaryFile", refuse)
    with pytest.raises(OSError, match="No space"):
        made(cache, small, source)
    monkeypatch.undo()
    assert made(cache, small, source).frames == pytest.approx(3 * FRAMES, abs=1)


def test_a_picture_has_the_sound_of_its_own_program(shared_cache: ClipCache, small: Profile, tmp_path: Path) -> None:
    """Radio stands before television in one stream, and another television behind."""
    source = tmp_path / "programs.ts"
    generated = ["sine=400:d=3", "testsrc2=s=320x180:r=25:d=3", "anullsrc=d=3", "color=red:s=160x90:r=25:d=3", "sine=900:d=3"]
    inputs = [word for each in generated for word in ("-f", "lavfi", "-t", "3", "-i", each)]
    maps = [word for number in range(5) for word in ("-map", str(number))]
    programs = ["-program", "title=radio:st=0", "-program", "title=one:st=1:st=2", "-program", "title=two:st=3:st=4"]
    command = ["ffmpeg", "-v", "error", *inputs, *maps, *programs, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", str(source)]
    subprocess.run(command, check=True, timeout=60)
    facts = probe(source)
    assert facts.video is not None and [track.index - facts.video.index for track in facts.audio] == [1]
    assert len(facts.dropped_tracks(facts.audio[0])) == 3
    clip = made(shared_cache, small, source)
    assert np.abs(audio_samples(clip.ts_path)).max() < 0.001, "neither the radio's sound nor the other program's"


def test_a_recording_that_begins_far_before_its_first_key_frame_airs(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, tmp_path: Path
) -> None:
    """Ten seconds from one key frame to the next, as on the web, and cut behind the first."""
    options = ("-g", "250", "-keyint_min", "250", "-sc_threshold", "0")
    whole = shelf.get("long-gops.ts", clips.numbered_clip, frames=1500, size=(160, 90), options=options)
    payload = whole.read_bytes()
    (source := tmp_path / "late.ts").write_bytes(payload[len(payload) // 188 // 30 * 188 :])
    facts = probe(source)
    assert facts.video is not None and facts.video.picture.width == 160 and facts.warnings == ()
    # In an hour the pictures that nobody can decode are few; here they are many.
    clip = prepare(PrepareRequest(source, small), shared_cache, tolerance=Tolerance(max_errors=0.5))
    pictures = list(gray_frames(clip.ts_path))
    numbers = clips.read_numbers(pictures)
    assert set(numbers[:100]) == {250}, "the first whole picture stands until its time"
    assert numbers[-1200:] == list(range(300, 1500))
    flashes, beeps = np.array(flash_onsets(pictures)) / 25, np.array(beep_onsets(audio_samples(clip.ts_path)))
    assert len(flashes) == 50 and np.abs(beeps[-50:] - flashes).max() < 0.03
    part = made(shared_cache, small, source, in_s=30.0, duration_s=4.0)
    assert clips.read_numbers(part.ts_path) == numbers[750:850]


@pytest.mark.parametrize("in_s", [16.0, 33.0, 45.6])
def test_a_part_begins_with_its_own_picture_however_far_from_a_key_frame(
    shared_cache: ClipCache, small: Profile, shelf: ClipShelf, in_s: float
) -> None:
    """In a transport stream FFmpeg seeks a moment, and whatever stands before the next key frame is lost."""
    options = ("-g", "250", "-keyint_min", "250", "-sc_threshold", "0")
    source = shelf.get("long-gops.ts", clips.numbered_clip, frames=1500, size=(160, 90), options=options)
    numbers = clips.read_numbers(made(shared_cache, small, source, in_s=in_s, duration_s=2.0).ts_path)
    first = round(in_s * 25)
    assert numbers == list(range(first, first + 50))
