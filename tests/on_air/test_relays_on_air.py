"""A relay from its list to its viewers: imported, assigned, watched at its own addresses, found again after a restart, stopped, removed."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
from judge.decode import decode_faults
from judge.hls_recorder import HlsRecorder
from judge.ts import SPLICED, read_ts
from nginx_origin import wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon

StartDaemon = Callable[..., RunningDaemon]
ASSIGNED = "/api/v1/proxies/tv/channels/main/relay"
PROFILE = {"name": "Small pieces", "output_format": "hls", "segment_duration": 1, "max_segments": 5, "input_timeout": 5}
ARGS = "-i {input_url} -c copy -f hls {output_path}/playlist.m3u8"


def until_status(daemon: RunningDaemon, relay: int, status: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def look() -> bool:
        found.update(daemon.get(f"/api/v1/relay/health/{relay}"))
        return bool(found["status"] == status)

    wait_until(look, what=f"the relay to be {status}: {found}", timeout_s=90)
    return found


def order(daemon: RunningDaemon, method: str, path: str, **body: Any) -> httpx.Response:
    with daemon.client() as client:
        return client.request(method, path, json=body or None).raise_for_status()


def assign(daemon: RunningDaemon) -> int:
    """Import the list, make a profile, and have the list's channel relayed; gives the relay."""
    profile = order(daemon, "POST", "/api/v1/relay/profiles", **PROFILE, ffmpeg_args=ARGS).json()["id"]
    order(daemon, "POST", "/api/v1/proxies", name="TV", source="tv.m3u")
    assert order(daemon, "POST", "/api/v1/proxies/tv/refresh").json()["channels"] == 1
    made = order(daemon, "POST", ASSIGNED, profile_id=profile).json()
    assert made["refused"] is None
    return int(made["id"])


def test_a_channel_of_a_list_is_relayed_from_its_import_to_its_removal(daemon_of: StartDaemon, tmp_path: Path) -> None:
    daemon = daemon_of({"main": {"sources": ["pattern"], "outputs": [{"ts": {}}]}})
    daemon.config["url_allow"] = {"schemes": ["http"], "private": True}
    (daemon.folder / "tv.m3u").write_text(f'#EXTM3U\n#EXTINF:-1 tvg-id="main" group-title="G",Main\n{daemon.ts_url("main")}\n')
    daemon.start()
    relay = assign(daemon)
    until_status(daemon, relay, "healthy")
    shown = daemon.channel(f"relay-{relay}")
    assert (shown["name"], shown["sources"][0]["mode"]) == ("Main", "copy")
    assert [each["type"] for each in shown["outputs"]] == ["hls", "ts"]
    place, stream = f"http://127.0.0.1:{daemon.media_port}/api/v1/relay/{relay}", tmp_path / "seen.ts"
    with HlsRecorder(f"{place}/playlist.m3u8", tmp_path / "hls", poll_s=0.2) as viewer, TsRecorder(f"{place}/stream.ts", stream):
        assert viewer.wait_for_segments(4, 60)
        wait_until(lambda: daemon.get(f"/api/v1/relay/{relay}/status")["clients"] == 1, what="its viewer to be counted", timeout_s=30)
    assert viewer.faults() == []
    fps = Fraction(FPS)
    assert read_ts(viewer.concatenate(), fps=fps, allowances=SPLICED, segment_bytes=viewer.sizes()).faults() == []
    assert decode_faults(stream) == []  # it ends in the midst of a GOP, so that pictures are missing at its end
    assert f"{place}/playlist.m3u8" in order(daemon, "GET", "/api/v1/proxies/tv/playlist.m3u").text
    judge_figures(daemon, relay)
    go_on_after_a_restart(daemon, relay)
    stop_and_remove(daemon, relay, place)


def judge_figures(daemon: RunningDaemon, relay: int) -> None:
    wait_until(lambda: daemon.get("/api/v1/relay/metrics")["relays"][0]["bitrate_bps"] > 50_000, what="a bit rate", timeout_s=30)
    figures = daemon.get("/api/v1/relay/metrics")["relays"][0]
    assert figures["config_id"] == relay and figures["pid"] and figures["memory_bytes"] > 1_000_000 and figures["uptime_s"] > 0
    judge_all_figures(daemon, figures)
    status = daemon.get(f"/api/v1/relay/{relay}/status")
    assert status["source"] == "upstream" and status["error"] is None
    wait_until(lambda: "live" in states_of(daemon, relay), what="its events to be written", timeout_s=30)
    assert daemon.get("/api/v1/relay/health")["status"] == "healthy"


def judge_all_figures(daemon: RunningDaemon, figures: dict[str, Any]) -> None:
    """The configuration's channel of a live source is there beside the relay, and totals are of both."""
    found = daemon.get("/api/v1/relay/metrics")
    (main,) = found["channels"]
    assert (main["channel"], found["enabled"], figures["proxy_id"], figures["refused"]) == ("main", True, "tv", None)
    assert main["bytes"] > 0 and main["pid"] != figures["pid"] and main["memory_bytes"] > 1_000_000
    assert found["totals"]["processes"] == 2 and found["totals"]["bytes"] == main["bytes"] + found["relays"][0]["bytes"]
    assert 0 < found["system"]["disk_free_bytes"] <= found["system"]["disk_bytes"]


def states_of(daemon: RunningDaemon, relay: int) -> list[str]:
    events = daemon.get(f"/api/v1/relay/{relay}/status")["events"]
    return [event["details"].get("state") for event in events if event["kind"] == "source_state"]


def go_on_after_a_restart(daemon: RunningDaemon, relay: int) -> None:
    """Of the daemon, with the air going on, and of the configuration."""
    process, ticks = daemon.get("/api/v1/relay/metrics")["relays"][0]["pid"], daemon.channel(f"relay-{relay}")["timeline"]["ticks"]
    daemon.kill()
    daemon.launch()
    daemon.wait_until_ready()
    until_status(daemon, relay, "healthy")
    wait_until(lambda: daemon.get(f"/api/v1/relay/{relay}/status")["pid"] == process, what="its process to be adopted", timeout_s=30)
    assert daemon.channel(f"relay-{relay}")["timeline"]["ticks"] > ticks
    daemon.config["channels"]["main"]["name"] = "Renamed"
    daemon.write_config()
    order(daemon, "POST", "/api/v1/reload")
    assert daemon.channel("main")["name"] == "Renamed"
    assert daemon.get(f"/api/v1/relay/health/{relay}")["status"] == "healthy"
    daemon.config["relay"] = {"enabled": False}
    daemon.write_config()
    order(daemon, "POST", "/api/v1/reload")
    until_status(daemon, relay, "stopped")
    assert daemon.post(f"/api/v1/relay/{relay}/start").status_code == 409
    daemon.config["relay"] = {"enabled": True}
    daemon.write_config()
    order(daemon, "POST", "/api/v1/reload")
    until_status(daemon, relay, "healthy")


def stop_and_remove(daemon: RunningDaemon, relay: int, place: str) -> None:
    assert daemon.post(f"/api/v1/relay/{relay}/stop").status_code == 202
    until_status(daemon, relay, "stopped")
    assert httpx.get(f"{place}/stream.ts").status_code == 404
    assert daemon.post(f"/api/v1/relay/{relay}/start").status_code == 202
    until_status(daemon, relay, "healthy")
    order(daemon, "DELETE", ASSIGNED)
    wait_until(lambda: len(daemon.get("/api/v1/channels")) == 1, what="its channel to leave", timeout_s=30)
    with daemon.client() as client:
        assert client.get(f"/api/v1/relay/{relay}/status").status_code == 404
    assert daemon.get("/api/v1/relay/metrics")["relays"] == []
    order(daemon, "DELETE", "/api/v1/proxies/tv")
