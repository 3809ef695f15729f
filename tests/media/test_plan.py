"""The arithmetic between a file's clocks and the house's frame grid."""

import pytest

from channeld.base.errors import PrepareError
from channeld.base.units import FrameRate
from channeld.media.facts import AudioFacts, Colour, MediaFacts, Picture, Span, VideoFacts
from channeld.media.plan import Trim, make_plan

PAL = FrameRate(25, 1)


def facts(video: tuple[float, float] | None, audio: tuple[float, float] | None) -> MediaFacts:
    """A file whose tracks lie at (start, end) seconds."""
    picture = VideoFacts(0, "h264", Picture(320, 180), Colour(), Span(video[0], None, video[1]), 25, 25) if video else None
    sound = (AudioFacts(1, "aac", 48000, 2, "", Span(audio[0], None, audio[1])),) if audio else ()
    return MediaFacts("mov", 0.0, None, picture, sound)


def planned(video, audio, trim=Trim()):  # noqa: B008  (frozen)
    known = facts(video, audio)
    return make_plan(known, known.audio[0] if known.audio else None, trim, PAL)


def test_a_clip_begins_with_the_first_picture_when_sound_begins_at_about_the_same_time():
    assert planned((0.08, 10.08), (0.0, 10.0)).origin_s == 0.08


def test_a_clip_begins_with_sound_that_comes_well_before_the_picture_on_a_frame_of_the_picture():
    plan = planned((1.0, 3.0), (0.213, 3.0))
    assert plan.origin_s <= 0.213 < plan.origin_s + 0.04
    assert (1.0 - plan.origin_s) * 25 == pytest.approx(round((1.0 - plan.origin_s) * 25))


def test_a_clip_begins_with_the_picture_when_sound_comes_later():
    plan = planned((0.0, 2.4), (1.148, 2.4))
    assert (plan.origin_s, plan.frames) == (0.0, 60)


def test_sound_a_little_longer_than_the_picture_is_cut():
    assert planned((0.0, 10.0), (0.0, 10.15)).frames == 250


def test_the_last_picture_is_held_under_longer_sound():
    plan = planned((0.0, 5.0), (0.0, 60.0))
    assert (plan.frames, plan.picture_frames) == (1500, 125)


def test_sound_that_ends_early_does_not_shorten_the_picture():
    assert planned((0.0, 10.0), (0.0, 9.0)).frames == 250


def test_trims_are_rounded_to_the_frame_and_out_is_exclusive():
    plan = planned((0.0, 10.0), None, Trim(1.005, 2.0))
    assert (plan.origin_s, plan.frames) == (1.0, 25)


def test_a_late_trim_seeks_with_room_before_it():
    plan = planned((0.0, 100.0), None, Trim(50.0, 52.0))
    assert (plan.seek_s, plan.shift_s, plan.frames) == (45.0, 5.0, 50)


def test_an_out_before_the_in_is_refused():
    with pytest.raises(PrepareError, match="nothing left"):
        planned((0.0, 10.0), None, Trim(5.0, 4.0))


def test_a_single_picture_airs_as_two_frames():
    assert planned((0.0, 0.04), (0.0, 0.15)).frames == 2
