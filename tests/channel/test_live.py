"""Channels of live sources: a real host, real source processes, real FFmpeg; sources begin, are killed, fall silent and come back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest
from peers.fixtures import Maker
from station import Station, relay, settings, until

from channeld.channel import source_desk, standstill
from channeld.channel.settings import LiveSettings, ServedTarget, SourceSettings
from channeld.channel.timetable import Slot, Timetable
from channeld.media.live_input import PATTERN
from channeld.playlist.locate import PathRules

OpenStation = Callable[..., Station]
QUICK = {"loss_grace_s": 1.0, "recovery_grace_s": 1.5, "buffer_s": 0.6}


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


def pattern(name: str) -> SourceSettings:
    return SourceSettings(name, name, PATTERN, PATTERN)


def upstream(name: str, port: int, **options: object) -> SourceSettings:
    url = f"udp://127.0.0.1:{port}"
    return SourceSettings(name, name, url, url, **{"timeout_s": 4.0, **options})  # type: ignore[arg-type]


@contextmanager
def sending(port: int, *, size: str = "160x90", audio: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """An encoder that sends a transport stream to this port."""
    sound = ("-f", "lavfi", "-i", "sine=440:r=44100") if audio else ()
    video = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", *sound, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25")
    to = ("-c:a", "aac", "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316")
    with subprocess.Popen(["ffmpeg", "-nostdin", "-v", "error", "-re", *video, *to], stdin=subprocess.DEVNULL) as sender:
        try:
            yield sender
        finally:
            sender.kill()


def until_on_air(station: Station, title: str) -> None:
    until(lambda: (station.shown()["now"] or {}).get("title") == title, f"{title} on air, not {station.shown()['now']}")


def test_a_live_source_airs_and_is_told(station_of: OpenStation, tmp_path: Path) -> None:
    station = station_of(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK)))
    until_on_air(station, "bars")
    shown = station.shown()
    assert shown["state"] == "on_air" and shown["now"]["duration_s"] is None and shown["next"] == []
    (source,) = shown["sources"]
    assert (source["state"], source["on_air"], source["mode"]) == ("live", True, "transcode")
    frames = station.order(lambda: station.channel().progress.get("frames", 0))
    until(lambda: station.order(lambda: station.channel().progress.get("frames", 0)) > frames + 50, "the source going on")
    assert [each["entry"] for each in station.events.as_run("one", 100) if (each["entry"] or "").startswith("@live")] == ["@live/bars"]


def test_a_source_that_dies_gives_way_to_the_backup_and_comes_back(station_of: OpenStation, tmp_path: Path, port: int) -> None:
    station = station_of(relay(tmp_path, LiveSettings((upstream("main", port), pattern("bars")), **QUICK)))
    with sending(port):
        until_on_air(station, "main")
    until_on_air(station, "bars")
    lost = station.shown()["sources"][0]
    assert (lost["state"], lost["reason"]) == ("lost", "timed_out")
    with sending(port):
        until_on_air(station, "main")
        until(lambda: station.shown()["sources"][1]["state"] == "standby", "the backup at rest")


def test_a_slate_says_why_no_source_is_live(station_of: OpenStation, tmp_path: Path, port: int) -> None:
    refused = SourceSettings("cam", "cam", f"http://127.0.0.1:{port}/nothing.ts", "shown")
    station = station_of(relay(tmp_path, LiveSettings((refused,), **QUICK)))
    slate = "@slate/cannot-connect"
    until(lambda: any(each["entry"] == slate for each in station.events.as_run("one", 100)), "the slate")
    assert station.shown()["state"] == "filler"
    assert station.shown()["sources"][0]["reason"] == "cannot_connect"


def test_a_list_airs_while_no_source_is_live(station_of: OpenStation, tmp_path: Path, shelf: Path, port: int) -> None:
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\nb.mp4\n")
    station = station_of(relay(shelf, LiveSettings((upstream("main", port),), **QUICK), playlist=playlist))
    station.until_aired(3)
    with sending(port):
        until_on_air(station, "main")
    until(lambda: (station.shown()["now"] or {}).get("title") in ("a", "b"), "the list again")
    assert not [each for each in station.aired() if each.startswith("slate")]  # the list is what airs instead


@pytest.mark.long
def test_a_source_without_sound_airs_with_silence(station_of: OpenStation, tmp_path: Path, port: int) -> None:
    station = station_of(relay(tmp_path, LiveSettings((upstream("main", port),), **QUICK)))
    with sending(port, audio=False):
        until_on_air(station, "main")
        # One attempt taught that there is no sound, the next one has silence in its place.
        assert station.shown()["sources"][0]["attempts"] == 2


def test_a_killed_source_process_is_followed_by_another_and_leaves_nothing(station_of: OpenStation, tmp_path: Path) -> None:
    station = station_of(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK)))
    until_on_air(station, "bars")
    before = station.order(station.sources.pids)["one", "bars"]
    os.kill(before, signal.SIGKILL)
    until(lambda: station.shown()["state"] == "filler", "the slate")
    until_on_air(station, "bars")
    assert station.order(station.sources.pids)["one", "bars"] != before
    folder = tmp_path / "run" / "live" / "one" / "bars"
    assert len(list(folder.glob("*.ts.part"))) <= 2  # what the dead one left may be on air, and goes within a minute
    station.order(station.channel().stop)
    until(lambda: not folder.parent.exists(), "the folder gone, and the channel's with it")
    assert station.order(station.sources.pids) == {}


def test_a_killed_host_is_followed_by_one_that_goes_on_with_the_live_source(station_of: OpenStation, tmp_path: Path) -> None:
    station = station_of(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK)))
    until_on_air(station, "bars")
    serial = station.order(lambda: station.channel().rundown.now.serial)
    os.kill(next(iter(station.hosts.pids().values())), signal.SIGKILL)
    until(lambda: station.losses, "the host lost")
    frames = station.order(lambda: station.channel().progress.get("frames", 0))
    until(lambda: station.order(lambda: station.channel().progress.get("frames", 0)) > frames + 50, "the source going on")
    assert station.order(lambda: station.channel().rundown.now.serial) == serial


@pytest.mark.long
def test_other_sources_of_a_channel_are_connected_to_without_leaving_the_air(station_of: OpenStation, tmp_path: Path, port: int) -> None:
    one = LiveSettings((pattern("bars"),), **QUICK)
    station = station_of(relay(tmp_path, one))
    until_on_air(station, "bars")
    two = LiveSettings((upstream("main", port), pattern("bars")), **QUICK)
    station.registry.renew([relay(tmp_path, two)])
    with sending(port):
        until_on_air(station, "main")
    until_on_air(station, "bars")
    assert {entry["entry"] for entry in station.events.as_run("one", 100) if entry["entry"]} >= {"@live/main", "@live/bars"}


def test_a_source_on_demand_is_connected_to_while_somebody_watches(station_of: OpenStation, tmp_path: Path) -> None:
    station = station_of(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK, idle_s=6.0)))
    station.until_state("filler")
    frames = station.order(lambda: station.channel().progress.get("frames", 0))
    until(lambda: station.order(lambda: station.channel().progress.get("frames", 0)) != frames, "the slate on air")
    assert station.order(station.sources.pids) == {}

    def is_on_air_while_watched(viewers: list[str]) -> bool:
        station.order(lambda: station.registry.watched(viewers))
        return (station.shown()["now"] or {}).get("title") == "bars"

    until(lambda: is_on_air_while_watched(["one"]), "the source on air")
    until(lambda: station.order(station.sources.pids) == {}, "the source let go")
    station.until_state("filler")
    assert station.shown()["sources"][0]["state"] == "standby"
    until(lambda: is_on_air_while_watched(["one", "nobody"]), "the source on air again")


def test_a_source_that_is_always_wanted_takes_the_place_of_one_that_is_there_for_viewers(station_of: OpenStation, tmp_path: Path) -> None:
    always = relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK))
    on_demand = replace(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK, idle_s=600.0)), id="two", name="two")
    station = station_of(replace(always, enabled=False), on_demand)
    station.order(lambda: setattr(station.sources, "limit", 1))
    station.order(lambda: station.registry.watched(["two"]))
    until(lambda: (station.shown("two")["now"] or {}).get("title") == "bars", "what somebody watches")
    station.registry.renew([always, on_demand])
    until_on_air(station, "bars")
    assert list(station.order(station.sources.pids)) == [("one", "bars")]
    source = station.shown("two")["sources"][0]
    assert source["state"] == "lost" and "relay.max_concurrent_processes" in source["detail"]


@pytest.mark.parametrize(("segment_s", "idle_s"), [(1.0, 5.0), (10.0, 30.0)])
def test_players_that_ask_once_in_a_segment_watch_all_the_time(tmp_path: Path, segment_s: float, idle_s: float) -> None:
    targets = (ServedTarget("hls", "hls", "", segment_s=segment_s), ServedTarget("ts", "ts", "", segment_s=60.0))
    assert source_desk._idle_s(relay(tmp_path, LiveSettings((pattern("bars"),), idle_s=5.0), targets=targets)) == idle_s
    assert source_desk._idle_s(relay(tmp_path, LiveSettings((pattern("bars"),)), targets=targets)) is None


def test_a_list_behind_sources_airs_the_moment_that_nothing_is_left_of_them(station_of: OpenStation, shelf: Path) -> None:
    """Before anybody could say so: no filler between."""
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\nb.mp4\n")
    station = station_of(relay(shelf, LiveSettings((pattern("bars"),), **{**QUICK, "loss_grace_s": 5.0}), playlist=playlist))
    until_on_air(station, "bars")
    time.sleep(1.0)  # until the list is planned behind it
    for pid in station.order(station.sources.pids).values():
        os.kill(pid, signal.SIGSTOP)
    until(lambda: (station.shown()["now"] or {}).get("title") in ("a", "b"), "the list")
    aired = [each["entry"] for each in reversed(station.events.as_run("one", 100))]
    behind = aired[aired.index("@live/bars") + 1 :]
    assert behind and None not in behind and behind[0] is not None and not behind[0].startswith("@")


@pytest.mark.skipif(os.geteuid() != 0, reason="RLIMIT_NICE may forbid it")
def test_what_takes_a_source_in_goes_before_encoders_and_its_own_does_not(station_of: OpenStation, tmp_path: Path) -> None:
    station = station_of(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK)))
    until_on_air(station, "bars")
    (pid,) = station.order(station.sources.pids).values()
    assert psutil.Process(pid).nice() == -5  # its main thread, and with it all that it starts
    (encoder,) = psutil.Process(pid).children()
    assert encoder.nice() == 3


def test_a_source_process_that_stands_still_is_replaced(station_of: OpenStation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "SILENT_S", 4.0)
    monkeypatch.setattr(standstill, "LOOK_S", 1.0)
    station = station_of(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK)))
    until_on_air(station, "bars")
    (pid,) = station.order(station.sources.pids).values()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: pid not in station.order(station.sources.pids).values(), "its end")
    until(lambda: (station.shown()["now"] or {}).get("title") != "bars", "the slate")
    until_on_air(station, "bars")
    aired = [each["entry"] for each in station.events.as_run("one", 100)]
    assert aired.count("@live/bars") == 2, "what was in store of it aired once"


@pytest.mark.long
def test_an_encoder_that_begins_anew_on_the_same_connection_is_back_at_once(station_of: OpenStation, tmp_path: Path, port: int) -> None:
    source = upstream("main", port, timeout_s=30.0)
    station = station_of(relay(tmp_path, LiveSettings((source,), **QUICK)))
    with sending(port):
        until_on_air(station, "main")
        frames = station.order(lambda: station.channel().progress.get("frames", 0))
        until(lambda: station.order(lambda: station.channel().progress.get("frames", 0)) > frames + 100, "some seconds")
    with sending(port):  # its clock begins near 0 again
        came = station.shown()["sources"][0]["bytes"]
        until(lambda: station.shown()["sources"][0]["bytes"] > came + 200_000, "more of it")
        until_on_air(station, "main")
    assert station.shown()["sources"][0]["attempts"] <= 2


def test_sources_come_and_go_with_a_reload_of_a_channel_that_is_on_air(station_of: OpenStation, shelf: Path) -> None:
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\nb.mp4\n")
    live = relay(shelf, LiveSettings((pattern("bars"),), **QUICK), playlist=playlist)
    station = station_of(replace(live, live=None))
    station.until_aired(2)
    station.registry.renew([live])
    until_on_air(station, "bars")
    station.registry.renew([replace(live, live=None)])
    until(lambda: (station.shown()["now"] or {}).get("title") in ("a", "b"), "the list again")
    until(lambda: station.order(station.sources.pids) == {}, "the source let go")


def test_sources_over_the_limit_are_told_once(station_of: OpenStation, tmp_path: Path) -> None:
    station = station_of(relay(tmp_path, LiveSettings((pattern("bars"),), **QUICK)))
    until_on_air(station, "bars")
    station.order(lambda: station.sources.change(arguments=(), limit=0))
    station.order(station.channel().stop)
    until(lambda: station.order(station.sources.pids) == {}, "the source let go")
    told = len([each for each in station.events.remembered()[0] if each.event["kind"] == "source_state"])
    station.order(station.channel().start)
    until(lambda: "switched off" in str(station.shown()["sources"][0]["detail"]), "why it is not connected to")
    until(lambda: station.order(lambda: station.channel().progress.get("frames", 0)) > 50, "some tries")
    assert len([each for each in station.events.remembered()[0] if each.event["kind"] == "source_state"]) == told + 1


def test_the_timetable_has_another_source_go_first_and_the_list_before_all(station_of: OpenStation, shelf: Path) -> None:
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\nb.mp4\n")
    before = relay(shelf, LiveSettings((pattern("bars"), pattern("hall")), **QUICK), playlist=playlist)
    station = station_of(before)
    until_on_air(station, "bars")
    begins = datetime.now() - timedelta(seconds=1)

    def by_the_clock(slot: Slot) -> None:
        station.registry.renew([replace(before, timetable=Timetable((slot,)))])

    by_the_clock(Slot(begins, 600, source="hall"))
    until_on_air(station, "hall")
    by_the_clock(Slot(begins, 600, is_list=True))
    until(lambda: (station.shown()["now"] or {}).get("title") in ("a", "b"), "the list")
    assert station.shown()["timetable"]["now"]["title"] == "the list"
    by_the_clock(Slot(begins, 1, is_list=True))
    until_on_air(station, "bars")


def test_a_live_source_takes_its_turn_in_a_list_for_its_duration(station_of: OpenStation, shelf: Path, srt_sender: Maker) -> None:
    peer = srt_sender()
    playlist = shelf / "list.yaml"
    playlist.write_text(f"- a.mp4\n- {{path: '{peer.url}', title: Hall, duration: 4}}\n- b.mp4\n")
    before = settings(playlist)
    allowed = PathRules((shelf,), ("http", "srt"), True)
    station = station_of(replace(before, rules=allowed))
    until_on_air(station, "Hall")
    shown = station.shown()["now"]
    assert shown["duration_s"] == 4.0 and 0 <= shown["position_s"] <= 4.0
    until(lambda: sum(each["title"] == "Hall" for each in station.events.as_run("one", 1000)) >= 2, "its next turn")
    lines = [each for each in station.events.as_run("one", 1000) if each["title"]]
    assert {each["title"] for each in lines} == {"a", "b", "Hall"}
    frames = [each["frames"] for each in lines if each["title"] == "Hall" and each["frames"] is not None]
    assert 100 <= max(frames) <= 106  # 4 s at 25 a second, and at most one slice more


def test_a_live_source_that_is_not_there_is_passed_over(station_of: OpenStation, shelf: Path, free_port: Callable[[], int]) -> None:
    playlist = shelf / "list.yaml"
    playlist.write_text(f"- a.mp4\n- {{path: 'srt://127.0.0.1:{free_port()}', title: Hall, duration: 4}}\n- b.mp4\n")
    station = station_of(replace(settings(playlist), rules=PathRules((shelf,), ("http", "srt"), True)))
    station.until_aired(4)
    assert not [each for each in station.events.as_run("one", 1000) if each["title"] == "Hall"]
    assert "Hall" in [each["title"] for each in station.shown()["next"]]  # it keeps its turn
