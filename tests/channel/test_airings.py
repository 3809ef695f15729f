"""What is told of each airing: held against the clips and orders that led to it, on a real host."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from clips import numbered_clip
from station import Station, settings, until

from channeld.store.records import Outcome
from channeld.store.store import AiringFilter

OpenStation = Callable[..., Station]


def write(path: Path, *names: str) -> Path:
    """Replace a list at once."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text("".join(f"{name}\n" for name in names))
    fresh.rename(path)
    return path


def lines(station: Station) -> list[dict[str, Any]]:
    """Everything, oldest first."""
    return station.events.airings.lines(AiringFilter(outcomes=tuple(Outcome)), 10_000).rows[::-1]


def at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def test_planned_and_actual_start_frames_and_ticks_fit_together(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4")))
    until(lambda: len([line for line in lines(station) if line["ended"] == "end" and line["path"]]) >= 4, "four clips")
    ended = [line for line in lines(station) if line["ended"] == "end" and line["path"]]
    assert all((line["frames"], line["frames_planned"]) == (25, 25) for line in ended)
    assert all(abs(at(line["ended_at"]) - at(line["started_at"]) - 1.0) < 0.002 for line in ended)
    follower = [line for line in lines(station) if line["planned_at"] is not None]
    assert follower and all(abs(at(line["planned_at"]) - at(line["started_at"])) < 0.1 for line in follower)
    ticks = [line["ticks"] for line in lines(station)]
    frames = [line["frames"] for line in lines(station)]
    assert all(ticks[index + 1] - ticks[index] == frames[index] * 3600 for index in range(len(ticks) - 1))
    assert len({line["timeline"] for line in lines(station)}) == 1


def test_orders_that_cut_a_clip_are_named(station_of: OpenStation, shelf: Path) -> None:
    numbered_clip(shelf / "long.mp4", frames=400, size=(320, 180))
    station = station_of(settings(write(shelf / "list.txt", "long.mp4")))
    until(lambda: "long.mp4" in station.aired(), "the long clip")
    station.order(station.channel().skip)
    until(lambda: any(line["reason"] == "skip" for line in lines(station)), "the skip")
    until(lambda: station.aired()[-1] == "long.mp4" and station.shown()["now"], "the clip again")
    station.order(station.channel().stop)
    station.until_state("stopped")
    cut = [line for line in lines(station) if line["path"] == "long.mp4" and line["ended"]]
    assert [(line["outcome"], line["reason"]) for line in cut] == [("cut", "skip"), ("cut", "stop")]
    assert 0 < cut[0]["frames"] < cut[0]["frames_planned"] == 400
    assert 0 < cut[1]["frames"] < 400 and cut[1]["ticks"] == cut[0]["ticks"] + 3600 * cut[0]["frames"]


def test_a_filler_that_goes_round_counts_all_its_frames(station_of: OpenStation, shelf: Path, media_dir: Path) -> None:
    playlist = write(shelf / "list.txt")
    station = station_of(settings(playlist, filler=shelf / "d.mp4"))
    until(lambda: station.shown()["timeline"]["ticks"] > 90_000 * 5, "more than one round of a filler of a second")
    write(playlist, "a.mp4")
    station.until_aired(1)
    filler, clip = lines(station)[:2]
    assert clip["ticks"] - filler["ticks"] == 3600 * filler["frames"] and filler["frames"] > 50


def test_a_filler_says_whose_place_it_takes_and_why_it_ends(station_of: OpenStation, shelf: Path) -> None:
    playlist = write(shelf / "list.txt", "missing.mp4")
    station = station_of(settings(playlist))
    until(lambda: station.aired() == [""], "the filler")
    (filler,) = lines(station)
    assert (filler["path"], filler["entry"], filler["reason"]) == (None, None, "no entry of the list can air")
    write(playlist, "a.mp4")
    station.until_aired(1)
    assert [(line["outcome"], line["reason"]) for line in lines(station)][:1] == [("cut", "an entry was ready")]


def test_an_entry_that_is_not_ready_is_told_as_substituted(station_of: OpenStation, shelf: Path) -> None:
    numbered_clip(shelf / "new.mp4", frames=400, size=(320, 180))
    station = station_of(settings(write(shelf / "list.txt", "new.mp4")))
    until(lambda: len(lines(station)) >= 2, "the filler, and whose place it takes")
    filler, substituted = lines(station)[:2]
    assert filler["path"] is None and filler["reason"].startswith("new.mp4: ")
    assert (substituted["outcome"], substituted["path"]) == ("substituted", "new.mp4")
    assert substituted["reason"]


def test_refused_entries_are_told_each_time_their_turn_comes(station_of: OpenStation, shelf: Path) -> None:
    (shelf / "noise.mp4").write_bytes(bytes(5000))
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "missing.mp4", "noise.mp4", "b.mp4")))
    skipped: dict[str, str] = {}

    def both_told() -> bool:
        skipped.update((line["path"], line["reason"]) for line in lines(station) if line["outcome"] == "skipped")
        return len(skipped) == 2

    until(both_told, "both")
    assert set(skipped) == {"missing.mp4", "noise.mp4"} and all(skipped.values())
    station.until_aired(6)
    told = [line["path"] for line in lines(station) if line["outcome"] == "skipped"]
    assert told.count("missing.mp4") >= 2
