"""Media workers and hosts as children: served, killed, served again."""

import os
import signal
import time
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from station import Station, settings, until

from channeld.channel import host_hub, standstill
from channeld.channel.settings import ServedTarget

OpenStation = Callable[..., Station]
HLS = ServedTarget("hls", "hls", "http://origin/hls/one/index.m3u8", segment_s=1.0, window=3)


def manifest(station: Station) -> str:
    """What the media worker serves now; empty while it serves nothing."""
    if station.media.port is None:
        return ""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{station.media.port}/hls/one/index.m3u8", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:  # HTTPError and URLError are, too
        return ""


def segments(station: Station) -> list[str]:
    return [line for line in manifest(station).splitlines() if line and not line.startswith("#")]


def output(station: Station) -> dict[str, Any]:
    return dict(station.shown()["outputs"][0])


def open_one(station_of: OpenStation, shelf: Path) -> Station:
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    station = station_of(settings(shelf / "list.txt", targets=(HLS,)), workers=1)
    until(lambda: len(segments(station)) >= 2, "a manifest")
    return station


def test_a_channel_is_served_and_its_output_is_up(station_of: OpenStation, shelf: Path) -> None:
    station = open_one(station_of, shelf)
    until(lambda: output(station)["state"] == "up", "the output up")
    assert output(station)["restarts"] == 0 and output(station)["last_error"] is None


def test_a_killed_worker_serves_again_and_the_air_did_not_notice(station_of: OpenStation, shelf: Path) -> None:
    station = open_one(station_of, shelf)
    host, worker = station.hosts.pids()["host:0"], station.media.pids()["media:0"]
    before = segments(station)
    os.kill(worker, signal.SIGKILL)
    until(lambda: output(station)["restarts"] == 1, "the loss")
    assert "status -9" in output(station)["last_error"]
    until(lambda: (now := segments(station)) and now[-1] > max(before), "newer segments")
    until(lambda: output(station)["state"] == "up", "the output up")
    assert station.hosts.pids()["host:0"] == host and station.losses == []
    assert station.media.pids()["media:0"] != worker


def test_of_two_workers_the_one_that_hangs_is_replaced(station_of: OpenStation, shelf: Path) -> None:
    """They share a port, so that every other viewer waits for ever: the one that packages is not to blame for it."""
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    station = station_of(settings(shelf / "list.txt", targets=(HLS,)), workers=2)
    until(lambda: len(segments(station)) >= 2, "a manifest")
    packager = zlib.crc32(b"one") % 2
    pids = station.media.pids()
    frozen, other = f"media:{1 - packager}", f"media:{packager}"
    os.kill(pids[frozen], signal.SIGSTOP)
    until(lambda: station.order(station.media.silent) == [1 - packager], "the silence")
    station.order(lambda: station.media.restart_hanging("one"))
    until(lambda: station.media.pids().get(frozen) not in (None, pids[frozen]), "another worker")
    assert station.media.pids()[other] == pids[other]


def test_a_worker_that_stands_still_is_replaced_also_where_nobody_looks_at_what_it_serves(
    station_of: OpenStation, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "LOOK_S", 0.5)
    (shelf / "list.txt").write_text("a.mp4\n")
    station = station_of(settings(shelf / "list.txt", targets=(ServedTarget("ts", "ts", "http://origin/ts/one"),)), workers=1)
    until(lambda: station.media.pids().get("media:0"), "a worker")
    pid = station.media.pids()["media:0"]
    station.order(standstill.StandstillWatch(station.loop, lambda: tuple(station.media.links.values()), 3.0).start)
    time.sleep(5.0)  # what is tested is time that passes
    assert station.media.pids()["media:0"] == pid, "it says something every second"
    os.kill(pid, signal.SIGSTOP)
    until(lambda: station.media.pids().get("media:0") not in (None, pid), "another worker")


def ring_of(station: Station) -> tuple[int, int]:
    """Ring id and inode of the memfd that the worker was given."""
    ring_id, fd = station.order(lambda: station.media._rings["one"])
    return ring_id, os.fstat(fd).st_ino


def test_after_a_killed_host_the_same_ring_is_served_on_without_a_discontinuity(station_of: OpenStation, shelf: Path) -> None:
    station = open_one(station_of, shelf)
    before, ring = max(segments(station)), ring_of(station)
    os.kill(station.hosts.pids()["host:0"], signal.SIGKILL)
    until(lambda: station.losses, "the loss")
    shown: list[str] = []
    until(lambda: shown.append(manifest(station)) or len(newer(shown[-1], before)) >= 2, "newer segments")
    assert ring_of(station) == ring
    assert not any("#EXT-X-DISCONTINUITY\n" in each for each in shown)


def test_a_host_that_is_slow_to_start_is_not_ended_for_it(station_of: OpenStation, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy beyond its means the next one would be as slow, and the air never there."""
    monkeypatch.setattr(host_hub, "FROZEN_S", 0.0)
    monkeypatch.setattr(host_hub, "WATCH_S", 60.0)
    station = open_one(station_of, shelf)
    before = station.hosts.pids()["host:0"]
    os.kill(before, signal.SIGKILL)
    until(lambda: station.hosts.pids().get("host:0", before) != before, "another host")
    pid = station.hosts.pids()["host:0"]
    os.kill(pid, signal.SIGSTOP)
    for _ in range(host_hub.FROZEN_LOOKS + 1):
        station.order(station.hosts._watch)
    os.kill(pid, signal.SIGCONT)
    newest = max(segments(station))
    until(lambda: newer(manifest(station), newest), "newer segments")
    assert station.hosts.pids()["host:0"] == pid


def newer(text: str, before: str) -> list[str]:
    """The segments of a manifest that come after one."""
    return [line for line in text.splitlines() if line and not line.startswith("#") and line > before]


def test_workers_share_the_cap_by_the_channels_that_each_packages(station_of: OpenStation, shelf: Path) -> None:
    (shelf / "list.txt").write_text("a.mp4\n")
    station = station_of(*(settings(shelf / "list.txt", name, targets=(HLS,)) for name in ("one", "two", "three")), workers=2)
    until(lambda: station.media.port, "a worker")
    station.order(lambda: station.media.change(replace(station.media._listener, hls_max_bytes=900), "error"))
    until(lambda: len(station.order(lambda: station.media._served)) == 3, "all channels")
    packaged = [zlib.crc32(name) % 2 for name in (b"one", b"two", b"three")]
    assert [station.media.cap_of(number) for number in (0, 1)] == [max(1, 300 * packaged.count(number)) for number in (0, 1)]


def test_a_restarted_channel_is_served_again(station_of: OpenStation, shelf: Path) -> None:
    """The old outputs are withdrawn before the new ones are served, whatever is still closing."""
    station = open_one(station_of, shelf)
    for _ in range(3):
        before = max(segments(station))
        station.order(station.channel().restart)
        until(lambda before=before: newer(manifest(station), before), "newer segments")  # type: ignore[misc]
        assert "#EXT-X-DISCONTINUITY\n" in manifest(station), "a restarted channel has another timeline"


def test_a_stopped_channel_is_served_no_more_and_its_ring_is_given_back(station_of: OpenStation, shelf: Path) -> None:
    station = open_one(station_of, shelf)
    station.order(station.channel().stop)
    station.until_state("stopped")
    until(lambda: station.order(lambda: station.media._rings) == {}, "the ring given back")
    assert output(station)["state"] == "stopped"


def test_news_of_a_withdrawn_output_are_not_kept(station_of: OpenStation, shelf: Path) -> None:
    station = open_one(station_of, shelf)
    station.order(station.channel().stop)
    station.until_state("stopped")
    worker = station.order(lambda: next(iter(station.media.links.values())))
    assert worker.alive
    assert station.order(lambda: station.media._states) == {}
