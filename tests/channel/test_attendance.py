"""Viewers over time: minutes and hours out of what media workers tell, kept by the store, put together for people."""

from pathlib import Path
from typing import Any

import pytest

from channeld.base.clock import FakeClock
from channeld.channel.attendance import Attendance
from channeld.control_attendance import merged, totals
from channeld.store.records import AudienceSpan
from channeld.store.store import Store

AT_S = 1_800_000_000.0  # an hour begins


def told(viewers: int, *ended_s: float, began: str = "w0", place: str | None = None) -> dict[str, Any]:
    stays = [sum(each < 1 for each in ended_s), sum(each >= 1 for each in ended_s), *[0] * 8]
    kinds = {"protocols": {"ts": viewers}, "agents": {"vlc": viewers}, "places": {place: viewers} if place else {}}
    return {"channel": "one", "began": began, **kinds, "stays": stays, "stayed_s": sum(ended_s)}


class Counting:
    """An attendance, its clock, and what it would have written."""

    def __init__(self) -> None:
        self.clock = FakeClock(wall_s=AT_S)
        self.attendance = Attendance(self.clock)
        self.kept: dict[tuple[int, int], AudienceSpan] = {}
        self.attendance._keep = lambda span: self.kept.update({(span.span_s, span.at_s): span})

    def go(self, seconds: int) -> None:
        for _ in range(seconds // 10):
            self.clock.advance(10)
            self.attendance.tick()


@pytest.fixture
def counting() -> Counting:
    return Counting()


def test_watching_is_summed_by_minute_and_hour_with_its_peak(counting: Counting) -> None:
    counting.attendance.told(0, told(2, place="DE"))
    counting.attendance.told(1, told(1, began="w1"))
    counting.go(30)
    counting.attendance.told(0, told(0, 0.5, 30.0))
    counting.go(60)
    minute, hour = counting.kept[60, int(AT_S)], counting.kept[3600, int(AT_S)]
    assert (minute.peak, minute.viewer_s, minute.protocols, minute.places) == (3, 60 + 60, {"ts": 120.0}, {"DE": 60.0})
    assert (minute.stays[:2], minute.stayed_s) == ([1, 1], 30.5)
    assert (hour.peak, hour.viewer_s) == (3, 120.0)
    counting.go(60)
    assert counting.kept[60, int(AT_S) + 60].peak == 1 and counting.kept[60, int(AT_S) + 60].viewer_s == 60


def test_a_minute_without_viewers_is_not_written(counting: Counting) -> None:
    counting.attendance.told(0, told(1))
    counting.go(10)
    counting.attendance.told(0, told(0, 10.0))
    counting.go(170)
    assert [at_s - int(AT_S) for span_s, at_s in counting.kept if span_s == 60] == [0]


def test_a_worker_that_is_gone_takes_its_viewers_along_and_one_found_at_work_counts_from_now_on(counting: Counting) -> None:
    counting.attendance.told(0, told(4, 5.0, 6.0))
    counting.attendance.lost(0)
    counting.go(60)
    span = counting.kept[60, int(AT_S)]
    assert (span.peak, span.viewer_s, sum(span.stays)) == (4, 0.0, 0)


def test_a_clock_that_is_set_back_leaves_what_was_kept_and_counts_beside_it(counting: Counting) -> None:
    kept: dict[tuple[int, int, int], AudienceSpan] = {}
    counting.attendance._keep = lambda span: kept.update({(span.span_s, span.at_s, span.life): span})
    counting.attendance.told(0, told(1))
    counting.go(3600 + 120)
    first = kept[3600, int(AT_S), int(AT_S * 1000)]
    assert first.viewer_s == 3600.0
    counting.clock.jump(600 - 3720)
    counting.go(120)
    counting.attendance.close()
    assert kept[3600, int(AT_S), int(AT_S * 1000)] == first
    (beside,) = [span for (span_s, at_s, life), span in kept.items() if (span_s, at_s) == (3600, int(AT_S)) and life != first.life]
    assert beside.viewer_s == pytest.approx(120, abs=11)
    assert kept[3600, int(AT_S) + 3600, first.life].viewer_s == pytest.approx(120, abs=1), "the hour that was running is told as it was"


def test_channels_that_nobody_watches_are_forgotten(counting: Counting) -> None:
    counting.attendance.told(0, told(1))
    counting.attendance.told(0, told(0, 5.0))
    counting.go(7300)
    assert counting.attendance._channels == {}
    counting.attendance.told(0, told(1, 5.0))
    counting.go(60)
    assert counting.attendance.current("one", 3600) is not None


def test_what_grows_is_told_and_is_written_at_the_end(counting: Counting) -> None:
    counting.attendance.told(0, told(1))
    counting.clock.advance(5)
    now = counting.attendance.current("one", 60)
    assert now is not None and now.viewer_s == 5
    assert counting.attendance.current("two", 60) is None and not counting.kept
    counting.attendance.close()
    assert set(counting.kept) == {(60, int(AT_S)), (3600, int(AT_S))}


def span(life: int, peak: int, viewer_s: float, *stays: int, at_s: int = int(AT_S)) -> AudienceSpan:
    return AudienceSpan(
        "one", 60, at_s, life, peak, viewer_s, [*stays, *[0] * (10 - len(stays))], 4.0, {"hls": viewer_s}, {"vlc": viewer_s}, {}
    )


def test_spans_are_kept_the_newest_counts_and_those_of_two_controls_become_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open()
    store.start()
    try:
        for each in (span(1, 2, 30.0), span(1, 3, 40.0, 1), span(2, 1, 20.0, 0, 2), span(2, 1, 60.0, at_s=int(AT_S) + 60)):
            store.add_audience(each)
        store.flush()
        found = store.audience("one", 60, AT_S, AT_S + 60, 10)
        assert [(each.life, each.peak) for each in found] == [(2, 1), (1, 3)]
        row = merged(found, 60)
        assert (row["viewers"], row["peak"], row["ended"], row["by_protocol"]) == (1.0, 3, 3, {"hls": 60.0})
        assert [each.at_s for each in store.audience("one", 60, 0, AT_S * 2, 1)] == [int(AT_S) + 60]
    finally:
        store.close()
    assert totals([])["ended_mean_s"] is None and sum(totals([])["stays"].values()) == 0
