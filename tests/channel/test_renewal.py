"""Channels that come, change and go while others are on air, over real hosts and pushes."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from station import SMALL, Station, settings, until

from channeld.channel.settings import PushedTarget, ServedTarget

OpenStation = Callable[..., Station]
HLS = ServedTarget("hls", "hls", "http://origin/hls/one/index.m3u8", segment_s=1.0, window=3)
TS = ServedTarget("ts", "ts", "http://origin/ts/one")


@pytest.fixture
def target() -> Iterator[str]:
    """A port that takes connections and says nothing: an FFmpeg that pushes there lives and waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live"


def push(target: str, name: str) -> PushedTarget:
    return PushedTarget(name, f"{target}/{name}", f"{target}/{name}")


def outputs(station: Station) -> dict[str, dict[str, Any]]:
    return {output["name"]: output for output in station.shown()["outputs"]}


def until_pushed(station: Station, name: str) -> int:
    """Wait for an output's FFmpeg; gives its pid."""
    until(lambda: outputs(station).get(name, {}).get("pid"), f"the push {name}")
    return int(outputs(station)[name]["pid"])


def opened(station_of: OpenStation, shelf: Path, *targets: Any) -> Station:
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    station = station_of(settings(shelf / "list.txt", targets=targets), workers=1)
    station.until_state("on_air")
    return station


def test_an_output_comes_changes_and_goes_and_the_others_keep_their_processes(station_of: OpenStation, shelf: Path, target: str) -> None:
    station = opened(station_of, shelf, push(target, "kept"), push(target, "moved"), HLS)
    before, host = station.channel().settings, station.hosts.pids()
    kept, moved = until_pushed(station, "kept"), until_pushed(station, "moved")
    changed = replace(push(target, "moved"), url=f"{target}/elsewhere")
    targets = (push(target, "kept"), changed, push(target, "new"), replace(HLS, window=5), TS)
    assert station.registry.renew([replace(before, targets=targets)]) == []
    until_pushed(station, "new")
    until(lambda: until_pushed(station, "moved") != moved, "another FFmpeg for the other target")
    until(lambda: outputs(station)["hls"]["state"] == "up" and outputs(station)["ts"]["state"] == "up", "what is served")
    assert until_pushed(station, "kept") == kept and outputs(station)["kept"]["restarts"] == 0

    station.registry.renew([replace(before, targets=(push(target, "kept"), TS))])
    assert list(outputs(station)) == ["kept", "ts"] and until_pushed(station, "kept") == kept
    assert "stopped" not in [state["state"] for state in states(station)]
    assert station.hosts.pids() == host


def states(station: Station) -> list[dict[str, Any]]:
    """Every state that the channel was told to be in."""
    listener = station.events.subscribe(0)
    found = []
    while (event := listener.get(0.0)) is not None:
        if event["kind"] == "channel_state":
            found.append(event)
    listener.close()
    return found


def test_name_list_and_order_change_without_a_break(station_of: OpenStation, shelf: Path) -> None:
    station = opened(station_of, shelf)
    (shelf / "other.txt").write_text("c.mp4\nd.mp4\n")
    before = station.channel().settings
    station.registry.renew([replace(before, name="Two", playlist=shelf / "other.txt", order="shuffle", shuffle_seed=5)])
    until(lambda: "d.mp4" in station.aired() and "c.mp4" in station.aired(), "the other list")
    assert station.shown()["name"] == "Two" and station.shown()["revision"] == 2
    assert [event["state"] for event in states(station)] == ["starting", "on_air"]
    (shelf / "other.txt").write_text("a.mp4\n")
    until(lambda: station.shown()["revision"] == 3, "the other list is watched")
    (shelf / "list.txt").write_text("b.mp4\n")
    station.registry.renew([replace(station.channel().settings, name="Three")])
    assert station.shown()["revision"] == 3, "the first list is not watched any more"


def test_another_format_restarts_the_channel_and_keeps_its_revision(station_of: OpenStation, shelf: Path) -> None:
    station = opened(station_of, shelf)
    before = station.channel().settings
    assert station.registry.renew([replace(before, profile=replace(SMALL, name="other", height=160))]) == ["one"]
    until(lambda: station.shown()["profile"] == "other", "the other format")
    until(lambda: station.shown()["state"] in ("on_air", "filler"), "the channel to be back")
    assert station.shown()["revision"] == 1
    assert [event["state"] for event in states(station)][2:4] == ["stopping", "stopped"]


def test_channels_come_and_go_and_may_come_back_before_they_are_gone(station_of: OpenStation, shelf: Path) -> None:
    station = opened(station_of, shelf)
    one = station.channel().settings
    (shelf / "two.txt").write_text("c.mp4\n")
    two = settings(shelf / "two.txt", "two")
    station.registry.renew([one, two])
    station.until_state("on_air", "two")
    station.registry.renew([two])
    station.registry.renew([one, two])
    station.until_state("on_air")
    station.registry.renew([two])
    until(lambda: list(station.registry.channels) == ["two"], "the first to leave")
    assert not station.order(lambda: station.registry.is_stopped)
    assert [event["channel"] for event in states(station) if event["state"] == "stopped"].count("two") == 0


def test_a_disabled_channel_stops_and_an_enabled_one_starts(station_of: OpenStation, shelf: Path) -> None:
    station = opened(station_of, shelf)
    one = station.channel().settings
    station.registry.renew([replace(one, enabled=False)])
    station.until_state("stopped")
    station.registry.renew([replace(one, enabled=False, name="Still off")])
    assert station.shown()["state"] == "stopped" and station.shown()["name"] == "Still off"
    station.registry.renew([one])
    station.until_state("on_air")


def test_a_channel_that_people_stopped_stays_off_when_something_of_it_changes(station_of: OpenStation, shelf: Path) -> None:
    station = opened(station_of, shelf)
    station.order(station.channel().stop)
    station.until_state("stopped")
    station.registry.renew([replace(station.channel().settings, profile=replace(SMALL, height=160))])
    assert station.shown()["state"] == "stopped"
