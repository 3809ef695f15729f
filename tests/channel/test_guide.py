"""A channel's programmes follow each other: the past as logged, the present, the forecast, and hours without names behind it."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from station import settings

from channeld.base.clock import iso_utc
from channeld.channel.guide import HORIZON_S, Outlook, listed, programmes
from channeld.channel.guide_text import Programme
from channeld.channel.settings import ServedTarget
from channeld.playlist.forecast import Airing
from channeld.playlist.model import Entry

NOW_S = 1_800_000_000.0


def line(number: int, starts_s: float, ends_s: float | None, title: str | None = "old") -> dict[str, Any]:
    """One of the as-run log."""
    ended = None if ends_s is None else iso_utc(ends_s)
    return {"id": number, "started_at": iso_utc(starts_s), "ended_at": ended, "title": title, "entry": f"e{number}"}


def coming(*lengths_s: float, after_s: float) -> tuple[Airing, ...]:
    airings = []
    for number, length_s in enumerate(lengths_s):
        airings.append(Airing(Entry(f"c{number}", f"{number}.mp4", Path(f"/{number}.mp4"), None, f"clip {number}"), after_s, length_s))
        after_s += length_s
    return tuple(airings)


def outlook(now: Programme | None, following: tuple[Airing, ...] = (), *, is_airing: bool = True) -> Outlook:
    return Outlook(NOW_S, now, following, is_airing=is_airing, is_estimated=False)


NOW = Programme(NOW_S - 10, NOW_S + 20, "now", "e9")


def test_past_present_and_future_touch_each_other():
    told = programmes(
        "One", [line(2, NOW_S - 40, NOW_S - 10), line(1, NOW_S - 70, NOW_S - 40)], outlook(NOW, coming(30, 40, after_s=NOW_S + 20))
    )
    assert [each.title for each in told[:5]] == ["old", "old", "now", "clip 0", "clip 1"]
    assert all(before.stops_s == after.starts_s for before, after in pairwise(told))


def test_the_present_is_told_once_though_the_log_has_it_too():
    told = programmes("One", [line(1, NOW_S - 70, NOW_S - 10), line(2, NOW_S - 10, None, "now")], outlook(NOW))
    assert [each.title for each in told[:2]] == ["old", "now"]
    assert told[1] == NOW


def test_behind_the_forecast_hours_of_the_channels_name_fill_a_day():
    told = programmes("One", [], outlook(NOW, coming(30, after_s=NOW_S + 20)))
    blocks = told[2:]
    assert {each.title for each in blocks} == {"One"}
    assert all(each.stops_s % 3600 == 0 and each.stops_s - each.starts_s <= 3600 for each in blocks)
    assert blocks[-1].stops_s >= NOW_S + HORIZON_S


def test_time_off_the_air_is_a_gap():
    told = programmes("One", [line(1, NOW_S - 900, NOW_S - 800), line(2, NOW_S - 100, NOW_S - 50)], outlook(None, is_airing=False))
    assert [(each.starts_s - NOW_S, each.stops_s - NOW_S) for each in told] == [(-900, -800), (-100, -50)]


def test_the_filler_goes_by_the_channels_name():
    (told,) = programmes("One", [line(1, NOW_S - 30, None, None)], outlook(None, is_airing=False))
    assert (told.title, told.stops_s) == ("One", NOW_S)


def test_a_line_that_was_never_ended_reaches_to_the_next():
    told = programmes("One", [line(1, NOW_S - 90, None), line(2, NOW_S - 60, NOW_S - 30)], outlook(None, is_airing=False))
    assert [each.stops_s - NOW_S for each in told] == [-60, -30]


def test_a_channel_is_watched_by_hls_else_by_ts_if_it_is_on(tmp_path: Path):
    hls, ts = ServedTarget("hls", "hls", "http://h/hls"), ServedTarget("ts", "ts", "http://h/ts")
    off = ServedTarget("hls", "hls", "http://h/hls", enabled=False)
    playlist = tmp_path / "list.txt"
    assert listed(settings(playlist, targets=(ts, hls))).path == "/hls/one/index.m3u8"
    assert listed(settings(playlist, targets=(off, ts))).path == "/ts/one"
    assert listed(settings(playlist, targets=(off,))).path is None
