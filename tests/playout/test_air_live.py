"""A live source on air, on a clock that the test moves: when it falls silent, what follows need not wait for the end of a slice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from judge.ts import SPLICED, read_ts
from on_fake_air import Channel, source_of
from prepared import blocks_of

from channeld.media.clip import PreparedClip
from channeld.playout.lookahead import ClipSource
from channeld.playout.pace import Hush
from channeld.playout.plan import STALE_S
from channeld.sources.live_clip import LiveClip
from channeld.ts.index import ClipHeader, IndexParser

SLICE_FRAMES = 5


@pytest.fixture
def growing(long_clip: PreparedClip, tmp_path: Path) -> Iterator[LiveClip]:
    """A live clip with nothing in it yet."""
    parser = IndexParser()
    parser.feed(long_clip.idx_path.read_bytes())
    assert parser.header is not None
    (tmp_path / "cam").mkdir()
    clip = LiveClip(tmp_path / "cam", "cam-1", ClipHeader("", parser.header.fps, parser.header.gop_frames, parser.header.composition_delay))
    yield clip
    clip.remove()


@pytest.fixture
def silent(long_clip: PreparedClip, growing: LiveClip) -> ClipSource:
    """A live clip of nine seconds of which no more comes; it begins at least 2 s from its end."""
    for block in blocks_of(long_clip):
        growing.append(block)
    return live_source(growing)


def live_source(clip: LiveClip) -> ClipSource:
    return ClipSource("live", "@live/cam", str(clip.ts_path).removesuffix(".part"), str(clip.idx_path).removesuffix(".part"), behind_s=2.0)


def lengths(channel: Channel) -> list[int]:
    return [piece.frames for _, piece in channel.released]


def test_a_switch_away_from_a_silent_source_does_not_wait_for_a_whole_slice(
    channel: Channel, silent: ClipSource, second_clip: PreparedClip
) -> None:
    channel.plan(silent)
    channel.run(1.4)
    quiet = lengths(channel)[4:]
    assert lengths(channel)[:3] == [SLICE_FRAMES] * 3 and 0 < max(quiet) < SLICE_FRAMES
    asked_ns = channel.clock.monotonic_ns()
    channel.air.accept_plan(channel.air.now.serial, [source_of(second_clip, "slate")], now_ns=asked_ns, switches=True)
    channel.settle()
    channel.run(1.0)
    (began,) = [values for values in channel.told("started") if values["airing"] == "slate"]
    assert began["due_ns"] - asked_ns <= 4 * 40_000_000, "a group of pictures that may not be cut is at most four long"
    assert read_ts(channel.sent, allowances=replace(SPLICED, open_end=True)).faults() == []
    assert channel.crashes == []


def test_a_slate_behind_a_source_that_ran_dry_can_be_left_as_soon(channel: Channel, silent: ClipSource, second_clip: PreparedClip) -> None:
    """It says that something is wrong; what, is known a moment later."""
    channel.plan(silent)
    channel.plan(silent, source_of(second_clip, "slate"))
    channel.run(3.8)
    (began,) = [values for values in channel.told("started") if values["airing"] == "slate"]
    behind = [piece.frames for _, piece in channel.released if piece.dts >= began["dts"]]
    assert behind and max(behind) < SLICE_FRAMES
    assert [values["reason"] for values in channel.told("ended") if values["airing"] == "live"] == ["underrun"]
    assert read_ts(channel.sent, allowances=replace(SPLICED, open_end=True)).faults() == []


def test_a_source_that_waited_behind_another_clip_airs_what_is_new(
    channel: Channel, growing: LiveClip, long_clip: PreparedClip, second_clip: PreparedClip
) -> None:
    blocks = list(blocks_of(long_clip))
    growing.append(blocks[0])
    channel.plan(source_of(second_clip, "first"))
    channel.run(0.2)
    channel.plan(source_of(long_clip, "before"), live_source(growing))
    for second in range(3):
        channel.run(3.5)
        if second < 2:
            for _ in range(2):  # twice as long as the clip before it takes
                growing.append(blocks[second + 1])
    channel.run(1.0)
    (began,) = [values for values in channel.told("started") if values["airing"] == "live"]
    assert channel.told("failed") == []
    played = sum(piece.frames for _, piece in channel.released if piece.dts >= began["dts"])
    there = channel.air.now.feed.frames_ready + played
    assert there <= (2 + STALE_S) * 25, "it begins near the newest picture; from where it stood when it was planned there were 300"
    assert channel.crashes == []


def test_slices_are_short_while_nothing_comes_and_for_a_while_after() -> None:
    hush, second = Hush(), 90_000
    for tenth in range(30):  # it sends, unevenly
        hush.follow(tenth // 3, tenth * second // 10)
        assert not hush.lasts(tenth * second // 10)
    for tenth in range(30, 40):
        hush.follow(9, tenth * second // 10)
    assert hush.lasts(4 * second) and hush.lasts(6 * second) and not hush.lasts(7 * second)
