"""The judge that decodes hears clicks, sees numbers, and repeats what FFmpeg complains about."""

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import av_sync, numbered_clip, read_numbers
from judge.decode import SAMPLE_RATE, Samples, audio_samples, click_at, clicks, decode_faults, decode_fully, gray_frames

from .conftest import HOUSE


def test_a_good_stream_decodes_without_a_word(good: Path) -> None:
    assert decode_faults(good, frames=100) == []
    assert decode_faults(good, frames=99) == ["100 frames decode instead of 99"]


def test_damaged_pictures_and_no_pictures_at_all_are_complained_about(good: Path, tmp_path: Path) -> None:
    raw = bytearray(good.read_bytes())
    for at in range(len(raw) // 4 // 188 * 188 + 100, len(raw) // 2, 188):
        raw[at : at + 8] = bytes(8)
    broken = tmp_path / "broken.ts"
    broken.write_bytes(raw)
    assert decode_fully(broken).complaints
    text = tmp_path / "text.ts"
    text.write_text("no stream")
    assert decode_fully(text).exit_status != 0
    assert decode_faults(text) != []


def test_the_numbers_are_read_from_every_picture(good: Path) -> None:
    assert read_numbers(good) == list(range(7000, 7100))


def test_a_repeated_and_a_lost_picture_are_seen(good: Path) -> None:
    pictures = list(gray_frames(good))
    assert read_numbers([*pictures[:5], pictures[4], *pictures[6:9]]) == [7000, 7001, 7002, 7003, 7004, 7004, 7006, 7007, 7008]


@pytest.mark.parametrize(
    ("size", "filters"),
    [
        ((640, 480), "scale=960:720,pad=1280:720:-1:-1"),
        ((360, 640), "scale=404:720,pad=1280:720:-1:-1"),
        ((640, 270), "scale=640:270,pad=640:360:-1:-1"),
        ((320, 180), "scale=1280:720"),
        ((640, 360), "scale=160:90"),
    ],
)
def test_numbers_survive_scaling_boxing_and_a_low_bitrate(tmp_path: Path, size: tuple[int, int], filters: str) -> None:
    boxed = numbered_clip(
        tmp_path / "boxed.mp4", frames=60, size=size, base=0xABCDE0, audio=None, filters=filters, options=(*HOUSE[:-1], "1M")
    )
    assert read_numbers(boxed, aspect=Fraction(*size)) == list(range(0xABCDE0, 0xABCDE0 + 60))


def test_a_picture_without_a_number_reads_as_none() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (360, 640), dtype=np.uint8)
    flat = np.full((360, 640), 128, dtype=np.uint8)
    assert read_numbers([noise, flat]) == [None, None]


def test_two_pictures_blended_do_not_read_as_a_number(good: Path) -> None:
    pictures = list(gray_frames(good))
    blended = ((pictures[7].astype(int) + pictures[56].astype(int)) // 2).astype(np.uint8)
    assert read_numbers([blended])[0] not in range(7000, 7007)


def test_sound_and_picture_of_a_clip_are_together(source: Path, good: Path) -> None:
    assert np.abs(av_sync(source)).max() < 1.0
    assert np.abs(av_sync(good)).max() < 1.0
    assert len(av_sync(good)) == 4


@pytest.mark.parametrize("late_ms", [-40, 15, 120])
def test_sound_that_is_late_or_early_is_measured_to_a_millisecond(source: Path, tmp_path: Path, late_ms: int) -> None:
    shifted = tmp_path / "late.mkv"
    inputs = ("-i", f"file:{source}", "-itsoffset", str(late_ms / 1000), "-i", f"file:{source}")
    options = ("-map", "0:v", "-map", "1:a", "-c", "copy", f"file:{shifted}")
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *inputs, *options], check=True, timeout=60)
    assert av_sync(shifted) == pytest.approx([late_ms] * 4, abs=1.5)


def _tone(seconds: float, amplitude: float = 0.3) -> Samples:
    time_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = amplitude * np.sin(2 * np.pi * 440 * time_s)
    return np.stack((wave, wave), axis=1).astype(np.float32)


def test_real_decoded_sound_has_no_click(good: Path) -> None:
    assert clicks(audio_samples(good), [0.7, 1.5, 2.0, 3.0]) == []


@pytest.mark.parametrize("channel", [0, 1])
def test_one_wrong_sample_in_one_channel_is_a_click(good: Path, channel: int) -> None:
    samples = audio_samples(good).copy()
    samples[int(2.003 * SAMPLE_RATE), channel] += 0.1
    found = clicks(samples, [0.7, 2.0, 3.0])
    assert [click.at_s for click in found] == [2.0]
    assert found[0].step > found[0].allowed


def test_a_jump_of_phase_is_a_click_and_a_fade_is_not() -> None:
    samples = _tone(2.0)
    jumped = np.concatenate((samples[: SAMPLE_RATE + 27], samples[SAMPLE_RATE + 81 :]))
    assert [click.at_s for click in clicks(jumped, [0.5, 1.0])] == [1.0]
    faded = samples.copy()
    length = SAMPLE_RATE // 200
    faded[SAMPLE_RATE - length : SAMPLE_RATE] *= np.linspace(1, 0, length, dtype=np.float32)[:, None]
    faded[SAMPLE_RATE : SAMPLE_RATE + length] *= np.linspace(0, 1, length, dtype=np.float32)[:, None]
    assert clicks(faded, [1.0]) == []


def test_what_nobody_hears_is_no_click() -> None:
    samples = np.zeros((SAMPLE_RATE, 2), dtype=np.float32)
    samples[SAMPLE_RATE // 2] = 0.003
    assert clicks(samples, [0.5]) == []
    samples[SAMPLE_RATE // 2] = 0.004
    assert clicks(samples, [0.5]) == [replace(click_at(samples, 0.5), at_s=0.5)]


def test_a_join_outside_of_the_sound_is_an_error_of_the_test() -> None:
    with pytest.raises(ValueError, match="outside"):
        clicks(_tone(1.0), [1.2])
