"""The splicer at every frame rate, cut everywhere, over the wrap: judged by a reader that shares no code with it."""

import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from joins import Member, Window, judge_window, member, windows
from judge.ts import read_ts
from prepared import TINY, PreparedShelf, air, at_rate, blocks_of, feed_of, send, stream_format

from channeld.base.units import FrameRate
from channeld.ts.splicer import ClipFeed, Splicer, SplicerState

RATES = [(24, 1), (25, 1), (30, 1), (30000, 1001), (24000, 1001), (50, 1), (60, 1), (60000, 1001), (10, 1)]
AAC_TICKS = 1920
MOST_SKEW_TICKS = 990
"""11 ms."""
WRAP = 1 << 33


def grid(fps: FrameRate, frame: int) -> int:
    """Tick of a frame from the origin, by the test's own arithmetic."""
    return int(Fraction(frame * 90_000 * fps.den, fps.num) // 1)


def rate_members(prepared: PreparedShelf, fps: FrameRate) -> list[Member]:
    """Two frames, and an odd number that fills no GOP."""
    profile = at_rate(fps)
    odd = fps.frames_in(1.1) | 1
    return [member(prepared.numbered(frames, base=frames * 100, profile=profile), f"{frames} frames", frames * 100) for frames in (2, odd)]


@pytest.fixture(scope="module", params=RATES, ids=lambda rate: str(FrameRate(*rate)))
def rate(request: pytest.FixtureRequest) -> FrameRate:
    return FrameRate(*request.param)


@pytest.fixture(scope="module")
def of_rate(prepared: PreparedShelf, rate: FrameRate) -> list[Member]:
    return rate_members(prepared, rate)


def judged(window: Window, fps: FrameRate, origin: int) -> list[int]:
    """Assert that a window is faultless; its skews."""
    report = read_ts(window.stream, fps=Fraction(fps.num, fps.den))
    verdict = judge_window(window, report, first_dts=origin + grid(fps, window.frames_before))
    assert verdict.faults == []
    assert report.pcr.max_step_ms <= 40
    assert all(abs(skew) <= MOST_SKEW_TICKS for skew in verdict.skews)
    return verdict.skews


def test_joins_are_seamless_at_every_frame_rate(rate: FrameRate, of_rate: list[Member]) -> None:
    order = [random.Random(7).choice(of_rate) for _ in range(60)] + of_rate
    splicer = Splicer(stream_format(at_rate(rate)))
    (window,) = windows(order, splicer, joins=len(order) - 1)
    assert len(judged(window, rate, 90_000)) > 10
    assert splicer.next_dts == 90_000 + grid(rate, window.frames)


@pytest.mark.parametrize("before_s", [0.0, 0.3, 2.0])
def test_joins_are_seamless_over_the_wrap_at_every_frame_rate(rate: FrameRate, of_rate: list[Member], before_s: float) -> None:
    origin = WRAP - round(before_s * 90_000)
    splicer = Splicer(stream_format(at_rate(rate)), SplicerState(origin=origin))
    (window,) = windows(of_rate * 4, splicer, joins=len(of_rate) * 4 - 1)
    judged(window, rate, origin)


@pytest.mark.parametrize("wrap", [1, 2, 3, 4])
def test_the_clock_stays_on_its_grid_over_four_wraps(rate: FrameRate, of_rate: list[Member], wrap: int) -> None:
    """A channel that has run for days: its state stands half a second before each of four wraps of 26.5 h."""
    origin = 90_000
    frames = (wrap * WRAP - 45_000 - origin) * rate.num // (90_000 * rate.den)
    presented = grid(rate, frames + 1)
    state = SplicerState(origin, frames, audio_units=round(presented / AAC_TICKS))
    splicer = Splicer(stream_format(at_rate(rate)), state)
    (window,) = windows(of_rate * 4, splicer, joins=len(of_rate) * 4 - 1)
    window.frames_before = frames
    judged(window, rate, origin)
    assert splicer.next_dts > wrap * WRAP


@pytest.mark.parametrize("limit", [1, 2, 5, 12])
def test_slices_of_any_length_carry_the_same_access_units(prepared: PreparedShelf, limit: int) -> None:
    entry = member(prepared.numbered(50, base=50_000, tone_hz=300), "50 frames", 50_000)
    splicer = Splicer(stream_format())
    window = Window(0, [entry] * 3, [air(splicer, feed_of(entry.blocks), limit=limit) for _ in range(3)])
    judged(window, TINY.fps, 90_000)


def legal_cuts(entry: Member, report_pts: list[int]) -> list[int]:
    """After how many frames a clip may end: those sent are the first ones in display order (by the judge's own reading)."""
    rank = np.argsort(np.argsort(report_pts))
    return [int(at) + 1 for at in np.flatnonzero(np.maximum.accumulate(rank) == np.arange(len(rank)))]


def test_a_clip_may_be_cut_at_every_legal_place(prepared: PreparedShelf) -> None:
    """The clip is cut after each frame that leaves no hole; what follows joins without a seam."""
    clip = prepared.numbered(50, base=50_000, tone_hz=300)
    entry = member(clip, "50 frames", 50_000)
    after = member(prepared.numbered(11, base=11_000), "11 frames", 11_000)
    report = read_ts(clip.ts_path)
    assert report.video is not None
    cuts = legal_cuts(entry, report.video.units.pts.tolist())
    assert 10 < len(cuts) < 50, "some frames are reordered, so not every place is legal"
    splicer, window = Splicer(stream_format()), Window(0)
    for cut in cuts:
        feed = feed_of(entry.blocks)
        splicer.join(feed)
        window.members += [replace(entry, pictures=entry.pictures[:cut]), after]
        window.parts += [send(splicer, feed, cut), air(splicer, feed_of(after.blocks))]
        assert feed.may_cut
    judged(window, TINY.fps, 90_000)


def test_places_are_marked_as_cuts_exactly_where_they_are_legal(prepared: PreparedShelf) -> None:
    clip = prepared.numbered(50, base=50_000, tone_hz=300)
    report = read_ts(clip.ts_path)
    assert report.video is not None
    cuts = legal_cuts(member(clip, ""), report.video.units.pts.tolist())
    feed, splicer, found = feed_of(blocks_of(clip)), Splicer(stream_format()), []
    splicer.join(feed)
    while splicer.next_slice(feed, 1):
        found += [feed.frames_sent] if feed.may_cut else []
    assert found == cuts


def test_a_slice_up_to_a_cut_ends_at_the_first_legal_one(prepared: PreparedShelf) -> None:
    clip = prepared.numbered(50, base=50_000, tone_hz=300)
    report = read_ts(clip.ts_path)
    assert report.video is not None
    cuts = legal_cuts(member(clip, ""), report.video.units.pts.tolist())
    for sent in range(1, 49):
        feed, splicer = feed_of(blocks_of(clip)), Splicer(stream_format())
        splicer.join(feed)
        send(splicer, feed, sent)
        splicer.next_slice(feed, 5, up_to_cut=True)
        assert feed.frames_sent == min(cut for cut in cuts if cut > sent)


def test_slices_begin_with_their_tables_and_tell_their_time(prepared: PreparedShelf) -> None:
    feed, splicer, dts = feed_of(blocks_of(prepared.numbered(50, base=50_000, tone_hz=300))), Splicer(stream_format()), 90_000
    splicer.join(feed)
    keys = []
    while (piece := splicer.next_slice(feed, 4)) is not None:
        assert (piece.dts, piece.duration) == (dts, piece.frames * 3600)
        assert [int(piece.packets[row, 1]) & 0x1F for row in (0, 1)] == [0, 0x10], "PAT, PMT"
        dts += piece.duration
        keys += [piece.dts] if piece.is_random_access else []
    assert keys == [90_000, 90_000 + 25 * 3600], "a slice never goes past a key frame that does not begin it"


def test_another_splicer_goes_on_to_the_byte_from_the_state(prepared: PreparedShelf) -> None:
    blocks = blocks_of(prepared.numbered(11, base=11_000))
    one = Splicer(stream_format(), SplicerState(origin=WRAP - 100_000))
    whole = b"".join(air(one, feed_of(blocks)) for _ in range(8))
    first = Splicer(stream_format(), SplicerState(origin=WRAP - 100_000))
    begun = b"".join(air(first, feed_of(blocks)) for _ in range(3))
    second = Splicer(stream_format(), replace(first.state))
    assert begun + b"".join(air(second, feed_of(blocks)) for _ in range(5)) == whole


def test_a_growing_clip_goes_on_when_its_next_block_comes(prepared: PreparedShelf, media_dir: Path) -> None:
    blocks = blocks_of(prepared.file(media_dir / "clock-20s.mp4", out_s=9.0))
    assert len(blocks) > 1
    splicer, feed, sent = Splicer(stream_format()), ClipFeed(), b""
    for number, block in enumerate(blocks):
        feed.append(block)
        if number == 0:
            splicer.join(feed)
        sent += send(splicer, feed, feed.frames_ready)
        assert splicer.next_slice(feed, 5) is None
    assert read_ts(sent + air(splicer, feed_of(blocks[:1]))).faults() == []


def test_the_error_of_a_join_is_what_join_said(prepared: PreparedShelf) -> None:
    entry = member(prepared.numbered(11, base=11_000), "11 frames", 11_000)
    splicer, window, told = Splicer(stream_format()), Window(0), []
    for _ in range(40):
        feed = feed_of(entry.blocks)
        told.append(int(splicer.join(feed)))
        window.members.append(entry)
        window.parts.append(send(splicer, feed, feed.frames_ready))
    assert judged(window, TINY.fps, 90_000) == told
