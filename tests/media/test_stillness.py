"""What FFmpeg tells of silence and still pictures while it prepares becomes few, whole spans."""

import itertools
import subprocess

import pytest

from channeld.media.stillness import MAX_SPANS, SILENCE_FILTER, StillnessLog


def log_of(*lines: str) -> StillnessLog:
    log = StillnessLog()
    for line in lines:
        log.feed(line)
    return log


def test_spans_are_read_and_what_has_not_ended_lasts_to_the_end() -> None:
    log = log_of(
        "[silencedetect @ 0x5] [info] silence_start: -0.01",
        "[silencedetect @ 0x5] [info] silence_end: 2.5 | silence_duration: 2.51",
        "[Parsed_freezedetect_9 @ 0x6] [info] lavfi.freezedetect.freeze_start: 6.04",
        "[Parsed_freezedetect_9 @ 0x6] [info] lavfi.freezedetect.freeze_duration: 1.2",
        "[silencedetect @ 0x5] [info] silence_start: 8.999",
        "[aac @ 0x7] [error] something else",
    )
    assert log.facts(10.0) == {"silent": [[0.0, 2.5], [9.0, 10.0]], "still": [[6.04, 10.0]]}


def test_what_lies_behind_the_clip_is_left_out() -> None:
    """The sound is prepared a little longer than the picture."""
    log = log_of("silence_start: 9.9", "silence_end: 10.3 | silence_duration: 0.4", "silence_start: 10.1")
    assert log.facts(10.0) == {"silent": [[9.9, 10.0]], "still": []}


def test_many_pauses_become_few_spans_that_cover_them_all() -> None:
    log = StillnessLog()
    for number in range(5 * MAX_SPANS):
        log.feed(f"silence_start: {3 * number}")
        log.feed(f"silence_end: {3 * number + 1 + number % 7 / 10} | silence_duration: 1")
    spans = log.facts(1e6)["silent"]
    assert 1 <= len(spans) <= MAX_SPANS
    assert (spans[0][0], spans[-1][1]) == (0.0, 15 * MAX_SPANS - 2 + (5 * MAX_SPANS - 1) % 7 / 10)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))


def test_an_end_without_a_beginning_is_passed_over() -> None:
    assert log_of("silence_end: 3 | silence_duration: 3").facts(10.0) == {"silent": [], "still": []}


def test_the_gaps_of_a_clip_that_beeps_once_a_second_are_heard(ffmpeg: str) -> None:
    beeps = "aevalsrc=0.5*sin(880*2*PI*t)*lt(mod(t\\,1)\\,0.1):d=5"
    line = [ffmpeg, "-hide_banner", "-f", "lavfi", "-i", beeps, "-af", SILENCE_FILTER, "-f", "null", "-"]
    done = subprocess.run(line, capture_output=True, check=True, timeout=30)
    log = StillnessLog()
    for line in done.stderr.decode().splitlines():
        log.feed(line)
    expected = [edge for n in range(5) for edge in (n + 0.1, n + 1.0)]
    assert [edge for span in log.facts(5.0)["silent"] for edge in span] == pytest.approx(expected, abs=0.02)
