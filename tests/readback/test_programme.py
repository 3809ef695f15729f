"""Silence and still pictures are explained by what aired, to the second; what is unknown explains everything."""

import pytest

from channeld.readback.programme import Airing, Programme, Stillness, read_stillness

TICKS = 90_000
S = 1_000_000_000
ORIGIN = 90_000
NOISY = Stillness()
QUIET = Stillness(silent=((0.0, 10.0),), still=((2.0, 6.0),))


def programme(*airings: tuple[float, Stillness | None]) -> Programme:
    made = Programme()
    for start_s, stillness in airings:
        made = made.started(Airing(ORIGIN + round(start_s * TICKS), round(start_s * S), stillness))
    return made


def at(seconds: float) -> int:
    return ORIGIN + round(seconds * TICKS)


@pytest.mark.parametrize(
    ("begin_s", "length_s", "explained"),
    [
        (1.0, 4.0, False),  # within the noisy clip
        (11.0, 4.0, True),  # within the quiet one
        (9.0, 4.0, True),  # a second of it in the noisy one
        (8.0, 4.0, False),  # two seconds of it
        (18.5, 4.0, False),  # beyond the quiet clip's end, in a noisy one
        (19.6, 0.6, True),  # a short segment across its end
        (21.0, 0.5, False),
    ],
)
def test_silence_is_explained_where_the_clip_is_silent(begin_s: float, length_s: float, *, explained: bool) -> None:
    aired = programme((0.0, NOISY), (10.0, QUIET), (20.0, NOISY))
    assert aired.explains("silent", at(begin_s), length_s) is explained


def test_a_still_picture_is_no_silence() -> None:
    aired = programme((0.0, QUIET))
    assert aired.explains("still", at(2.0), 4.0)
    assert not aired.explains("still", at(6.0), 4.0)
    assert aired.explains("silent", at(6.0), 4.0)


def test_what_is_not_known_explains_everything() -> None:
    assert Programme().explains("silent", at(0.0), 4.0)
    assert programme((0.0, NOISY), (10.0, None)).explains("silent", at(9.0), 4.0)
    assert programme((10.0, NOISY)).explains("silent", at(8.0), 4.0)


def test_where_the_moment_is_not_known_any_quiet_passage_explains() -> None:
    aired = programme((0.0, NOISY), (10.0, QUIET), (20.0, NOISY))
    assert aired.explains_somewhere("silent", at(0.0), at(60.0), 4.0)
    assert not aired.explains_somewhere("silent", at(22.0), at(60.0), 4.0)


def test_a_timestamp_is_understood_across_its_wrap() -> None:
    """After 26.5 h a timestamp of 33 bits begins again; the tick nearest to now is meant."""
    start = (1 << 33) * 3 - 2 * TICKS
    aired = Programme().started(Airing(start, 0, QUIET))
    assert aired.head_ticks(4 * S) == start + 4 * TICKS
    assert aired.unwrap(TICKS, 4 * S) == (1 << 33) * 3 + TICKS
    assert aired.unwrap((1 << 33) - TICKS, 4 * S) == (1 << 33) * 3 - TICKS


def test_a_new_timeline_forgets_the_old_one_and_only_minutes_are_kept() -> None:
    aired = programme(*((float(number), NOISY) for number in range(1000)))
    assert len(aired.airings) == 302
    assert len(aired.started(Airing(ORIGIN, 0, QUIET)).airings) == 1


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"silent": [[0, 1.5]], "still": []}, Stillness(((0.0, 1.5),), ())),
        ({}, None),
        ({"silent": []}, None),
        ({"silent": [[1]], "still": []}, None),
        ({"silent": "all", "still": []}, None),
    ],
)
def test_a_clips_facts_are_read_or_unknown(facts: dict[str, object], expected: Stillness | None) -> None:
    assert read_stillness(facts) == expected
