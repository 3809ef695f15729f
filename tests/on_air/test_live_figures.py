"""A camera on a bad line and its viewers, in figures: of the source in the channel object and the metrics, of the viewers over time."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from nginx_origin import wait_until
from peers.fixtures import Maker
from peers.proxy import RtspProxy, Weather
from running import RunningDaemon

HOME = {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Berlin"}}}


def figures(daemon: RunningDaemon) -> dict[str, Any]:
    """Of the camera; empty before there are any."""
    return daemon.channel("cam")["sources"][0]["figures"] or {}


def metric(daemon: RunningDaemon, name: str) -> float:
    with daemon.client() as client:
        found = re.search(rf'^{name}\{{channel="cam",[^}}]*\}} (\S+)$', client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else -1.0


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_camera_on_a_bad_line_and_its_viewers_are_known_in_figures(
    daemon_of: Callable[..., RunningDaemon], tmp_path: Path, rtsp_server: Maker
) -> None:
    writer = MMDBWriter(6, "GeoLite2-City", ipv4_compatible=True)
    writer.insert_network(IPSet(["127.0.0.0/8"]), HOME)
    writer.to_db_file(str(tmp_path / "geo.mmdb"))
    with RtspProxy(("127.0.0.1", rtsp_server().port), seed=3) as line:
        source = {"name": "camera", "url": f"rtsp://127.0.0.1:{line.port}/live", "transport": "udp"}
        daemon = daemon_of({"cam": {"sources": [source], "outputs": [{"hls": {"segment_seconds": 2}}, {"ts": {}}]}})
        daemon.config["media"] |= {"geoip": str(tmp_path / "geo.mmdb")}
        daemon.write_config()
        daemon.start()
        wait_until(lambda: figures(daemon).get("segment_delay_s") is not None, what="the delay of segments", timeout_s=120)
        told = figures(daemon)
        assert told["segment_delay_s"] > told["air_delay_s"] > 0 and told["jitter_ms"] is not None and told["drift_ms"] is not None
        line.weather = Weather(loss=0.05)
        wait_until(lambda: figures(daemon)["losses"]["rtp_lost"] >= 5, what="lost packets to be counted", timeout_s=60)
        line.weather = Weather()
        assert metric(daemon, "channeld_source_losses_total") >= 5 and metric(daemon, "channeld_source_air_delay_seconds") > 0
    watch(daemon)


def watch(daemon: RunningDaemon) -> None:
    """One viewer of each protocol, until both are in the history."""
    hls = f"http://127.0.0.1:{daemon.media_port}/hls/cam/index.m3u8"

    def history() -> dict[str, Any]:
        httpx.get(hls, headers={"User-Agent": "VLC/3.0.20 LibVLC/3.0.20"})
        return dict(daemon.get("/api/v1/channels/cam/clients/history?step=hour")["totals"])

    with subprocess.Popen(["curl", "-s", "-o", "/dev/null", daemon.ts_url("cam")]) as viewer:
        wait_until(lambda: min(history()["by_protocol"].get(each, 0) for each in ("hls", "ts")) > 1, what="both viewers", timeout_s=60)
        told = history()
        assert (told["peak"], set(told["by_agent"]), set(told["by_place"])) == (2, {"vlc", "tool"}, {"DE/Berlin"})
        assert daemon.get("/api/v1/channels/cam/clients")["clients"][0]["place"] == "DE/Berlin"
        viewer.kill()
    wait_until(lambda: history()["ended"] == 1, what="the one that left to be counted", timeout_s=60)
