"""Clips of every shape become the same house format: judged by decoding what came out."""

import itertools
import json
import subprocess
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
from judge.decode import audio_samples, decode_faults, gray_frames
from judge.ts import read_ts

from channeld.base.errors import PrepareError
from channeld.base.units import FrameRate
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_card
from channeld.media.child import ChildStopped
from channeld.media.clip import PreparedClip
from channeld.media.job import Progress
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.slate import ensure_filler

SQUARE = Fraction(1)
WIDE = Fraction(16, 9)


def made(cache: ClipCache, small, source: Path, **wishes) -> PreparedClip:
    return prepare(PrepareRequest(source, wishes.pop("profile", small), **wishes), cache)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv", "ts", "mov", "webm"])
def test_at_one_rate_every_source_picture_airs_exactly_once(shared_cache, small, shelf, suffix: str):
    codec, acodec = ("vp8", "opus") if suffix == "webm" else ("h264", "aac")
    source = shelf.get(f"numbered.{suffix}", clips.numbered_clip, frames=75, base=1000, codec=codec, acodec=acodec)
    clip = made(shared_cache, small, source)
    assert clips.read_numbers(clip.ts_path) == list(range(1000, 1075))


def test_ntsc_rates_map_one_to_one_in_matroska_with_its_rounded_timestamps(shared_cache, small, shelf):
    source = shelf.get("ntsc.mkv", clips.numbered_clip, frames=90, fps=Fraction(30000, 1001))
    clip = made(shared_cache, small, source, profile=replace(small, fps=FrameRate(30000, 1001)))
    assert clips.read_numbers(clip.ts_path) == list(range(90))


def test_at_twice_the_house_rate_every_second_picture_airs(shared_cache, small, shelf):
    source = shelf.get("fifty.mkv", clips.numbered_clip, frames=100, fps=50)
    numbers = clips.read_numbers(made(shared_cache, small, source).ts_path)
    assert len(numbers) == 50
    assert set(np.diff(numbers)) == {2}


def test_film_at_25_repeats_pictures_but_loses_none(shared_cache, small, shelf):
    numbers = clips.read_numbers(made(shared_cache, small, shelf.get("film.mkv", clips.film_clip)).ts_path)
    assert sorted(set(numbers)) == list(range(48)) and numbers == sorted(numbers)


def test_variable_rate_becomes_constant_in_order(shared_cache, small, shelf):
    numbers = clips.read_numbers(made(shared_cache, small, shelf.get("vfr.mkv", clips.vfr_clip)).ts_path)
    assert None not in numbers and numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("in_s", "out_s", "first", "count"), [(1.0, 2.0, 25, 25), (0.52, 0.6, 13, 2), (0.0, 99.0, 0, 750), (20.0, 20.4, 500, 10)]
)
def test_trims_are_exact_to_the_frame(shared_cache, small, shelf, in_s, out_s, first, count):
    source = shelf.get("half-minute.mp4", clips.numbered_clip, frames=750)
    clip = made(shared_cache, small, source, in_s=in_s, out_s=out_s)
    assert clips.read_numbers(clip.ts_path) == list(range(first, first + count))


@pytest.mark.parametrize("in_s", [0.0, 15.04])
def test_picture_and_sound_stay_together(shared_cache, small, shelf, in_s):
    source = shelf.get("half-minute.mp4", clips.numbered_clip, frames=750)
    clip = made(shared_cache, small, source, in_s=in_s, duration_s=4.0)
    assert max(abs(offset) for offset in clips.av_sync(clip.ts_path)) < 11.0


@pytest.mark.parametrize(
    ("name", "maker", "aspect"),
    [
        ("rotated.mp4", clips.rotated_clip, Fraction(9, 16)),
        ("hdr.mkv", clips.hdr_clip, WIDE),
        ("full.mp4", clips.full_range_clip, WIDE),
        ("surround.mkv", clips.surround_clip, WIDE),
        ("mono.mp4", clips.mono_clip, WIDE),
        ("silent.mp4", clips.silent_clip, WIDE),
    ],
)
def test_every_shape_comes_out_upright_whole_and_readable(shared_cache, small, shelf, name, maker, aspect):
    clip = made(shared_cache, small, shelf.get(name, maker))
    assert clips.read_numbers(clip.ts_path, aspect=aspect) == list(range(clip.frames))
    assert decode_faults(clip.ts_path, frames=clip.frames) == []


def test_a_gif_of_one_picture_is_an_image_and_one_of_many_moves(shared_cache, small, tmp_path: Path):
    for frames, expected in ((1, 250), (20, 50)):
        source = tmp_path / f"{frames}.gif"
        clips._make(source, ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=10", "-frames:v", str(frames)])
        assert made(shared_cache, small, source).frames == expected


def test_hdr_that_tells_its_transfer_alone_is_brought_to_what_it_means(shared_cache, small, shelf):
    tags = ("-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error:pools=1:transfer=smpte2084")
    source = shelf.get("transfer-alone.mkv", clips.numbered_clip, frames=25, codec="hevc", options=tags)
    assert clips.read_numbers(made(shared_cache, small, source).ts_path) == list(range(25))


@pytest.mark.parametrize("tags", ["transfer=bt709:colormatrix=bt2020nc", "colormatrix=bt2020nc"], ids=["tagged", "without a transfer"])
def test_wide_colours_without_hdr_are_brought_to_the_house_s(shared_cache, small, tmp_path: Path, tags: str):
    wide = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv,zscale=p=bt2020:m=bt2020nc:t=bt709,format=yuv420p10le"
    source = tmp_path / "wide.mkv"
    x265 = f"log-level=error:pools=1:colorprim=bt2020:{tags}"
    clips._make(source, ["-f", "lavfi", "-i", "color=red:s=320x180:r=25:d=1", "-vf", wide, "-c:v", "libx265", "-x265-params", x265])
    clip = made(shared_cache, small, source)
    command = ["ffmpeg", "-v", "error", "-i", str(clip.ts_path), "-frames:v", "1", "-vf", "scale=1:1,format=rgb24", "-f", "rawvideo", "-"]
    red, green, blue = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert red > 240 and max(green, blue) < 30


def test_interlaced_pictures_give_every_field_at_twice_the_rate(shared_cache, small, shelf):
    """The lowest bit changes with every field and so looks like a still comb; the others, and the moving ramp, tell the moments apart."""
    source = shelf.get("fields.mkv", clips.interlaced_clip)
    clip = made(shared_cache, small, source, profile=replace(small, width=640, height=480, fps=FrameRate(50, 1)))
    seen = list(gray_frames(clip.ts_path))
    numbers = clips.read_numbers(seen)
    moments = [number // 2 for number in numbers if number is not None]
    assert clip.frames == 100 and len(moments) >= 96
    assert moments == sorted(moments) and len(set(moments)) == 50
    ramps = [picture[440:470, 330:630].astype(int) for picture in seen[10:90]]
    assert min(np.abs(one - other).mean() for one, other in itertools.pairwise(ramps)) > 1.0


def test_interlaced_pictures_at_the_house_rate_give_one_moment_each(shared_cache, small, shelf):
    source = shelf.get("fields.mkv", clips.interlaced_clip)
    clip = made(shared_cache, small, source, profile=replace(small, width=640, height=480))
    assert clips.read_numbers(clip.ts_path) == list(range(0, 100, 2))


def test_the_stream_is_the_house_format(shared_cache, small, shelf):
    clip = made(shared_cache, small, shelf.get("rotated.mp4", clips.rotated_clip))
    report = read_ts(clip.ts_path)
    colour = "color_range,color_space,color_transfer,color_primaries,chroma_location"
    entries = f"stream=codec_name,profile,width,height,sample_aspect_ratio,level,{colour}"
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", str(clip.ts_path)], capture_output=True, check=True, timeout=60
    )
    video, audio = json.loads(told.stdout)["streams"]
    assert (video["width"], video["height"], video["sample_aspect_ratio"], video["level"], video["profile"]) == (
        320,
        180,
        "1:1",
        30,
        "High",
    )
    assert {video[key] for key in ("color_space", "color_transfer", "color_primaries")} == {"bt709"}
    assert (video["color_range"], video["chroma_location"], audio["profile"]) == ("tv", "left", "LC")
    assert report.video is not None and report.audio is not None
    assert report.video_steps(Fraction(25)) == []
    assert report.audio_steps() == []


def test_sound_begins_and_ends_in_silence_so_that_no_join_clicks(shared_cache, small, shelf):
    source = shelf.get("half-minute.mp4", clips.numbered_clip, frames=750)
    clip = made(shared_cache, small, source, in_s=3.0, duration_s=2.0)
    samples = np.abs(audio_samples(clip.ts_path)).max(axis=1)
    begin = round((float(clips.audio_start(clip.ts_path)) - float(clips.frame_times(clip.ts_path)[0])) * -48000)
    assert samples[begin + 4800 : begin + 9600].max() > 0.01
    assert samples[max(0, begin) : begin + 24].max() < 0.01
    assert samples[begin + 96_000 - 24 : begin + 96_000 + 4800].max() < 0.01


def test_loudness_comes_to_the_profile_s(shared_cache, small, shelf):
    clip = made(shared_cache, small, shelf.get("half-minute.mp4", clips.numbered_clip, frames=750))
    heard = subprocess.run(
        ["ffmpeg", "-nostdin", "-i", str(clip.ts_path), "-map", "0:a", "-af", "ebur128", "-f", "null", "-"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    measured = [float(line.split()[1]) for line in heard.stderr.splitlines() if line.strip().startswith("I:")]
    assert measured[-1] == pytest.approx(-23.0, abs=0.6)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_airs_for_its_duration(shared_cache, small, shelf, suffix):
    clip = made(shared_cache, small, shelf.get(f"still.{suffix}", clips.still_image, number=77), duration_s=3.0)
    assert clips.read_numbers(clip.ts_path) == [77] * 75


def test_an_image_without_a_duration_airs_ten_seconds(shared_cache, small, shelf):
    assert made(shared_cache, small, shelf.get("still.png", clips.still_image, number=77)).duration_s == 10.0


def test_sound_without_a_picture_gets_a_card(shared_cache, small, shelf):
    clip = made(shared_cache, small, shelf.get("sound.m4a", clips.audio_clip))
    assert clip.duration_s == pytest.approx(2.0, abs=0.1)
    assert decode_faults(clip.ts_path, frames=clip.frames) == []


def test_cover_art_stands_for_a_missing_picture(shared_cache, small, shelf, tmp_path: Path):
    cover, sound = shelf.get("still.png", clips.still_image, number=77), shelf.get("sound.m4a", clips.audio_clip)
    song = tmp_path / "song.m4a"
    clips._make(song, ["-i", str(sound), "-i", str(cover), "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"])
    clip = made(shared_cache, small, song)
    assert set(clips.read_numbers(clip.ts_path)) == {77}


def test_the_last_picture_is_held_to_the_end_of_longer_sound(shared_cache, small, shelf, tmp_path: Path):
    picture, sound = shelf.get("silent.mp4", clips.silent_clip), shelf.get("sound-6s.m4a", clips.audio_clip, seconds=6)
    both = tmp_path / "both.mp4"
    clips._make(both, ["-i", str(picture), "-i", str(sound), "-map", "0:v", "-map", "1:a", "-c", "copy"])
    numbers = clips.read_numbers(made(shared_cache, small, both).ts_path)
    assert numbers[:50] == list(range(50))
    assert len(numbers) == pytest.approx(150, abs=2)
    assert set(numbers[50:]) == {49}


def test_captions_in_the_video_are_kept(shared_cache, small, shelf, tmp_path: Path):
    """CEA-608 in SEI, as a broadcast brings it: an A/53 message put before the slices of every picture."""
    source = shelf.get("silent.mp4", clips.silent_clip)
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", "-"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    message = bytes.fromhex("b500314741393403") + bytes([0x41, 0xFF, 0xFC, 0x94, 0x20]) + b"\xff"
    sei = b"\x00\x00\x00\x01\x06\x04" + bytes([len(message)]) + message + b"\x80"
    captioned = tmp_path / "captioned.h264"
    stream = raw.stdout
    for slice_header in (b"\x00\x00\x01\x65", b"\x00\x00\x01\x41", b"\x00\x00\x01\x01", b"\x00\x00\x01\x61"):
        stream = stream.replace(slice_header, sei + slice_header)
    captioned.write_bytes(stream)
    clip = made(shared_cache, small, captioned)
    assert b"\x04\x0b\xb5\x00\x31GA94" in clip.ts_path.read_bytes() or b"\xb5\x00\x31GA94" in clip.ts_path.read_bytes()


def test_a_second_run_finds_the_clip_under_any_name(shared_cache, small, shelf, tmp_path: Path):
    source = shelf.get("numbered.mp4", clips.numbered_clip, frames=75, base=1000)
    first = made(shared_cache, small, source)
    copy = tmp_path / "another name.mp4"
    copy.write_bytes(source.read_bytes())
    assert made(shared_cache, small, copy) == first


def test_a_truncated_file_is_refused_with_what_is_there(shared_cache, small, shelf):
    with pytest.raises(PrepareError, match="cut short"):
        made(shared_cache, small, shelf.get("cut.mkv", clips.truncated_clip))


def test_a_damaged_file_is_refused_and_leaves_nothing(cache, small, shelf, tmp_path: Path):
    source = shelf.get("half-minute.mp4", clips.numbered_clip, frames=750)
    rotten = bytearray(source.read_bytes())
    payload = rotten.index(b"mdat") + 4
    for at in range(payload + 1000, len(rotten) * 3 // 4, 400):
        rotten[at] ^= 0xFF
    damaged = tmp_path / "rotten.mp4"
    damaged.write_bytes(rotten)
    with pytest.raises(PrepareError, match=r"damaged|decoded|FFmpeg"):
        made(cache, small, damaged)
    assert not list(tmp_path.glob("cache/*/*.part"))


def test_a_clip_may_be_read_while_it_grows(cache, small, shelf):
    seen: list[Progress] = []

    def look(progress: Progress) -> None:
        assert progress.clip.growing and progress.clip.ts_path.stat().st_size > 0
        seen.append(progress)

    source = shelf.get("half-minute.mp4", clips.numbered_clip, frames=750)
    clip = prepare(PrepareRequest(source, small), cache, on_block=look)
    lengths = [progress.clip.duration_s for progress in seen]
    assert lengths == sorted(set(lengths)) and len(lengths) > 1 and lengths[-1] < 30.0
    assert seen[-1].total_s == clip.duration_s == 30.0
    assert not seen[-1].clip.ts_path.exists()


def test_a_stop_leaves_no_child_and_no_part(cache, small, shelf, tmp_path: Path):
    stop = threading.Event()
    source = shelf.get("half-minute.mp4", clips.numbered_clip, frames=750)
    with pytest.raises(ChildStopped):
        prepare(PrepareRequest(source, small), cache, on_block=lambda progress: stop.set(), should_stop=stop.is_set)
    assert not list(tmp_path.glob("cache/*/*.part"))


def test_a_filler_that_cannot_be_prepared_is_replaced_by_the_card(cache, small, tmp_path: Path):
    broken = tmp_path / "filler.mp4"
    broken.write_bytes(b"nothing")
    clip = ensure_filler(cache, small, broken, title="Live: One's %{pts}")
    assert clip.duration_s == 10.0
    assert any("filler.mp4" in note for note in cache.notes)
    assert cache.evict(cache.max_bytes, lambda key: None) is None, "a filler is pinned"


def test_the_card_carries_the_channel_s_name(cache, small, tools):
    plain, named = ensure_card(cache, small, "", tools), ensure_card(cache, small, "Sea & Sky", tools)
    difference = next(gray_frames(plain.ts_path)).astype(int) - next(gray_frames(named.ts_path)).astype(int)
    if not Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").exists():
        pytest.skip("no font on this machine")
    assert np.abs(difference).max() > 60
