"""Measured loudness and the gain made of it."""

from pathlib import Path

import clips
import pytest

from channeld.base.units import FrameRate
from channeld.media import loudness
from channeld.media.ffmpeg_args import Voice
from channeld.media.loudness import Loudness
from channeld.media.plan import Plan, Trim, make_plan
from channeld.media.probe import probe


def test_a_sine_is_as_loud_as_the_standard_says(tmp_path: Path, ffmpeg: str, tools):
    """EBU Tech 3341: a sine of 1 kHz in both channels with a peak of L dBFS is of L LUFS."""
    tone = tmp_path / "tone.wav"
    clips._make(tone, ["-f", "lavfi", "-i", "sine=1000:r=48000:d=5", "-af", "volume=-4.95dB,aformat=channel_layouts=stereo"])
    facts = probe(tone)
    plan = make_plan(facts, facts.audio[0], Trim(), FrameRate(25, 1))
    heard = loudness.measure(Voice(tone, facts.audio[0].index, plan), 5.0, tools)
    assert heard.lufs == pytest.approx(heard.peak_dbtp, abs=0.2)
    assert heard.lufs < -20.0


def test_windows_of_a_long_clip_tell_about_the_same(tmp_path: Path, tools):
    tone = tmp_path / "long.wav"
    clips._make(tone, ["-f", "lavfi", "-i", "sine=1000:r=8000:d=400"])
    facts = probe(tone)
    plan = Plan(0.0, 0.0, 10_000, 10_000)
    sampled = loudness.measure(Voice(tone, facts.audio[0].index, plan), 400.0, tools, urgent=True)
    whole = loudness.measure(Voice(tone, facts.audio[0].index, plan), 400.0, tools)
    assert sampled.is_sampled
    assert sampled.lufs == pytest.approx(whole.lufs, abs=0.3)


def test_the_gain_is_capped_and_silence_is_left_alone():
    assert loudness.level(Loudness(-60.0, -40.0), -23.0).gain_db == loudness.MAX_GAIN_DB
    assert loudness.level(Loudness(-70.0, -90.0), -23.0).gain_db == 0.0


def test_a_limiter_stands_only_where_the_gain_would_clip():
    assert not loudness.level(Loudness(-30.0, -10.0), -23.0).is_limited
    assert loudness.level(Loudness(-30.0, -7.0), -23.0).is_limited


def test_quiet_windows_do_not_pull_the_mean():
    assert loudness.combine([Loudness(-20.0, -3.0), Loudness(-60.0, -50.0)]).lufs == pytest.approx(-20.0)
