"""Channels on air: a real host, real prepared clips, the real library; started, stopped, edited, broken and healed."""

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from clips import numbered_clip, text_file
from station import Station, settings, until

from channeld.channel import registry as registry_module
from channeld.channel.state import State
from channeld.playlist.parse import parse
from channeld.playlist.shelf import Shelf

OpenStation = Callable[..., Station]


def write(path: Path, *names: str) -> Path:
    """Replace a list at once."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text("".join(f"{name}\n" for name in names))
    fresh.rename(path)
    return path


def follows(aired: list[str], order: str) -> bool:
    """Each airing is the one after its predecessor in a loop of one-letter names."""
    letters = [name[0] for name in aired]
    return all(order[(order.index(left) + 1) % len(order)] == right for left, right in pairwise(letters))


def test_prepared_clips_air_in_order_without_a_filler_between(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4", "c.mp4")))
    station.until_aired(3)  # the first two seconds are released in one burst, which clips this short may not fill
    begun = len(station.aired())
    aired = station.until_aired(8)
    assert aired[0] == "a.mp4" and follows(aired[3:], "abc")
    assert "" not in station.aired()[begun:]


def test_the_channel_object_tells_what_airs_and_what_comes(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4")))
    station.until_aired(4)
    until(lambda: station.shown()["prepared"]["dry_at"] is None, "all prepared")
    shown = station.shown()
    assert shown["state"] == "on_air" and shown["revision"] == 1 and shown["edit_error"] is None
    assert shown["now"]["duration_s"] == 1.0 and 0 <= shown["now"]["position_s"] <= 1.0
    assert len(shown["next"]) >= 5 and all(each["ready"] and each["starts_at"] for each in shown["next"])
    assert shown["skipped"] == []
    assert shown["prepared"] == {"ready_s": 2.0, "needed_s": 2.0, "eta_s": 0.0, "dry_at": None, "fits_cache": True}


def test_an_edit_counts_from_the_next_boundary_and_entries_keep_their_place(station_of: OpenStation, shelf: Path) -> None:
    playlist = write(shelf / "list.txt", "a.mp4", "b.mp4")
    station = station_of(settings(playlist))
    station.until_aired(1)
    write(playlist, "a.mp4", "b.mp4", "c.mp4")
    until(lambda: station.shown()["revision"] == 2, "the edit")
    seen = len([name for name in station.aired() if name])
    assert follows(station.until_aired(seen + 4)[seen:], "abc")


def test_an_invalid_edit_leaves_the_air_be_and_is_told_until_it_is_mended(station_of: OpenStation, shelf: Path) -> None:
    playlist = shelf / "list.yaml"
    playlist.write_text("- a.mp4\n- b.mp4\n")
    station = station_of(settings(playlist))
    station.until_aired(1)
    playlist.write_text("- a.mp4\n- {path: b.mp4, nonsense: 1}\n")
    until(lambda: station.shown()["edit_error"], "the fault")
    fault = station.shown()["edit_error"]
    assert (fault["file"], fault["line"]) == (str(playlist), 2)
    seen = len(station.until_aired(1))
    assert follows(station.until_aired(seen + 3), "ab") and station.shown()["revision"] == 1
    playlist.write_text("- a.mp4\n- b.mp4\n")
    until(lambda: station.shown()["edit_error"] is None, "the mended list")
    assert station.shown()["revision"] == 1


def test_a_list_that_is_not_there_yet_is_taken_when_it_comes(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(shelf / "list.txt"))
    station.until_state("filler")
    shown = station.shown()
    assert shown["now"] is None and shown["edit_error"]["file"] == str(shelf / "list.txt")
    write(shelf / "list.txt", "a.mp4")
    assert station.until_aired(2)[0] == "a.mp4"
    assert station.shown()["edit_error"] is None


def test_a_folder_is_a_list_that_grows_with_its_files(station_of: OpenStation, shelf: Path) -> None:
    folder = shelf / "folder"
    folder.mkdir()
    shutil.copy(shelf / "a.mp4", folder)
    station = station_of(settings(folder))
    station.until_aired(1)
    (shelf / "b.mp4").rename(folder / "b.mp4")
    until(lambda: "b.mp4" in station.aired(), "the new file")
    assert station.until_aired(2)[0] == "a.mp4"


def test_a_missing_file_is_skipped_and_airs_when_it_came(
    station_of: OpenStation, shelf: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "LOOK_AGAIN_S", 0.2)
    (shelf / "b.mp4").unlink()
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4")))
    station.until_aired(2)
    assert [(each["path"], each["reason"]) for each in station.shown()["skipped"]] == [("b.mp4", "no such file")]
    shutil.copy(clip_folder / "b.mp4", shelf / "arriving")
    (shelf / "arriving").rename(shelf / "b.mp4")
    until(lambda: "b.mp4" in station.aired(), "the file that came")
    assert station.shown()["skipped"] == []


def test_a_refused_clip_is_shown_with_its_reason_and_never_next(station_of: OpenStation, shelf: Path) -> None:
    text_file(shelf / "fake.mp4")
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "fake.mp4", "b.mp4")))
    until(lambda: station.shown()["skipped"], "the refusal")
    (skipped,) = station.shown()["skipped"]
    assert skipped["path"] == "fake.mp4" and skipped["reason"]
    assert "fake.mp4" not in {each["path"] for each in station.shown()["next"]}
    seen = len(station.until_aired(1))
    assert "fake.mp4" not in station.until_aired(seen + 3)


def test_play_next_airs_once_and_the_list_goes_on(station_of: OpenStation, shelf: Path) -> None:
    playlist = write(shelf / "list.txt", "a.mp4", "b.mp4")
    station = station_of(settings(playlist))
    station.until_aired(1)
    until(lambda: station.shown()["prepared"]["dry_at"] is None, "all prepared")
    (entry,) = parse(b"d.mp4\n", source=playlist, rules=station.channel().settings.rules).entries
    station.order(lambda: station.channel().play_next(entry))
    until(lambda: "d.mp4" in station.aired(), "the inserted clip")
    seen = len(station.until_aired(1))
    aired = station.until_aired(seen + 3)
    assert Counter(aired)["d.mp4"] == 1
    assert follows([name for name in aired if name != "d.mp4"], "ab")


def test_skip_ends_the_clip_at_a_cut(station_of: OpenStation, shelf: Path) -> None:
    numbered_clip(shelf / "long.mp4", frames=200, size=(320, 180))
    station = station_of(settings(write(shelf / "list.txt", "long.mp4", "a.mp4")))
    until(lambda: "long.mp4" in station.aired(), "the long clip")
    assert station.order(station.channel().skip) is True
    until(lambda: any(each["ended"] == "cut" for each in station.events.as_run("one", 100) if each["path"]), "the cut")


def test_a_channel_can_be_stopped_while_its_filler_is_prepared(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4")), prepared=False)
    station.until_state("starting")
    assert station.order(station.channel().stop) is True
    station.until_state("stopped")
    assert station.order(station.channel().stop) is False


def test_starts_and_stops_in_any_order_leave_one_air(station_of: OpenStation, shelf: Path) -> None:
    """A filler asked for by an earlier start must not open a second air."""
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4")), prepared=False)
    channel = station.channel()
    for _ in range(5):
        station.order(channel.stop)
        station.order(channel.start)
        station.order(channel.restart)
    station.order(channel.start)
    station.until_aired(2)
    rings = station.order(lambda: len(station.media._rings))
    assert rings == 1 and station.order(channel.start) is False


def test_restart_goes_on_after_the_entry_that_aired(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4", "c.mp4")))
    seen = len(station.until_aired(2))
    station.order(station.channel().restart)
    aired = station.until_aired(seen + 3)
    # What began while the restart was under way, unheard, begins again.
    assert "c.mp4" in aired and follows([name for name, _ in groupby(aired)], "abc"), aired


def test_a_killed_host_is_started_again_and_its_channels_go_on(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4")), settings(shelf / "list.txt", "two"))
    station.until_aired(1)
    station.until_aired(1, "two")
    before = station.hosts.pids()["host:0"]
    os.kill(before, signal.SIGKILL)
    until(lambda: station.losses, "the loss")
    seen = {name: len(station.until_aired(1, name)) for name in ("one", "two")}
    for name, count in seen.items():
        station.until_aired(count + 2, name)
    assert station.hosts.pids()["host:0"] != before
    assert "status -9" in station.shown()["last_error"]


def test_a_channel_whose_host_is_away_goes_on_air_when_it_is_back(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4")))
    station.until_aired(1)
    station.order(station.channel().stop)
    station.until_state("stopped")
    place = station.hosts._hosts[0]
    station.order(lambda: setattr(place, "is_ready", False))
    station.order(station.channel().start)
    until(lambda: station.order(lambda: station.channel().planner.filler), "the filler")
    assert station.shown()["state"] == "starting"
    seen = len(station.until_aired(1))
    station.order(lambda: setattr(place, "is_ready", True))
    station.until_aired(seen + 1)


def test_a_prepared_clip_that_is_damaged_is_made_anew(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4")), prepared=True)
    station.until_aired(1)
    until(lambda: station.shown()["prepared"]["dry_at"] is None, "all prepared")
    (name,) = [name for name in station.order(lambda: list(station.clips._wanted["one"].requests)) if "b.mp4" in name]
    clip = station.clips._library.state(name).clip  # type: ignore[union-attr]
    assert clip is not None
    with clip.ts_path.open("r+b") as file:
        file.seek(clip.bytes // 3)
        file.write(b"\0" * 2000)
    seen = len(station.until_aired(1))
    aired = station.until_aired(seen + 6)
    assert "b.mp4" in aired[seen + 2 :], aired


def test_clips_on_air_and_planned_are_pinned_and_let_go(station_of: OpenStation, shelf: Path) -> None:
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "b.mp4")))
    station.until_aired(2)
    keys = station.order(lambda: set(station.clips._held["one"]))
    assert len(keys) == 3  # the filler and both clips
    assert station.cache.evict(1 << 30, lambda key: None) is None
    assert all(station.cache.find(key) for key in keys)
    station.order(station.channel().stop)
    station.until_state("stopped")
    assert station.order(lambda: station.clips._held["one"]) == set()


def test_a_clip_that_grows_makes_no_storm_of_plans(station_of: OpenStation, shelf: Path) -> None:
    numbered_clip(shelf / "long.mp4", frames=1500, size=(320, 180))
    station = station_of(settings(write(shelf / "list.txt", "a.mp4", "long.mp4")))
    told: list[str] = []
    change = station.clips._on_change
    station.clips._on_change = lambda channel: (told.append(channel), change(channel))[1]
    until(lambda: "long.mp4" in station.aired(), "the long clip")
    until(lambda: station.shown()["prepared"]["dry_at"] is None, "all prepared")
    assert len(told) <= 6, told  # 15 blocks of 4 s grew


def test_reading_a_list_late_never_undoes_a_newer_one(station_of: OpenStation, shelf: Path) -> None:
    playlist = write(shelf / "list.txt", "a.mp4")
    station = station_of(settings(playlist))
    station.until_aired(1)
    channel = station.channel()
    rules = channel.settings.rules
    old, new = (parse(text, source=playlist, rules=rules) for text in (b"b.mp4\n", b"c.mp4\n"))
    early = channel.readings.take()
    station.order(lambda: channel.apply(new))
    station.order(lambda: channel.apply(old, early))
    assert [entry.locator for entry in station.order(channel.rundown.listed)] == ["c.mp4"]


def test_a_station_that_closes_leaves_no_thread_and_no_descriptor(tmp_path: Path, prepared_folder: Path, shelf: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    write(shelf / "list.txt", "a.mp4")
    before, threads = opened(), set(threading.enumerate())
    with Station(tmp_path, [settings(shelf / "list.txt")], cache=shutil.copytree(prepared_folder, tmp_path / "cache")) as station:
        station.until_aired(1)
        for _ in range(3):
            station.order(station.channel().restart)
            seen = len(station.until_aired(1))
            station.until_aired(seen + 1)
    assert station.channel().state is State.STOPPED
    assert set(threading.enumerate()) - threads == set()
    assert opened() == before


def test_a_list_that_broke_while_control_was_away_is_replaced_by_the_last_valid_one(station_of: OpenStation, shelf: Path) -> None:
    playlist = shelf / "list.yaml"
    Shelf(shelf.parent / "lists").keep("one", b"- a.mp4\n- b.mp4\n")
    playlist.write_text("- {path: a.mp4, nonsense: 1}\n")
    station = station_of(settings(playlist))
    until(lambda: {"a.mp4", "b.mp4"} <= set(station.aired()), "both entries of the kept list")
    assert station.shown()["edit_error"]["line"] == 1
