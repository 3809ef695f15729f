"""The house format as values."""

from dataclasses import replace

import pytest

from channeld.base.units import FrameRate
from channeld.media.profile import Profile, profile_key
from channeld.ts.nal import VideoCodec

HD = Profile("720p30", 1280, 720, FrameRate(30, 1), 3_000_000, 128_000)


def test_a_profile_of_another_name_keeps_its_clips():
    assert profile_key(HD, "x") == profile_key(replace(HD, name="other", audio_language="deu"), "x")


@pytest.mark.parametrize(
    "change", [{"width": 1920}, {"fps": FrameRate(25, 1)}, {"video_bitrate": 1}, {"loudness": -16.0}, {"preset": "slow"}]
)
def test_whatever_shapes_bytes_changes_the_key(change):
    assert profile_key(HD, "x") != profile_key(replace(HD, **change), "x")


def test_another_encoder_changes_the_key():
    assert profile_key(HD, "x264 164") != profile_key(HD, "x264 165")


@pytest.mark.parametrize(
    ("size", "fps", "level"),
    [((320, 180), 25, "3.0"), ((1280, 720), 30, "3.1"), ((1920, 1080), 30, "4.0"), ((1920, 1080), 60, "4.2"), ((3840, 2160), 60, "5.2")],
)
def test_the_level_is_the_lowest_that_holds_the_picture(size, fps, level):
    assert replace(HD, width=size[0], height=size[1], fps=FrameRate(fps, 1)).level == level


@pytest.mark.parametrize(
    ("size", "fps", "bitrate", "level"),
    [
        ((320, 180), 25, 400_000, "3.0"),
        ((1280, 720), 30, 3_000_000, "3.1"),
        ((1920, 1080), 30, 6_000_000, "4.0"),
        ((1920, 1080), 30, 10_000_000, "4.1"),
        ((3840, 2160), 60, 15_000_000, "5.1"),
    ],
)
def test_of_h265_too(size, fps, bitrate, level):
    profile = replace(HD, codec=VideoCodec.H265, width=size[0], height=size[1], fps=FrameRate(fps, 1), video_bitrate=bitrate)
    assert profile.level == level


def test_clips_prepared_before_there_was_a_choice_of_codec_keep_their_key():
    assert profile_key(HD, "x264 164") == "f254aa76f8c05a5a495961ba"
    assert profile_key(HD, "x") != profile_key(replace(HD, codec=VideoCodec.H265), "x")


def test_an_odd_size_is_refused():
    with pytest.raises(ValueError, match="even"):
        replace(HD, width=1281)


def test_a_gop_is_whole_frames_at_broken_rates():
    assert replace(HD, fps=FrameRate(30000, 1001)).gop_frames == 60
