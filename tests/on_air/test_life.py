"""Ends and beginnings: triggers, outputs that fail alone, deaths of every process, and a daemon that is started again.

Rule: processes die as they do in the world, by SIGKILL; what must be the same afterwards is judged, and nothing may be left.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil
import pytest
from clips import numbered_clip
from judge.hls import parse_manifest
from judge.hls_recorder import HlsRecorder
from judge.ts import read_ts
from nginx_origin import NginxOrigin, missing_parts, wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon, command_line, free_ports, origin_ports, still_there
from timeline import DECK, WATCHED

HLS: dict[str, Any] = {"hls": {"segment_seconds": 1, "window": 6}}
RATE = Fraction(FPS)
QUIET_END_S = 20.0

DaemonOf = Callable[..., RunningDaemon]


@pytest.fixture
def deck_list(tmp_path: Path, deck: Path) -> Path:
    path = tmp_path / "deck.txt"
    path.write_text("".join(f"{deck / name}\n" for name in DECK))
    return path


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[NginxOrigin]:
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    made = NginxOrigin(tmp_path / "origin", ports=origin_ports(), fragment_s=1)
    made.start()
    yield made
    made.stop()


def channel_of(playlist: Path, deck: Path, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": [*outputs]}


def is_on_air(channel: dict[str, Any]) -> bool:
    return bool(channel["state"] == "on_air")


def is_up(channel: dict[str, Any]) -> bool:
    return is_on_air(channel) and all(output["state"] == "up" for output in channel["outputs"])


def test_stop_start_and_restart_do_what_they_say(daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path) -> None:
    daemon = daemon_of({"one": channel_of(deck_list, deck, HLS, {"ts": {}})}, cache=prepared)
    daemon.start()
    route = "/api/v1/channels/one"
    daemon.wait_for("one", is_up, what="the channel to be up")
    assert daemon.post(f"{route}/start").status_code == 200
    assert daemon.post(f"{route}/stop").status_code == 202
    daemon.wait_for("one", lambda channel: channel["state"] == "stopped", what="the channel to stop")
    assert daemon.post(f"{route}/stop").status_code == 200
    assert daemon.post(f"{route}/skip").status_code == 409
    assert not daemon.answers("/readyz")
    assert daemon.answers("/healthz")
    assert daemon.post(f"{route}/start").status_code == 202
    daemon.wait_for("one", is_up, what="the channel to be up again")
    with TsRecorder(daemon.ts_url("one"), daemon.folder / "kept.ts") as viewer:
        begun = len(daemon.airings("one"))
        assert daemon.post(f"{route}/restart").status_code == 202
        wait_until(lambda: len(daemon.airings("one")) > begun + 1, what="clips after the restart")
    daemon.wait_for("one", is_up, what="the channel to be up after the restart")
    assert viewer.trouble == []


def test_an_output_that_fails_touches_no_other_and_no_other_channel(
    daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path, origin: NginxOrigin
) -> None:
    """One of two pushes goes to a port where nobody listens; then the good one's nginx dies and comes back."""
    (nobody,) = free_ports(1)
    failing = {"rtmp": {"name": "failing", "url": f"rtmp://127.0.0.1:{nobody}/live/x"}}
    working = {"rtmp": {"name": "working", "url": origin.rtmp_url("one")}}
    channels = {"one": channel_of(deck_list, deck, failing, working, {"ts": {}}), "two": channel_of(deck_list, deck, {"ts": {}})}
    daemon = daemon_of(channels, cache=prepared)
    daemon.start()
    daemon.wait_for("one", lambda channel: _states(channel)["working"] == "up", what="the good push to be up")
    viewers = {name: TsRecorder(daemon.ts_url(name), daemon.folder / f"{name}.ts").start() for name in channels}
    daemon.wait_for("one", lambda channel: _outputs(channel)["failing"]["last_error"], what="the failing push to say why")
    origin.crash()
    daemon.wait_for("one", lambda channel: _states(channel)["working"] != "up", what="the loss to be noticed")
    origin.start()
    daemon.wait_for("one", lambda channel: _states(channel)["working"] == "up", what="the good push to be up again", timeout_s=40)
    origin.wait_for_segments("one", 2)
    assert _states(daemon.channel("one"))["failing"] != "up"
    for viewer in viewers.values():
        viewer.close()
        assert viewer.trouble == []
        assert read_ts(viewer.path, fps=RATE, allowances=WATCHED).faults() == [], viewer.url


def _outputs(channel: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {output["name"]: output for output in channel["outputs"]}


def _states(channel: dict[str, Any]) -> dict[str, str]:
    return {name: output["state"] for name, output in _outputs(channel).items()}


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path) -> None:
    first = daemon_of({"one": channel_of(deck_list, deck, {"ts": {}})}, cache=prepared)
    first.start()
    command = [sys.executable, "-m", "channeld", "run", "--config", str(first.config_path)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"pid {first.pid}," in second.stderr
    assert first.answers("/readyz")


def test_sigterm_while_clips_are_prepared_ends_soon_and_leaves_nothing(daemon_of: DaemonOf, tmp_path: Path, media_dir: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    numbered_clip(folder / "long.mp4", frames=1500, size=(320, 180))
    daemon = daemon_of({"one": channel_of(folder, folder, {"ts": {}})})
    daemon.config["profiles"]["small"].update(width=1280, height=720, preset="slow")
    daemon.launch()
    wait_until(lambda: _prepares(daemon), what="FFmpeg to encode", timeout_s=60)
    assert daemon.stop(within_s=QUIET_END_S) == []


def _prepares(daemon: RunningDaemon) -> bool:
    return any("ffmpeg" in words and "libx264" in words for words in map(command_line, daemon.family()))


def test_dead_workers_and_pushes_come_back_while_the_air_goes_on(
    daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path, origin: NginxOrigin
) -> None:
    daemon = daemon_of({"one": channel_of(deck_list, deck, HLS, {"rtmp": origin.rtmp_url("one")})}, cache=prepared)
    daemon.start()
    daemon.wait_for("one", is_up, what="the channel to be up")
    origin.wait_for_segments("one", 1)
    host = _child(daemon, "channeld.playout.host")
    with HlsRecorder(daemon.hls_url("one"), daemon.folder / "kept") as viewer:
        viewer.wait_for_segments(2, 20)
        for words in ("channeld.api.media_worker", "rtmp://"):
            dead = _child(daemon, words)
            dead.kill()
            wait_until(lambda words=words, dead=dead: _is_new(daemon, words, dead), what=f"a new {words}")  # type: ignore[misc]
        daemon.wait_for("one", is_up, what="the outputs to be up again", timeout_s=40)
        viewer.wait_for_segments(len(viewer.fetched) + 3, 20)
    assert _child(daemon, "channeld.playout.host") == host
    # The ring holds what the dead worker had not written yet: its successor goes on without a seam.
    assert [fetched.segment for fetched in viewer.fetched.values() if fetched.segment.discontinuity] == []
    assert sorted(viewer.fetched) == list(range(min(viewer.fetched), max(viewer.fetched) + 1))
    assert read_ts(viewer.concatenate(), fps=RATE, allowances=WATCHED, segment_bytes=viewer.sizes()).faults() == []
    assert [airing for airing in daemon.airings("one")[1:] if airing["ended"] not in ("end", None)] == []


def _child(daemon: RunningDaemon, words: str) -> psutil.Process:
    found = daemon.child(words)
    assert found is not None, words
    return found


def _is_new(daemon: RunningDaemon, words: str, dead: psutil.Process) -> bool:
    found = daemon.child(words)
    return found is not None and found != dead


def test_a_dead_playout_host_is_replaced_and_the_channel_is_back(daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path) -> None:
    daemon = daemon_of({"one": channel_of(deck_list, deck, HLS, {"ts": {}})}, cache=prepared)
    daemon.start()
    daemon.wait_for("one", is_up, what="the channel to be up")
    with HlsRecorder(daemon.hls_url("one"), daemon.folder / "kept") as viewer:
        viewer.wait_for_segments(2, 20)
        begun = len(daemon.airings("one"))
        _child(daemon, "channeld.playout.host").kill()
        wait_until(lambda: len(daemon.airings("one")) > begun + 2, what="clips after the death", timeout_s=40)
        last = max(viewer.fetched)
        wait_until(lambda: max(viewer.fetched) > last + 2, what="segments after the death", timeout_s=40)
    assert viewer.faults(discontinuities=0) == []


def test_a_daemon_started_again_goes_on_in_the_same_manifest(daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path) -> None:
    daemon = daemon_of({"one": channel_of(deck_list, deck, HLS)}, cache=prepared)
    daemon.start()
    with HlsRecorder(daemon.hls_url("one"), daemon.folder / "before") as before:
        assert before.wait_for_segments(4, 40)
    assert daemon.stop() == []
    daemon.start()
    with HlsRecorder(daemon.hls_url("one"), daemon.folder / "after") as after:
        assert after.wait_for_segments(14, 60)
    assert before.faults(discontinuities=0) == []
    assert after.faults(discontinuities=1) == []
    joint = next(number for number, fetched in sorted(after.fetched.items()) if fetched.segment.discontinuity)
    assert joint > max(before.fetched)
    newest = parse_manifest((daemon.folder / "hls" / "one" / "index.m3u8").read_text())
    assert newest.media_sequence > joint, "the joint still stands in the manifest"
    assert newest.discontinuity_sequence == 1


def test_the_daemons_own_death_leaves_the_air_and_the_next_one_goes_on_with_it(
    daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path, origin: NginxOrigin
) -> None:
    daemon = daemon_of({"one": channel_of(deck_list, deck, HLS, {"rtmp": origin.rtmp_url("one")})}, cache=prepared)
    daemon.start()
    daemon.wait_for("one", is_up, what="the channel to be up")
    with HlsRecorder(daemon.hls_url("one"), daemon.folder / "kept") as viewer:
        viewer.wait_for_segments(2, 20)
        family = daemon.family()
        daemon.kill()
        daemon.start()
        daemon.wait_for("one", is_up, what="the channel to be up again", timeout_s=40)
        last = max(viewer.fetched)
        wait_until(lambda: max(viewer.fetched) > last + 2, what="segments after the death", timeout_s=40)
    assert viewer.faults(discontinuities=0) == []
    assert daemon.stop() == []
    assert [command_line(process) for process in still_there(family)] == []


def test_ctrl_c_ends_a_foreground_daemon_as_sigterm_does(daemon_of: DaemonOf, deck_list: Path, deck: Path, prepared: Path) -> None:
    """The terminal sends SIGINT to the whole process group; children leave the ending to the daemon."""
    daemon = daemon_of({"one": channel_of(deck_list, deck, {"ts": {}})}, cache=prepared)
    daemon.start()
    family, process = daemon.family(), daemon.process
    assert process is not None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(15) == 0
    assert [command_line(each) for each in still_there(family)] == []
