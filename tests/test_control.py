"""The daemon as the admin interface sees it: over a real station, playlists as real files."""

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import numbered_clip
from station import Station, settings, until

from channeld.api.control import Invalid, Refused, Stale, UnknownChannel
from channeld.channel.alarms import Alarms
from channeld.channel.override import OverrideBook
from channeld.channel.recent import Recent
from channeld.channel.watching import Watching
from channeld.config import parse_config
from channeld.control import STALLED_S, DaemonControl
from channeld.daemon_figures import Figures
from channeld.daemon_house import Running
from channeld.daemon_relays import RelayChannels, relay_rules
from channeld.daemon_reload import Reloader
from channeld.daemon_take import Taker
from channeld.readback.subject import WatchSettings


def control_of(station: Station) -> DaemonControl:
    config = parse_config(b"channels: {}", Path("channeld.yaml"))
    publish, alarms = station.events.publish, Alarms(station.events.publish)
    watching = Watching(station.registry, station.media, station.means, alarms, WatchSettings(is_enabled=False))
    taker = Taker(station.loop, station.hosts, station.media, station.clips, watching, station.sources, token="a token of tests")
    reloader = Reloader(config, channels=station.registry, taker=taker, publish=publish)
    parts = station.loop, station.hosts, station.media, station.clips, station.registry
    rest = station.events, station.sources, OverrideBook(Path("none"))
    relays = RelayChannels(station.store.relays, relay_rules(config))
    running = Running(*parts, watching, alarms, *rest, relays, station.store)
    figures, recent = Figures(running, reloader, holder=os.getpid()), Recent(station.loop, station.registry)
    seen = station.hosts, station.media, reloader, alarms
    return DaemonControl(station.loop, station.registry, station.events, *seen, metrics=figures.render, recent=recent, restart=lambda: None)


@pytest.fixture
def playlist(tmp_path: Path) -> Path:
    """A list of entries that are not there: nothing of these tests needs to air."""
    path = tmp_path / "media" / "list.txt"
    path.parent.mkdir()
    path.write_text("a.mp4\nb.mp4\n")
    return path


@pytest.fixture
def station(tmp_path: Path, playlist: Path) -> Iterator[Station]:
    with Station(tmp_path, [settings(playlist)]) as opened:
        until(lambda: opened.shown()["revision"] == 1, "the first revision")
        yield opened


@pytest.fixture
def control(station: Station) -> DaemonControl:
    return control_of(station)


def test_a_list_is_written_whole_and_counts_at_once(control: DaemonControl, playlist: Path) -> None:
    trigger = control.write_playlist("one", text="c.mp4\n", entries=None, if_match=frozenset({"1"}))
    assert trigger.revision == 2 and playlist.read_text() == "c.mp4\n"
    document = control.read_playlist("one")
    assert (document.text, document.revision, [entry["path"] for entry in document.entries]) == ("c.mp4\n", 2, ["c.mp4"])
    assert [path.name for path in playlist.parent.iterdir()] == ["list.txt"]


def test_a_stale_writer_changes_nothing(control: DaemonControl, playlist: Path) -> None:
    control.write_playlist("one", text="c.mp4\n", entries=None, if_match=frozenset({"1"}))
    with pytest.raises(Stale):
        control.write_playlist("one", text="d.mp4\n", entries=None, if_match=frozenset({"1"}))
    assert playlist.read_text() == "c.mp4\n"


def test_an_invalid_list_is_refused_with_its_line_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- a.mp4\n")
    with Station(tmp_path, [settings(path)]) as station:
        until(lambda: station.shown()["revision"] == 1, "the first revision")
        with pytest.raises(Invalid) as refused:
            control_of(station).write_playlist(
                "one", text="- a.mp4\n- {path: b.mp4, nonsense: 1}\n", entries=None, if_match=frozenset({"1"})
            )
        assert refused.value.line == 2
        assert path.read_text() == "- a.mp4\n" and station.shown()["edit_error"] is None


def test_a_link_stays_a_link_and_the_files_mode_is_kept(station: Station, control: DaemonControl, playlist: Path) -> None:
    target = playlist.with_name("real.txt")
    playlist.rename(target)
    target.chmod(0o640)
    playlist.symlink_to(target)
    control.write_playlist("one", text="c.mp4\n", entries=None, if_match=frozenset({control.read_playlist("one").tag}))
    assert playlist.is_symlink() and target.read_text() == "c.mp4\n"
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_list_that_cannot_be_written_is_told_and_what_was_there_stays(control: DaemonControl, playlist: Path) -> None:
    playlist.unlink()
    playlist.symlink_to("/proc/self/cmdline")  # a folder where nobody makes files
    with pytest.raises(Refused) as refused:
        control.write_playlist("one", text="c.mp4\n", entries=None, if_match=frozenset({control.read_playlist("one").tag}))
    assert refused.value.status == 500


@pytest.mark.parametrize("path", ["", "#a.mp4", "a.mp4\nb.mp4", "missing.mp4", "../outside.mp4", "file:///etc/passwd"])
def test_what_cannot_air_next_is_refused(control: DaemonControl, path: str) -> None:
    with pytest.raises(Refused) as refused:
        control.trigger("one", "play-next", path=path)
    assert refused.value.status == 422


def test_play_next_comes_first(station: Station, control: DaemonControl, playlist: Path) -> None:
    numbered_clip(playlist.parent / "now.mp4", frames=250, size=(160, 90))
    control.trigger("one", "play-next", path="now.mp4")
    assert station.shown()["next"][0]["path"] == "now.mp4"


def test_reload_tells_an_invalid_list_and_takes_a_valid_one(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- a.mp4\n")
    with Station(tmp_path, [settings(path)]) as station:
        control = control_of(station)
        until(lambda: station.shown()["revision"] == 1, "the first revision")
        path.write_text("- {nonsense: 1}\n")
        with pytest.raises(Refused):
            control.trigger("one", "reload")
        assert station.shown()["edit_error"]["line"] == 1
        path.write_text("- b.mp4\n")
        assert control.trigger("one", "reload").revision == 2
        assert station.shown()["edit_error"] is None


def test_an_unknown_channel_is_said_so(control: DaemonControl) -> None:
    assert control.channel("nobody") is None
    with pytest.raises(UnknownChannel):
        control.trigger("nobody", "stop")


def test_what_was_so_already_changes_nothing(control: DaemonControl, station: Station) -> None:
    station.until_state("filler")
    assert control.trigger("one", "start").changed is False
    assert control.trigger("one", "stop").changed is True
    station.until_state("stopped")
    assert control.trigger("one", "stop").changed is False
    with pytest.raises(Refused) as refused:
        control.trigger("one", "skip")
    assert refused.value.status == 409


def test_the_daemon_is_ready_when_its_channel_is_on_air_and_not_before(control: DaemonControl, station: Station) -> None:
    station.until_state("filler")
    assert control.readiness().ok
    control.trigger("one", "stop")
    station.until_state("stopped")
    assert not control.readiness().ok


def test_a_frozen_host_is_no_health_and_a_single_channel_is_not_asked(control: DaemonControl, station: Station) -> None:
    until(lambda: control.health().ok, "health")
    control.trigger("one", "stop")
    station.until_state("stopped")
    assert control.health().ok
    pid = station.hosts.pids()["host:0"]
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: not control.health().ok, f"the host idle for {STALLED_S} s")
        parts = control.health().parts
        assert parts["control"]["ok"] and not parts["host:0"]["ok"]
        assert control.channel("one") is not None, "control answers all the same"
    finally:
        with contextlib.suppress(ProcessLookupError):  # the host's watch may have ended it by then
            os.kill(pid, signal.SIGCONT)
    until(lambda: control.health().ok, "health again")


def test_metrics_name_the_channel_and_its_host(control: DaemonControl, station: Station) -> None:
    station.until_state("filler")
    until(lambda: b'channel="one"' in control.metrics(), "figures of the channel")


def test_events_are_heard_by_whoever_follows(control: DaemonControl) -> None:
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop = control.follow(heard.put, None)
    control.write_playlist("one", text="c.mp4\n", entries=None, if_match=frozenset({"1"}))
    event = heard.get(timeout=10)
    while event["kind"] != "playlist_applied":
        event = heard.get(timeout=10)
    assert event["revision"] == 2
    stop()


def test_a_loop_that_hangs_is_known_and_one_that_turns_again_too(control: DaemonControl, station: Station) -> None:
    assert control.is_turning()
    release = threading.Event()
    station.loop.post(lambda: release.wait(30) and None)
    assert not control.is_turning()
    release.set()
    until(control.is_turning, "the loop to turn again")
