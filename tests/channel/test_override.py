"""Orders in place of everything: on a channel of files, on air at once, over a restart of control, once, and for a time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from station import Station, settings, until

from channeld.channel.override import Override, OverrideBook
from channeld.channel.timetable import Slot, Timetable
from channeld.control_override import OverrideDesk

OpenStation = Callable[..., Station]


def titles(station: Station) -> list[str]:
    """What began to air, oldest first."""
    return [each["title"] or "" for each in reversed(station.events.as_run("one", 1000))]


@pytest.fixture
def station(station_of: OpenStation, shelf: Path) -> Station:
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\nb.mp4\nc.mp4\n")
    return station_of(settings(playlist))


@pytest.fixture
def desk(station: Station) -> OverrideDesk:
    assert station.means.overrides is not None
    return OverrideDesk(station.loop, station.registry, station.means.overrides, station.events)


def order(desk: OverrideDesk, **facts: object) -> list[str]:
    return desk.order(None, **{"text": None, "path": None, "seconds": None, "once": False, **facts})  # type: ignore[arg-type]


def test_a_text_airs_at_once_until_it_is_lifted_and_the_list_goes_on_where_it_was(station: Station, desk: OverrideDesk) -> None:
    station.until_aired(3)
    assert order(desk, text="Back soon: 14:00") == ["one"]
    until(lambda: (station.shown()["now"] or {}).get("title") == "Back soon: 14:00", "the text on air")
    assert station.shown()["override"]["is_ready"] and station.shown()["override"]["until"] is None
    before = titles(station)
    last = [title for title in before if title in ("a", "b", "c")][-1]
    desk.lift("one")
    until(lambda: (station.shown()["now"] or {}).get("title") in ("a", "b", "c"), "the list again")
    following = next(title for title in titles(station)[len(before) :] if title in ("a", "b", "c"))
    assert following == "abc"[("abc".index(last) + 1) % 3]
    assert station.shown()["override"] is None


def test_a_file_airs_once_as_an_announcement(station: Station, desk: OverrideDesk) -> None:
    station.until_aired(2)
    order(desk, path="d.mp4", once=True)
    until(lambda: "d" in titles(station), "the announcement")
    until(lambda: station.shown()["override"] is None, "the end of the order")
    station.until_aired(len(station.aired()) + 2)
    assert titles(station).count("d") == 1
    (shown,) = [each for each in station.events.as_run("one", 1000) if each["title"] == "d"]
    assert shown["frames"] == 25  # to its end


def test_an_order_ends_when_its_time_is_over(station: Station, desk: OverrideDesk) -> None:
    station.until_aired(1)
    order(desk, text="A moment", seconds=6)
    until(lambda: "A moment" in titles(station), "the text on air")
    until(lambda: station.shown()["override"] is None, "its end")
    until(lambda: (station.shown()["now"] or {}).get("title") in ("a", "b", "c"), "the list again")
    frames = sum(each["frames"] or 0 for each in station.events.as_run("one", 1000) if each["title"] == "A moment")
    assert 50 <= frames <= 200, "six seconds, less what it took to begin"


def in_a_moment(after_s: float, **what: Any) -> Slot:
    return Slot(datetime.now() + timedelta(seconds=after_s), **what)


def test_the_timetable_airs_a_text_at_its_time_and_a_file_once(station_of: OpenStation, shelf: Path) -> None:
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\nb.mp4\nc.mp4\n")
    before = settings(playlist)
    station = station_of(before)
    station.until_aired(1)
    table = Timetable((in_a_moment(3, seconds=6, text="It is time"), in_a_moment(10, seconds=60, file=str(shelf / "d.mp4"), once=True)))
    station.registry.renew([replace(before, timetable=table)])
    assert station.shown()["timetable"]["now"] is None and station.shown()["timetable"]["next"]["title"] == "It is time"
    until(lambda: (station.shown()["now"] or {}).get("title") == "It is time", "the text on air")
    assert station.shown()["override"]["by"] == "timetable"
    until(lambda: station.shown()["override"] is None, "its end")
    until(lambda: "d" in titles(station), "the file")
    until(lambda: (station.shown()["now"] or {}).get("title") in ("a", "b", "c"), "the list again")
    assert titles(station).count("d") == 1


def test_what_somebody_orders_goes_before_the_timetable(station_of: OpenStation, shelf: Path) -> None:
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\n")
    station = station_of(replace(settings(playlist), timetable=Timetable((in_a_moment(-60, seconds=3600, text="By the clock"),))))
    assert station.means.overrides is not None
    desk = OverrideDesk(station.loop, station.registry, station.means.overrides, station.events)
    until(lambda: (station.shown()["now"] or {}).get("title") == "By the clock", "the timetable's text")
    order(desk, text="By order")
    until(lambda: (station.shown()["now"] or {}).get("title") == "By order", "the order")
    desk.lift("one")
    until(lambda: (station.shown()["now"] or {}).get("title") == "By the clock", "the timetable's text again")


def test_what_is_lifted_on_all_is_lifted_on_channels_that_are_not_there_now(station: Station, desk: OverrideDesk) -> None:
    book = station.means.overrides
    assert book is not None
    book.set("gone", Override("Please leave the building", None, 0.0, None, once=False))
    desk.lift("one")
    assert book.of("gone") is not None
    desk.lift(None)
    assert book.of("gone") is None


def test_a_file_outside_of_the_media_roots_is_refused_and_nothing_is_ordered(station: Station, desk: OverrideDesk) -> None:
    with pytest.raises(Exception, match="outside the media roots"):
        order(desk, path="/etc/hostname")
    with pytest.raises(Exception, match="either"):
        order(desk)
    assert station.shown()["override"] is None


def test_orders_are_read_again_and_a_damaged_book_overrides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "overrides.json"
    kept = Override("Stop", None, 1000.0, 2000.0)
    book = OverrideBook(path)
    book.set("one", kept)
    book.set("two", replace(kept, text="Other"))
    book.set("two", None)
    assert (OverrideBook(path).of("one"), OverrideBook(path).of("two")) == (kept, None)
    path.write_text('{"one": [1]}')
    assert OverrideBook(path).of("one") is None
