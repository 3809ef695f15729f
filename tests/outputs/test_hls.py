"""The packager: where it cuts, what it publishes, and how it goes on after whatever happened."""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.hls import history_faults, parse_manifest

from channeld.base.clock import FakeClock
from channeld.outputs.hls import Cutter, Numbering, Packager
from channeld.outputs.hls_store import SegmentStore

SECOND = 90_000
STEP = SECOND // 5
WALL_S = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Piece:
    data: bytes
    dts: int
    duration: int
    is_random_access: bool
    monotonic_ns: int = 0


def pieces(first: int, last: int, *, gop: int = 10, step: int = STEP) -> list[Piece]:
    """Slices number `first` to `last - 1` of a stream with a random access point every `gop` slices, each one packet long."""
    return [Piece(number.to_bytes(8, "big") * 23 + b"1234", number * step, step, number % gop == 0) for number in range(first, last)]


def description(timeline: str = "t1", *, anchor_wall_s: float = WALL_S, anchor_ticks: int = 0) -> dict[str, object]:
    return {"channel": "one", "timeline": timeline, "anchor_wall_s": anchor_wall_s, "anchor_ticks": anchor_ticks}


class Origin:
    """One channel's folder with a packager that can be started again on what it left."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock()
        self.polls: list[str] = []
        self.start()

    def start(self, *, timeline: str = "t1", after: Numbering | None = None) -> None:
        self.store = SegmentStore(self.folder, None, self.clock)
        self.packager = Packager("one", self.store, segment_seconds=4, window=3, clock=self.clock, after=after)
        self.attach(timeline)

    def attach(self, timeline: str, *, anchor_wall_s: float = WALL_S, anchor_ticks: int = 0) -> int | None:
        found = description(timeline, anchor_wall_s=anchor_wall_s, anchor_ticks=anchor_ticks)
        resume_dts = self.packager.resume_dts(found)
        self.packager.attach(found)
        return resume_dts

    def air(self, given: list[Piece]) -> None:
        for piece in given:
            self.clock.advance(piece.duration / SECOND)
            self.packager.push(piece)
            while self.packager.flush() is not None:
                self.polls.append(self.manifest)

    @property
    def manifest(self) -> str:
        return (self.folder / "one" / "index.m3u8").read_text()

    @property
    def listed(self) -> list[int]:
        return [segment.sequence for segment in parse_manifest(self.manifest).segments]

    @property
    def joints(self) -> list[bool]:
        return [segment.discontinuity for segment in parse_manifest(self.manifest).segments]

    def content(self) -> list[int]:
        """Numbers of the slices in the listed segments."""
        found = b"".join((self.folder / "one" / segment.uri).read_bytes() for segment in parse_manifest(self.manifest).segments)
        return [int.from_bytes(found[at : at + 8], "big") for at in range(0, len(found), 188)]

    def faults(self) -> list[str]:
        return history_faults([parse_manifest(text) for text in self.polls])


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


def cut_lengths(given: list[Piece], segment_seconds: float) -> list[tuple[float, float]]:
    cutter = Cutter(int(segment_seconds * SECOND))
    return [(cut.start / SECOND, (cut.end - cut.start) / SECOND) for piece in given for cut in cutter.push(piece)]


def test_it_cuts_at_the_last_random_access_point_not_later_than_the_limit() -> None:
    """Two-second GOPs: a limit of 4 s takes two, one of 5 s takes two, one of 2 s takes one."""
    assert cut_lengths(pieces(0, 60), 4) == [(0, 4), (4, 4)]
    assert cut_lengths(pieces(0, 61), 4) == [(0, 4), (4, 4), (8, 4)]
    assert cut_lengths(pieces(0, 60), 5) == [(0, 4), (4, 4)]
    assert cut_lengths(pieces(0, 31), 2) == [(0, 2), (2, 2), (4, 2)]


def test_a_gop_longer_than_the_limit_is_cut_at_the_next_random_access_point() -> None:
    assert cut_lengths(pieces(0, 61, gop=30), 4) == [(0, 6), (6, 6)]


def test_a_stream_without_random_access_points_is_given_up_in_time() -> None:
    cutter = Cutter(4 * SECOND)
    for piece in pieces(0, 1000, gop=10**6):
        assert cutter.push(piece) == []
    assert [cut.start for piece in pieces(1000, 1031) for cut in cutter.push(piece)] == [1000 * STEP]


@settings(max_examples=50, deadline=None)
@given(gops=st.lists(st.integers(1, 30), min_size=3, max_size=40), limit=st.integers(5, 40))
def test_segments_are_adjacent_begin_at_random_access_points_and_keep_the_limit(gops: list[int], limit: int) -> None:
    starts = [sum(gops[:at]) for at in range(len(gops))]
    stream = [Piece(b"x" * 188, number * STEP, STEP, number in starts) for number in range(sum(gops))]
    cutter = Cutter(limit * STEP)
    cuts = [cut for piece in stream for cut in cutter.push(piece)]
    at = 0
    for cut in cuts:
        start, end = cut.start // STEP, cut.end // STEP
        assert start == at
        in_time = [point for point in [*starts, sum(gops)] if start < point <= start + limit and point in starts]
        assert end == (max(in_time) if in_time else min(point for point in starts if point > start))
        at = end


def test_the_manifest_slides_over_a_continuous_timeline_without_a_fault(origin: Origin) -> None:
    origin.air(pieces(0, 401))
    assert origin.faults() == []
    assert len(origin.polls) == 20
    assert origin.content() == list(range(340, 400))
    assert "#EXT-X-TARGETDURATION:4\n" in origin.manifest
    assert not any(origin.joints)
    assert "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:14:28.000Z" in origin.manifest  # 68 s after the anchor


def test_a_removed_segment_stays_fetchable_for_its_duration_and_one_window(origin: Origin) -> None:
    origin.air(pieces(0, 61))
    first = origin.folder / "one" / f"segment-{origin.listed[0]:010d}.ts"
    origin.air(pieces(61, 81))
    assert first.name not in origin.manifest
    origin.air(pieces(81, 159))  # 15.6 s later; it was listed in a manifest of 12 s and lasts 4 s
    assert first.exists()
    origin.air(pieces(159, 170))
    assert not first.exists()


def test_a_timeline_that_goes_on_over_a_restart_has_no_joint(origin: Origin) -> None:
    origin.air(pieces(0, 65))
    before = origin.listed
    origin.start()
    assert origin.attach("t1") == 60 * STEP  # from the end of the last published segment
    origin.air(pieces(55, 121))
    assert origin.listed == [number + 3 for number in before]
    assert origin.content() == list(range(60, 120))
    assert origin.faults() == []
    assert not any(origin.joints)


def test_what_a_restart_missed_makes_one_discontinuity_and_keeps_the_sequence(origin: Origin) -> None:
    origin.air(pieces(0, 65))
    before = origin.listed
    origin.start()
    origin.air(pieces(95, 200))
    assert origin.faults() == []
    assert origin.listed[-1] > before[-1]
    joints = [text.count("#EXT-X-DISCONTINUITY\n") for text in origin.polls]
    assert max(joints) == 1
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in origin.manifest


def test_another_timeline_ends_the_segment_and_reanchors_the_wall_clock(origin: Origin) -> None:
    origin.air(pieces(0, 65))
    assert origin.attach("t2", anchor_wall_s=WALL_S + 1000, anchor_ticks=500 * STEP) is None
    origin.air(pieces(500, 541))
    assert origin.joints == [False, False, True, False]  # one more, as the short one leaves less than three target durations
    assert origin.content() == [*range(40, 65), *range(500, 540)]
    assert origin.faults() == []
    assert "2023-11-14T22:30:00.000Z" in origin.manifest


def test_the_same_timeline_keeps_its_first_anchor(origin: Origin) -> None:
    """A new host reads the wall clock again; viewers must not see it jump."""
    origin.air(pieces(0, 25))
    assert origin.attach("t1", anchor_wall_s=WALL_S + 33, anchor_ticks=0) == 25 * STEP
    origin.air(pieces(20, 61))
    assert origin.faults() == []
    assert origin.content() == list(range(60))


def test_a_hole_in_the_slices_becomes_a_discontinuity_at_the_next_random_access_point(origin: Origin) -> None:
    origin.air([*pieces(0, 23), *pieces(37, 61)])
    assert origin.joints == [False, False, True]
    assert origin.content() == [*range(23), *range(40, 60)]
    assert origin.faults() == []


def test_joining_in_the_middle_of_a_gop_begins_at_the_next_one(origin: Origin) -> None:
    origin.air(pieces(3, 31))
    assert origin.content() == list(range(10, 30))
    assert origin.joints == [False]


@pytest.mark.parametrize("wreck", [b"", b"garbage", b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n"])
def test_an_unreadable_manifest_never_takes_the_sequence_back(origin: Origin, wreck: bytes) -> None:
    origin.air(pieces(0, 100))
    before = origin.listed
    (origin.folder / "one" / "index.m3u8").write_bytes(wreck)
    origin.start(timeline="t1")
    origin.air(pieces(80, 130))
    assert min(origin.listed) > max(before)
    assert origin.joints[0]
    assert origin.faults()[:1] != ["media sequence went back"]


def test_a_lost_folder_goes_on_behind_what_was_published(origin: Origin) -> None:
    origin.air(pieces(0, 200))
    newest = origin.listed[-1]
    shutil.rmtree(origin.folder / "one")
    origin.start(after=Numbering(newest - 1, 3))
    origin.air(pieces(200, 250))
    assert origin.listed[0] > newest and origin.joints[0]
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:4" in origin.manifest


def test_what_stands_in_the_folder_counts_more_than_what_was_heard_of_it(origin: Origin) -> None:
    origin.air(pieces(0, 100))
    newest = origin.listed[-1]
    origin.start(after=Numbering(1_000, 3))
    origin.air(pieces(100, 150))
    assert newest < origin.listed[-1] < 1_000


def test_a_torn_segment_is_not_listed_again(origin: Origin) -> None:
    """As a power loss may leave it: the newest whole ones stay, numbers go on."""
    origin.air(pieces(0, 61))
    before = origin.listed
    (origin.folder / "one" / f"segment-{before[1]:010d}.ts").write_bytes(b"x" * 100)
    origin.start()
    origin.air(pieces(60, 81))
    assert origin.listed == [before[2], before[2] + 1]


def test_segments_wait_in_memory_while_they_cannot_be_written(origin: Origin) -> None:
    """A file stands in place of the folder for two segments: nothing is lost."""
    origin.air(pieces(0, 35))
    aside = origin.folder / "aside"
    (origin.folder / "one").rename(aside)
    (origin.folder / "one").touch()
    failures = 0
    for piece in pieces(35, 75):
        origin.packager.push(piece)
        try:
            origin.packager.flush()
        except OSError:
            failures += 1
    assert failures > 10
    (origin.folder / "one").unlink()
    aside.rename(origin.folder / "one")
    origin.air(pieces(75, 81))
    assert origin.content() == list(range(20, 80))
    assert origin.faults() == []
    assert not any(origin.joints)


def test_what_waits_longer_than_the_window_is_a_discontinuity(origin: Origin) -> None:
    origin.air(pieces(0, 21))
    aside = origin.folder / "aside"
    (origin.folder / "one").rename(aside)
    (origin.folder / "one").touch()
    for piece in pieces(21, 121):
        origin.packager.push(piece)
        with pytest.raises(OSError) if origin.packager.has_unpublished else nullcontext():
            origin.packager.flush()
    (origin.folder / "one").unlink()
    aside.rename(origin.folder / "one")
    origin.air(pieces(121, 122))
    assert origin.content() == list(range(60, 120))
    assert origin.joints == [True, False, False]
    assert origin.listed == [origin.listed[0] + at for at in range(3)]


def test_a_manifest_that_could_not_be_written_is_written_next_time(origin: Origin) -> None:
    origin.air(pieces(0, 21))
    before = origin.manifest
    (origin.folder / "one" / "index.m3u8.tmp").mkdir()
    with pytest.raises(OSError):
        origin.air(pieces(21, 41))
    assert origin.manifest == before
    (origin.folder / "one" / "index.m3u8.tmp").rmdir()
    origin.air(pieces(41, 42))
    assert origin.content() == list(range(40))


def test_durations_of_a_broken_frame_rate_are_exact(tmp_path: Path) -> None:
    """29.97 fps: GOPs of 60 frames are 180180 ticks; nothing is rounded away over many segments."""
    store = SegmentStore(tmp_path, None, FakeClock())
    packager = Packager("one", store, segment_seconds=Fraction(5), window=5, clock=FakeClock())
    packager.attach(description())
    for piece in pieces(0, 1000, step=18_018):
        packager.push(piece)
        while packager.flush() is not None:
            pass
    segments = parse_manifest((tmp_path / "one" / "index.m3u8").read_text()).segments
    assert {segment.duration_s for segment in segments} == {Fraction("4.004")}
