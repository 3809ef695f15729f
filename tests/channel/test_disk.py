"""When little room is told, and when not any more."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from channeld.channel.alarms import Alarms
from channeld.channel.disk import DiskWatch, Level, Marks, Room, built_in_critical, built_in_low, judge

GIB = 1 << 30
MARKS = Marks(lambda _: 1000, lambda _: 100)


def test_levels_follow_what_is_free() -> None:
    assert judge(Room(10_000, 1000), MARKS) is Level.OK
    assert judge(Room(10_000, 999), MARKS) is Level.LOW
    assert judge(Room(10_000, 99), MARKS) is Level.CRITICAL


def test_a_level_is_left_only_with_a_tenth_more_room() -> None:
    assert judge(Room(10_000, 1050), MARKS, Level.LOW) is Level.LOW
    assert judge(Room(10_000, 1100), MARKS, Level.LOW) is Level.OK
    assert judge(Room(10_000, 105), MARKS, Level.CRITICAL) is Level.CRITICAL
    assert judge(Room(10_000, 111), MARKS, Level.CRITICAL) is Level.LOW


def test_inodes_count_where_they_are_counted() -> None:
    assert judge(Room(10_000, 5000, inodes=1000, free_inodes=4), MARKS) is Level.CRITICAL
    assert judge(Room(10_000, 5000, inodes=1000, free_inodes=15), MARKS) is Level.LOW
    assert judge(Room(10_000, 5000, inodes=0, free_inodes=0), MARKS) is Level.OK


def test_a_read_only_file_system_is_as_good_as_full() -> None:
    assert judge(Room(10_000, 5000, is_read_only=True), MARKS) is Level.CRITICAL


@given(st.integers(min_value=1 << 20, max_value=1 << 50))
def test_the_built_in_marks_leave_most_of_any_disk(total: int) -> None:
    assert 0 < built_in_critical(total) < built_in_low(total) <= total // 5


def test_the_built_in_marks_are_those_of_the_documentation() -> None:
    assert (built_in_low(100 * GIB), built_in_critical(100 * GIB)) == (5 * GIB, GIB)
    assert (built_in_low(10 * GIB), built_in_critical(10 * GIB)) == (GIB, GIB // 4)
    assert (built_in_low(GIB // 2), built_in_critical(GIB // 2)) == (GIB // 10, GIB // 40)


def test_a_folder_that_is_gone_is_an_alarm_and_one_file_system_is_one_subject(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    alarms = Alarms(lambda kind, **facts: told.append({"kind": kind, **facts}))
    rooms: dict[str, Level] = {}
    (tmp_path / "hls").mkdir()
    folders = {"state": tmp_path, "cache": tmp_path, "hls": tmp_path / "hls", "gone": tmp_path / "gone"}
    watch = DiskWatch(folders, Marks(lambda _: 1, lambda _: 1), alarms, lambda name, level, _: rooms.update({name: level}))
    watch.look()
    assert [each["subject"] for each in alarms.standing()] == ["gone"]
    watch.marks = Marks(lambda total: total * 2, lambda _: 1)
    watch.look()
    watch.look()
    assert {each["subject"] for each in alarms.standing()} == {"gone", "state, cache, hls"}
    assert rooms["cache"] is Level.LOW
    (tmp_path / "gone").mkdir()
    watch.marks = Marks(lambda _: 1, lambda _: 1)
    watch.look()
    assert alarms.standing() == []
    assert [each["state"] for each in told] == ["raised", "raised", "cleared", "cleared"]
