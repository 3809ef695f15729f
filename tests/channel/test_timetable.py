"""What a timetable says at a moment: days, dates, overlaps, midnight, and the nights on which clocks are changed."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from channeld.channel.timetable import Slot, Timetable, clash

BERLIN = ZoneInfo("Europe/Berlin")


def moment(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def said(table: Timetable, text: str) -> str | None:
    turn = table.now(moment(text))
    return turn.slot.title if turn is not None else None


def test_a_daily_slot_counts_from_its_time_to_its_end_each_day() -> None:
    table = Timetable((Slot(time(18, 0), 3600, text="news"),), BERLIN)
    assert [said(table, f"2026-11-28T{clock}") for clock in ("17:59:59", "18:00:00", "18:59:59", "19:00:00")] == [
        None,
        "news",
        "news",
        None,
    ]
    assert said(table, "2026-11-29T18:30") == "news"


def test_a_slot_goes_on_over_midnight_and_over_days() -> None:
    table = Timetable((Slot(time(22, 0), 4 * 3600, text="night"), Slot(time(6, 0), 3 * 86_400, days=frozenset({0}), text="fair")), BERLIN)
    assert said(table, "2026-11-29T01:30") == "night"
    assert said(table, "2026-12-02T12:00") == "fair"  # begun on Monday, 30 November
    assert said(table, "2026-12-03T12:00") is None


def test_days_of_the_week_count_where_the_channel_is() -> None:
    table = Timetable((Slot(time(0, 30), 600, days=frozenset({6}), text="sunday"),), BERLIN)
    assert said(table, "2026-11-29T00:35") == "sunday"  # still Saturday in UTC
    assert table.now(moment("2026-11-29T00:35", ZoneInfo("UTC"))) is None


def test_a_date_counts_once() -> None:
    table = Timetable((Slot(datetime(2026, 12, 24, 18), 3600, file="/m/mass.mp4", once=True),), BERLIN)
    assert said(table, "2026-12-24T18:10") == "mass"
    assert said(table, "2027-12-24T18:10") is None
    assert table.next(moment("2026-12-25T00:00")) is None and table.changes_in_s(moment("2026-12-25T00:00")) is None


def test_of_slots_that_overlap_the_one_that_began_last_counts() -> None:
    table = Timetable((Slot(time(8), 8 * 3600, source="hall"), Slot(time(12), 600, is_list=True)), BERLIN)
    assert [said(table, f"2026-11-28T{clock}") for clock in ("11:59", "12:05", "12:10", "16:00")] == ["hall", "the list", "hall", None]


@pytest.mark.parametrize(
    ("night", "length_h"),
    [("2026-03-29", 3.0), ("2026-10-25", 5.0)],  # the night that lacks an hour, and the one that has it twice
)
def test_clocks_that_are_changed_keep_the_time_they_show(night: str, length_h: float) -> None:
    table = Timetable((Slot(time(1), 600, text="early"), Slot(time(5), 600, text="late")), BERLIN)
    early, late = table.now(moment(f"{night}T01:05")), table.now(moment(f"{night}T05:05"))
    assert early is not None and late is not None
    assert late.begins_s - early.begins_s == length_h * 3600


def test_changes_are_foreseen_to_the_second() -> None:
    table = Timetable((Slot(time(18), 3600, text="news"), Slot(time(18, 30), 60, text="flash")), BERLIN)
    waits = [table.changes_in_s(moment(f"2026-11-28T{clock}")) for clock in ("17:59:30", "18:00:00", "18:30:00", "18:31:00")]
    assert waits == [30, 1800, 60, 1740]
    following = table.next(moment("2026-11-28T20:00"))
    assert following is not None and datetime.fromtimestamp(following.begins_s, UTC) == datetime(2026, 11, 29, 17, tzinfo=UTC)


def test_the_machines_own_zone_is_taken_where_none_is_named() -> None:
    now = datetime.now().astimezone()
    table = Timetable((Slot(now.time().replace(microsecond=0), 60, text="now"),))
    assert table.now(now.timestamp()) is not None


def test_two_slots_at_one_time_clash_on_a_day_they_share() -> None:
    monday, tuesday = Slot(time(8), 60, frozenset({0}), text="a"), Slot(time(8), 60, frozenset({1}), text="b")
    assert not clash([monday, tuesday, Slot(time(8, 1), 60, text="c")])
    assert clash([monday, tuesday, Slot(time(8), 60, text="c")])
