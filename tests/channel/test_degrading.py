"""A channel whose parts end too often: it does without them, its neighbour notices nothing, and it climbs back by itself."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import numbered_clip
from station import Station, settings, until

from channeld.channel.budget import BudgetRules
from channeld.channel.settings import PushedTarget

OpenStation = Callable[..., Station]
QUICK = BudgetRules(push_restarts=3, air_ends=2, window_s=12.0, output_rest_s=(1.5, 3.0), entry_rest_s=(3.0, 6.0), calm_s=1.0)
"""The ladder of the defaults, in seconds instead of minutes."""


@pytest.fixture
def target() -> Iterator[str]:
    """A port that takes connections and says nothing: an FFmpeg that pushes there lives and waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live"


def push(target: str, name: str) -> PushedTarget:
    return PushedTarget(name, f"{target}/{name}", f"{target}/{name}")


@contextmanager
def killer(look: Callable[[], int | None]) -> Iterator[list[int]]:
    """Kills the process that `look` names, again and again; gives the pids, oldest first."""
    over, killed = threading.Event(), []

    def kill() -> None:
        while not over.wait(0.02):
            pid = look()
            if pid is not None and pid not in killed:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, name="test:killer")
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def kinds(station: Station, channel: str) -> list[str]:
    """What was told of a channel's budget, oldest first."""
    listener = station.events.subscribe(0)
    assert listener is not None
    told: list[dict[str, Any]] = []
    while (event := listener.get(0.0)) is not None:
        told.append(event)
    listener.close()
    return [
        event["kind"] for event in told if event.get("channel") == channel and event["kind"] in ("channel_degraded", "channel_recovered")
    ]


def playing(station: Station) -> int | None:
    """The host, once it has told how far channel `one` is."""
    told = station.registry.hosts.get(0)
    return station.hosts.pids().get("host:0") if told is not None and "one" in told["channels"] else None


def output(station: Station, channel: str, name: str) -> dict[str, Any]:
    return next(dict(each) for each in station.shown(channel)["outputs"] if each["name"] == name)


def test_a_push_that_ends_again_and_again_rests_and_the_others_stay(station_of: OpenStation, shelf: Path, target: str) -> None:
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    one = settings(shelf / "list.txt", "one", targets=(push(target, "ill"), push(target, "well")))
    station = station_of(one, settings(shelf / "list.txt", "two", targets=(push(target, "two"),)), budget=QUICK)
    places = (("one", "well"), ("two", "two"))
    until(lambda: all(output(station, *place).get("pid") for place in places), "the pushes")
    pids = {place: output(station, *place)["pid"] for place in places}
    with killer(lambda: output(station, "one", "ill").get("pid")) as killed:
        until(lambda: output(station, "one", "ill")["state"] == "resting", "the rest")
        shown = station.shown("one")
        assert len(killed) >= QUICK.push_restarts
        tries = len(killed)
        until(lambda: len(killed) > tries, "another try, which fails too")
    assert shown["degraded"]["step"] == "outputs" and "ill" in shown["degraded"]["reason"]
    assert output(station, "one", "ill")["restarts"] >= QUICK.push_restarts
    assert {place: output(station, *place)["pid"] for place in places} == pids
    assert station.shown("two")["degraded"] is None and shown["state"] == "on_air"
    until(lambda: station.shown("one")["degraded"] is None, "the way back")
    assert output(station, "one", "ill")["pid"] and kinds(station, "one")[-1] == "channel_recovered" and kinds(station, "two") == []


def test_an_entry_that_the_host_dies_of_is_passed_over_and_tried_again_later(station_of: OpenStation, shelf: Path) -> None:
    numbered_clip(shelf / "ill.mp4", frames=500, size=(320, 180))
    numbered_clip(shelf / "calm.mp4", frames=1500, size=(320, 180))
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    (shelf / "calm.txt").write_text("calm.mp4\n")
    station = station_of(settings(shelf / "list.txt", "one"), settings(shelf / "calm.txt", "two"), budget=QUICK)
    until(lambda: (station.shown("two")["now"] or {"position_s": 0})["position_s"] > 4, "the neighbour in the middle of its clip")
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\nill.mp4\n")

    def ill() -> int | None:
        now = station.shown("one")["now"]
        return playing(station) if now is not None and now["path"] == "ill.mp4" else None

    with killer(ill) as killed:
        until(lambda: station.shown("one")["degraded"], "the channel to do without it")
        shown, aired = station.shown("one"), len(station.aired("one"))
        until(lambda: len([name for name in station.aired("one")[aired:] if name in ("a.mp4", "b.mp4")]) >= 2, "the other entries")
    assert shown["degraded"]["step"] == "entry" and "ill.mp4" in shown["degraded"]["reason"]
    assert [each["path"] for each in shown["skipped"]] == ["ill.mp4"] and "passed over" in shown["skipped"][0]["reason"]
    left = [each for each in station.events.as_run("one", 100) if each["path"] == "ill.mp4" and each["outcome"] == "cut"]
    assert "passed over" in left[0]["reason"]
    assert 2 <= len(killed) <= 5
    assert station.shown("two")["degraded"] is None
    assert [each["outcome"] for each in station.events.as_run("two", 100) if each["path"] == "calm.mp4"] == ["on_air"]
    until(lambda: station.shown("one")["degraded"] is None, "the way back")
    seen = len(station.aired("one"))
    until(lambda: "ill.mp4" in station.aired("one")[seen:], "the entry again")
    assert kinds(station, "one") == ["channel_degraded", "channel_recovered"] and kinds(station, "two") == []


@pytest.mark.long
def test_a_channel_that_ends_whatever_airs_has_its_filler_until_it_may_be_well_again(station_of: OpenStation, shelf: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        numbered_clip(shelf / name, frames=200, size=(320, 180))
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    strict = replace(QUICK, window_s=24.0, entry_rest_s=(5.0, 5.0), calm_s=60.0)
    station = station_of(settings(shelf / "list.txt", "one"), budget=strict)
    station.until_aired(1)
    with killer(lambda: playing(station) if station.shown("one")["now"] is not None else None):
        until(lambda: (station.shown("one")["degraded"] or {}).get("step") == "filler", "the filler")
        station.until_state("filler")
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 1.0, "a second of filler")
        assert station.shown("one")["state"] == "filler"
    until(lambda: station.shown("one")["degraded"] is None, "the way back", timeout_s=90)
    seen = len(station.aired("one"))
    until(lambda: {"a.mp4", "b.mp4"} <= set(station.aired("one")[seen:]), "the list")
    assert kinds(station, "one")[0] == "channel_degraded" and kinds(station, "one")[-1] == "channel_recovered"
