"""What airs when: plans, boundaries, the filler, skips and damage, on a clock that the test moves."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from clips import read_numbers
from judge.ts import SPLICED, read_ts
from on_fake_air import Channel, open_files, source_of

from channeld.media.clip import PreparedClip
from channeld.media.parts import PartWriter
from channeld.playout.lookahead import ClipSource
from channeld.ts.index import Block, ClipHeader, IndexParser, Totals

Until = Callable[[Callable[[], object]], None]
FILLER_FRAMES = 250


def aired(channel: Channel) -> list[tuple[str | None, int, str]]:
    """Airing, frames and reason of everything that ended."""
    return [(values["airing"], values["frames"], values["reason"]) for values in channel.told("ended")]


def judged(channel: Channel) -> None:
    """Faultless but for its end, which is wherever time stood still."""
    assert read_ts(channel.sent, allowances=replace(SPLICED, open_end=True)).faults() == []
    assert channel.crashes == []


def test_slices_are_released_exactly_when_they_are_due(channel: Channel, second_clip: PreparedClip) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(2.0, step_ns=10_000_000)
    begin_ns = 5_000_000_000
    assert len(channel.released) == 10
    assert [at for at, _ in channel.released] == [begin_ns + (piece.dts - 90_000) * 100_000 // 9 for _, piece in channel.released]
    judged(channel)


def test_a_late_clock_catches_up_and_the_timeline_does_not_shift(channel: Channel, second_clip: PreparedClip) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(0.4)
    channel.clock.advance(5.0)
    channel.catch_up()
    lag_ns = channel.air.due_ns - channel.clock.monotonic_ns()
    assert 0 < lag_ns <= 200_000_000, "what was due is out, the next is due on the old grid"
    assert (channel.air.due_ns - 5_000_000_000) % 40_000_000 == 0
    judged(channel)


def test_planned_clips_follow_each_other_without_a_seam(channel: Channel, short_clip, second_clip, tmp_path: Path) -> None:
    channel.plan(source_of(short_clip, "a"))
    for number in range(6):
        channel.run(0.04)
        channel.plan(source_of((second_clip, short_clip)[number % 2], f"next{number}"))
        channel.run(2.0)
    judged(channel)
    assert [airing for airing, _, reason in aired(channel) if airing and reason != "end"] == []
    assert {frames for airing, frames, _ in aired(channel) if airing} == {12, 50}


def test_nothing_planned_is_filler_from_the_first_frame_and_round_again(channel: Channel) -> None:
    channel.run(21.0)
    assert channel.frames >= 2 * FILLER_FRAMES
    assert [values["airing"] for values in channel.told("started")] == [None], "going round is no new airing"
    judged(channel)


def test_filler_comes_at_the_frame_after_the_clip_and_leaves_at_a_legal_cut(channel: Channel, short_clip, second_clip, tmp_path) -> None:
    channel.plan(source_of(short_clip, "a"))
    channel.run(1.0)
    assert [values["airing"] for values in channel.told("started")] == ["a", None]
    channel.plan(source_of(second_clip, "b"))
    before = channel.air.now.feed.frames_sent
    channel.run(2.0)
    assert aired(channel)[:1] == [("a", 12, "end")]
    (airing, frames, reason) = aired(channel)[1]
    assert (airing, reason) == (None, "cut")
    assert frames - before <= 5, "the filler goes on to its next legal cut only"
    numbers = numbers_of(channel, tmp_path)
    assert numbers[:12] == list(range(12_000, 12_012))
    assert numbers[12 + frames : 12 + frames + 10] == list(range(50_000, 50_010))
    judged(channel)


def numbers_of(channel: Channel, folder: Path) -> list[int | None]:
    path = folder / "sent.ts"
    path.write_bytes(channel.sent)
    return read_numbers(path)


def test_a_plan_for_another_boundary_is_refused(channel: Channel, short_clip, second_clip) -> None:
    channel.plan(source_of(short_clip, "a"))
    channel.run(0.04)
    assert channel.air.now.serial == 1
    assert not channel.plan(source_of(second_clip, "old"), after=0)
    assert not channel.plan(source_of(second_clip, "early"), after=2)
    assert channel.plan(source_of(second_clip, "b"), after=1)
    channel.run(0.6)
    assert [values["airing"] for values in channel.told("started")] == ["a", "b"]


def test_the_newest_plan_of_a_boundary_counts_until_half_a_second_before_it(channel: Channel, short_clip, second_clip) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(1.2)
    assert channel.plan(source_of(short_clip, "b"))
    assert channel.plan(source_of(second_clip, "c"))
    channel.run(0.4)
    assert not channel.plan(source_of(short_clip, "too late"))
    channel.run(1.0)
    assert [values["airing"] for values in channel.told("started")] == ["a", "c"]


def test_the_half_second_is_counted_by_the_clock_not_by_what_is_released_ahead(channel: Channel, short_clip, second_clip) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(0.04)
    channel.plan(source_of(short_clip, "b"))
    channel.run(1.40)
    assert channel.plan(source_of(second_clip, "c")), "0.56 s before the end"
    channel.run(0.12)
    assert not channel.plan(source_of(short_clip, "too late")), "0.44 s before the end"


def test_within_the_last_half_second_a_plan_still_counts_where_there_was_none(channel: Channel, short_clip, second_clip) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(1.8)
    assert channel.plan(source_of(short_clip, "b"))
    channel.run(0.6)
    assert [values["airing"] for values in channel.told("started")] == ["a", "b"]


def test_the_first_ready_source_airs_and_those_passed_over_are_told(channel: Channel, short_clip, second_clip, tmp_path: Path) -> None:
    missing = ClipSource("gone", "entry-gone", str(tmp_path / "no.ts"), str(tmp_path / "no.idx"))
    growing = begin_part(tmp_path / "cache", "empty", second_clip)
    not_yet = ClipSource("slow", "entry-slow", str(tmp_path / "cache/empty.ts"), str(tmp_path / "cache/empty.idx"))
    channel.plan(source_of(short_clip, "a"))
    channel.run(0.04)
    channel.plan(not_yet, missing, source_of(second_clip, "b"))
    channel.run(0.6)
    growing.abort()
    assert [values["airing"] for values in channel.told("started")] == ["a", "b"]
    assert channel.told("started")[1]["passed_over"] == ["slow"]
    (failed,) = channel.told("failed")
    assert failed["airing"] == "gone" and "prepared clip is gone" in failed["error"]
    judged(channel)


def test_what_was_passed_over_keeps_its_turn(channel: Channel, short_clip, second_clip, tmp_path: Path) -> None:
    part = begin_part(tmp_path / "cache", "late", second_clip)
    late = ClipSource("late", "entry-late", str(tmp_path / "cache/late.ts"), str(tmp_path / "cache/late.idx"))
    channel.plan(late, source_of(short_clip, "a"))
    channel.run(0.08)
    finish_part(part, second_clip)
    channel.run(1.0)
    assert [values["airing"] for values in channel.told("started")] == ["a", "late"]


def header_of(clip: PreparedClip) -> ClipHeader:
    parser = IndexParser()
    parser.feed(clip.idx_path.read_bytes())
    assert parser.header is not None
    return parser.header


def blocks_and_totals(clip: PreparedClip) -> tuple[list[Block], Totals]:
    parser, ts = IndexParser(), clip.ts_path.read_bytes()
    records = parser.feed(clip.idx_path.read_bytes())
    assert parser.totals is not None
    return [record.with_packets(ts[record.ts_offset :][: record.ts_length]) for record in records], parser.totals


def begin_part(folder: Path, key: str, clip: PreparedClip, blocks: int = 0) -> PartWriter:
    """A clip that grows, with the first blocks of a real one."""
    part = PartWriter(folder, key, header_of(clip))
    for block in blocks_and_totals(clip)[0][:blocks]:
        part.append(block)
    return part


def finish_part(part: PartWriter, clip: PreparedClip, written: int = 0) -> PreparedClip:
    blocks, totals = blocks_and_totals(clip)
    for block in blocks[written:]:
        part.append(block)
    return part.commit(totals)


@pytest.mark.parametrize("after_frames", range(1, 12))
def test_a_skip_ends_the_clip_at_its_next_legal_cut_to_the_frame(channel: Channel, second_clip, short_clip, tmp_path, after_frames) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(0.04 * after_frames)
    channel.plan(source_of(short_clip, "b"))
    sent = channel.air.now.feed.frames_sent
    channel.air.skip()
    channel.run(1.0)
    airing, frames, reason = aired(channel)[0]
    assert (airing, reason) == ("a", "cut")
    assert sent <= frames <= sent + 4, "three B-frames reorder by at most four"
    numbers = numbers_of(channel, tmp_path)
    assert numbers[:frames] == list(range(50_000, 50_000 + frames))
    assert numbers[frames : frames + 12] == list(range(12_000, 12_012))
    judged(channel)


def test_a_skip_waits_a_moment_for_the_next_clip_and_not_for_ever(channel: Channel, second_clip, short_clip, tmp_path: Path) -> None:
    part = begin_part(tmp_path / "cache", "ordered", short_clip)
    ordered = ClipSource("ordered", "entry-ordered", str(tmp_path / "cache/ordered.ts"), str(tmp_path / "cache/ordered.idx"))
    never_part = begin_part(tmp_path / "cache", "never", short_clip)
    never = ClipSource("never", "entry-never", str(tmp_path / "cache/never.ts"), str(tmp_path / "cache/never.idx"))
    channel.plan(source_of(second_clip, "a"))
    channel.run(0.04)
    channel.plan(ordered, source_of(short_clip, "b"))
    channel.air.skip()
    channel.run(0.3)
    assert [values["airing"] for values in channel.told("started")] == ["a"]
    finish_part(part, short_clip)
    channel.run(0.4)
    assert [values["airing"] for values in channel.told("started")] == ["a", "ordered"]
    channel.plan(source_of(second_clip, "c"))
    channel.run(0.6)
    assert channel.air.now.source is not None
    assert channel.air.now.source.airing == "c"
    channel.plan(never, source_of(short_clip, "d"))
    channel.air.skip()
    channel.run(0.8)
    assert channel.air.now.source.airing == "c"
    channel.run(0.6)
    never_part.abort()
    assert [values["airing"] for values in channel.told("started")][-1] == "d"
    assert channel.told("started")[-1]["passed_over"] == ["never"]
    judged(channel)


def test_a_skip_with_nothing_ready_gives_filler(channel: Channel, second_clip) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(0.3)
    channel.air.skip()
    channel.run(1.0)
    assert [values["airing"] for values in channel.told("started")] == ["a", None]
    judged(channel)


def test_a_skip_of_the_filler_changes_nothing(channel: Channel) -> None:
    channel.run(0.4)
    channel.air.skip()
    channel.run(1.6)
    assert channel.air.now.feed.frames_sent == channel.frames == 50
    assert {piece.frames for _, piece in channel.released} == {5}
    judged(channel)


def copied(clip: PreparedClip, folder: Path, *, damage_at: int | None = None) -> ClipSource:
    """A clip in a folder of its own, one byte of its packets changed."""
    folder.mkdir()
    packets = bytearray(clip.ts_path.read_bytes())
    if damage_at is not None:
        packets[damage_at] ^= 0xFF
    (folder / "c.ts").write_bytes(packets)
    (folder / "c.idx").write_bytes(clip.idx_path.read_bytes())
    return ClipSource("copy", "entry-copy", str(folder / "c.ts"), str(folder / "c.idx"))


def test_a_damaged_block_never_airs_and_the_next_clip_comes_at_the_next_frame(channel: Channel, long_clip, short_clip, tmp_path) -> None:
    blocks, _ = blocks_and_totals(long_clip)
    good_frames = len(blocks[0].video)
    channel.plan(copied(long_clip, tmp_path / "bad", damage_at=len(blocks[0].ts) + 1000))
    channel.run(0.04)
    channel.plan(source_of(short_clip, "b"))
    channel.run(10.0)
    ended = channel.told("ended")[0]
    assert (ended["airing"], ended["frames"], ended["reason"]) == ("copy", good_frames, "damaged")
    assert "block 1 is damaged" in ended["error"]
    numbers = numbers_of(channel, tmp_path)
    assert numbers[:good_frames] == list(range(200, 200 + good_frames))
    assert numbers[good_frames : good_frames + 12] == list(range(12_000, 12_012))
    judged(channel)


def test_a_damaged_block_with_nothing_planned_gives_filler_at_the_next_frame(channel: Channel, long_clip, tmp_path) -> None:
    blocks, _ = blocks_and_totals(long_clip)
    channel.plan(copied(long_clip, tmp_path / "bad", damage_at=len(blocks[0].ts) + 1000))
    channel.run(10.0)
    assert aired(channel) == [("copy", len(blocks[0].video), "damaged")]
    assert [values["airing"] for values in channel.told("started")] == ["copy", None]
    judged(channel)


def test_a_clip_damaged_in_its_first_block_is_told_and_never_begins(channel: Channel, second_clip, tmp_path) -> None:
    channel.plan(copied(second_clip, tmp_path / "bad", damage_at=500))
    channel.run(0.3)
    (failed,) = channel.told("failed")
    assert failed["airing"] == "copy" and "block 0 is damaged" in failed["error"]
    assert [values["airing"] for values in channel.told("started")] == [None]


def test_a_growing_clip_that_is_caught_up_is_left_and_told(channel: Channel, long_clip, tmp_path) -> None:
    part = begin_part(tmp_path / "cache", "grows", long_clip, blocks=1)
    channel.plan(ClipSource("grows", "entry", str(tmp_path / "cache/grows.ts"), str(tmp_path / "cache/grows.idx")))
    channel.run(5.0)
    part.abort()
    (first, *_) = aired(channel)
    assert first == ("grows", len(blocks_and_totals(long_clip)[0][0].video), "underrun")
    judged(channel)


def test_a_growing_clip_airs_whole_while_it_grows_and_is_renamed(channel: Channel, long_clip, tmp_path) -> None:
    part = begin_part(tmp_path / "cache", "grows", long_clip, blocks=1)
    channel.plan(ClipSource("grows", "entry", str(tmp_path / "cache/grows.ts"), str(tmp_path / "cache/grows.idx")))
    channel.run(1.0)
    finish_part(part, long_clip, written=1)
    channel.run(9.0)
    assert aired(channel)[0] == ("grows", 225, "end")
    assert numbers_of(channel, tmp_path)[:225] == list(range(200, 425))
    judged(channel)


def test_files_are_closed_when_clips_have_aired_or_were_planned_in_vain(channel: Channel, long_clip, second_clip, until: Until) -> None:
    folder = long_clip.ts_path.parent
    held = len(open_files(folder))
    channel.plan(source_of(second_clip, "a"), source_of(long_clip, "b"), source_of(long_clip, "c"))
    channel.run(0.2)
    channel.plan(source_of(second_clip, "d"))
    channel.run(6.0)
    until(lambda: len(open_files(folder)) == held)


def test_the_state_beside_the_stream_names_what_airs(channel: Channel, second_clip) -> None:
    channel.plan(source_of(second_clip, "a"))
    channel.run(1.0)
    progress = channel.air.progress()
    assert progress["serial"] == 1
    assert (progress["frames"], progress["head"]) == (25, 5)


def test_reports_of_ends_and_starts_alternate(channel: Channel, short_clip, second_clip) -> None:
    for number, clip in enumerate((short_clip, second_clip, short_clip)):
        channel.plan(source_of(clip, str(number)))
        channel.run(0.9)
    kinds = [kind for kind, _ in channel.reports]
    assert all(one != two for one, two in itertools.pairwise(kinds))
    begins = [values["dts"] for values in channel.told("started")]
    frames = [values["frames"] for values in channel.told("ended")]
    assert [after - before for before, after in itertools.pairwise(begins)] == [count * 3600 for count in frames]
