"""As-run: what aired is proven line by line, over restarts, and whatever becomes of the database."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from channeld.base.clock import iso_utc
from channeld.channel.events import EventLog
from channeld.store.records import Outcome
from channeld.store.store import AiringFilter, Store

BEGIN_S = 1_790_000_000.0
EVERYTHING = AiringFilter(outcomes=tuple(Outcome))


class Life:
    """One process's log over the folder's database."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.store.open()
        self.log = EventLog(self.store)
        self.store.start(self.log.publish, self.log.remembered)

    def start(self, serial: int, path: str | None, at_s: float, *, channel: str = "one", timeline: str = "life") -> None:
        facts: dict[str, Any] = {"channel": channel, "serial": serial, "timeline": timeline, "entry": "e1", "title": path, "path": path}
        planned = {"planned_at": iso_utc(BEGIN_S + at_s - 0.5), "frames_planned": 250, "ticks": int(at_s * 90_000)}
        self.log.publish("entry_started", at=iso_utc(BEGIN_S + at_s), **planned, **facts)

    def end(self, serial: int, at_s: float, *, channel: str = "one", timeline: str = "life", **facts: Any) -> None:
        told = {"frames": 250, "reason": "end", "error": None, **facts}
        self.log.publish("entry_ended", channel=channel, serial=serial, timeline=timeline, ended_at=iso_utc(BEGIN_S + at_s), **told)

    def lines(self, wanted: AiringFilter = EVERYTHING, limit: int = 100) -> list[dict[str, Any]]:
        return self.log.airings.lines(wanted, limit).rows


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[[], Life]]:
    lives: list[Life] = []

    def run() -> Life:
        for each in lives:
            each.store.close()
        lives.append(Life(tmp_path))
        return lives[-1]

    yield run
    for each in lives:
        each.store.close()


def test_a_line_tells_what_was_planned_and_what_was_sent(live: Callable[[], Life]) -> None:
    life = live()
    life.start(1, "a.mp4", 10.0)
    life.end(1, 20.0)
    (line,) = life.lines()
    assert line == {
        "id": 1,
        "channel": "one",
        "timeline": "life",
        "serial": 1,
        "entry": "e1",
        "title": "a.mp4",
        "path": "a.mp4",
        "planned_at": iso_utc(BEGIN_S + 9.5),
        "started_at": iso_utc(BEGIN_S + 10.0),
        "ended_at": iso_utc(BEGIN_S + 20.0),
        "ticks": 900_000,
        "frames_planned": 250,
        "frames": 250,
        "outcome": "end",
        "ended": "end",
        "reason": None,
        "error": None,
    }


def test_the_airing_on_air_stays_open_over_a_restart_and_is_ended_by_the_report_that_comes_later(live: Callable[[], Life]) -> None:
    live().start(7, "a.mp4", 10.0)
    after = live()
    assert [(line["outcome"], line["ended"]) for line in after.lines()] == [("on_air", None)]
    after.end(7, 12.0, frames=50, reason="cut", cause="skip")
    assert [(line["id"], line["path"], line["ended"], line["frames"], line["reason"]) for line in after.lines()] == [
        (1, "a.mp4", "cut", 50, "skip")
    ]


def test_an_adopted_airing_is_not_told_twice(live: Callable[[], Life]) -> None:
    live().start(7, "a.mp4", 10.0)
    after = live()
    after.log.publish("entry_continued", channel="one", serial=7, timeline="life", entry="e1", path="a.mp4", at=iso_utc(BEGIN_S + 10.0))
    assert len(after.lines()) == 1 and len(after.log.airings.remembered()) == 1


def test_an_adopted_airing_whose_beginning_nobody_heard_gets_its_line(live: Callable[[], Life]) -> None:
    life = live()
    life.start(7, "a.mp4", 10.0)
    life.log.publish("entry_continued", channel="one", serial=9, timeline="life", entry="e3", path="c.mp4", at=iso_utc(BEGIN_S + 30.0))
    assert [(line["serial"], line["outcome"]) for line in life.lines()] == [(9, "on_air"), (7, "lost")]


def test_an_end_that_comes_late_takes_the_place_of_lost(live: Callable[[], Life]) -> None:
    life = live()
    life.start(1, "a.mp4", 10.0)
    life.start(2, "b.mp4", 20.0)
    life.end(1, 20.0)
    assert [(line["path"], line["outcome"]) for line in life.lines()] == [("b.mp4", "on_air"), ("a.mp4", "end")]
    assert [airing.outcome for airing in life.log.airings.remembered()] == [Outcome.END, Outcome.ON_AIR]


def test_what_did_not_get_its_turn_is_told_with_the_reason(live: Callable[[], Life]) -> None:
    life = live()
    at = iso_utc(BEGIN_S)
    for kind, reason in (
        ("entry_passed_over", "it was not prepared in time"),
        ("entry_substituted", "gone"),
        ("entry_skipped", "no video"),
    ):
        life.log.publish(kind, channel="one", entry="e2", path="b.mp4", title="B", reason=reason, at=at)
    assert [(line["outcome"], line["reason"], line["ended"]) for line in life.lines()] == [
        ("skipped", "no video", None),
        ("substituted", "gone", None),
        ("passed_over", "it was not prepared in time", None),
    ]
    assert life.lines(AiringFilter()) == []


@pytest.fixture
def week(live: Callable[[], Life]) -> Life:
    """Two channels, three clips, the filler."""
    life = live()
    for number in range(12):
        path = (None, "films/a.mp4", "films/b.mp4", "c%.mp4")[number % 4]
        channel = ("one", "two")[number % 2]
        life.start(number + 1, path, number * 100.0, channel=channel)
        life.end(number + 1, number * 100.0 + 40.0, channel=channel, frames=1000, reason="cut" if number == 5 else "end")
    return life


FILTERS = {
    "channel": (AiringFilter(channel="two"), 6),
    "from": (AiringFilter(from_s=BEGIN_S + 1000.0), 2),
    "to": (AiringFilter(to_s=BEGIN_S + 300.0), 3),
    "path": (AiringFilter(path="films/a.mp4"), 3),
    "file name": (AiringFilter(path="a.mp4"), 3),
    "not a pattern": (AiringFilter(path="%.mp4"), 0),
    "percent": (AiringFilter(path="c%.mp4"), 3),
    "outcome": (AiringFilter(outcomes=(Outcome.CUT,)), 1),
    "page": (AiringFilter(before=4), 3),
    "all of them": (AiringFilter("two", BEGIN_S, BEGIN_S + 600.0, "a.mp4", (Outcome.CUT,)), 1),
}


@pytest.mark.parametrize(("wanted", "expected"), FILTERS.values(), ids=FILTERS)
def test_filters_choose_the_same_lines_in_the_database_and_in_memory(week: Life, wanted: AiringFilter, expected: int) -> None:
    found = week.lines(wanted)
    assert len(found) == expected
    remembered = [each.id for each in reversed(week.log.airings.remembered()) if wanted.admits(each)]
    assert [line["id"] for line in found] == remembered


def test_totals_tell_how_often_and_how_long_each_clip_aired(week: Life) -> None:
    rows = week.log.airings.totals(AiringFilter(channel="two")).rows
    assert [(row["path"], row["airings"], row["frames"], row["aired_s"]) for row in rows] == [
        ("c%.mp4", 3, 3000, 120.0),
        ("films/a.mp4", 3, 3000, 120.0),
    ]
    assert rows[1]["first_at"] == iso_utc(BEGIN_S + 100.0) and rows[1]["last_at"] == iso_utc(BEGIN_S + 900.0)


def test_without_a_database_the_answer_is_what_is_in_memory_and_says_so(week: Life, tmp_path: Path) -> None:
    lines, totals = week.lines(), week.log.airings.totals(AiringFilter())
    week.store.flush()
    for path in tmp_path.glob("channeld.db*"):
        path.unlink()
    (tmp_path / "channeld.db").mkdir()
    week.start(13, "d.mp4", 5_000.0)
    page = week.log.airings.lines(EVERYTHING, 100)
    assert page.problem is not None and page.problem.startswith("only what is in memory: ")
    assert page.rows[1:] == lines and page.rows[0]["path"] == "d.mp4"
    assert week.log.airings.totals(AiringFilter(to_s=BEGIN_S + 4_000.0)).rows == totals.rows


def test_a_page_of_the_newest_lines_needs_no_database(live: Callable[[], Life]) -> None:
    """Nobody waits for the disk to hear what has just aired; a page that reaches further back is asked of the database."""
    life = live()
    for serial in range(1, 6):
        life.start(serial, "a.mp4" if serial % 2 else "b.mp4", 10.0 * serial)
        life.end(serial, 10.0 * serial + 9)
    written = life.lines(limit=50)
    life.store.close()
    life.store.airings = lambda *_: pytest.fail("the database was asked")  # type: ignore[method-assign,assignment]
    assert life.lines(limit=5) == written
    assert life.lines(AiringFilter(path="b.mp4"), limit=2) == [line for line in written if line["path"] == "b.mp4"]
    assert life.lines(AiringFilter(before=3), limit=2) == written[-2:]


def test_a_line_on_air_outlives_all_that_comes_meanwhile(live: Callable[[], Life], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channeld.channel.as_run.KEPT_AIRINGS", 3)
    life = live()
    life.start(1, "film.mp4", 1.0, channel="long")
    for serial in range(1, 6):
        life.start(serial, "a.mp4", 10.0 * serial)
        life.end(serial, 10.0 * serial + 9)
    life.end(1, 90.0, channel="long")
    (film,) = life.lines(AiringFilter(channel="long"), limit=1)
    assert (film["id"], film["started_at"], film["outcome"]) == (1, iso_utc(BEGIN_S + 1.0), "end")
    assert [line["id"] for line in life.lines(limit=10)] == [6, 5, 4, 3, 2, 1], "older ones come from the database"
    assert [line["id"] for line in life.lines(limit=2)] == [6, 5]
