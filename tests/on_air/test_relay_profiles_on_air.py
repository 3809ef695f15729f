"""A relay's profile on air, by its real daemon: its filters are seen by viewers, and its upstream is connected to while one watches."""

import subprocess
import time
from pathlib import Path

import pytest
from nginx_origin import wait_until
from running import RunningDaemon
from test_relays_on_air import ASSIGNED, StartDaemon, order

ARGS = "-i {input_url} -map 0:v:0 -map 0:a:0 -vf drawbox=x=0:y=0:w=iw/2:h=ih:color=red:t=fill -c:v libx264 -preset ultrafast -c:a aac"
SHOWN_S = 60.0


def halves(picture: Path) -> list[tuple[int, ...]]:
    """Mean red, green and blue of the left and of the right half."""
    argv = ["ffmpeg", "-v", "error", "-i", str(picture), "-vf", "scale=2:1:flags=area", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    rgb = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
    return [tuple(rgb[:3]), tuple(rgb[3:6])]


def source_state(daemon: RunningDaemon, relay: int) -> str:
    return str(daemon.channel(f"relay-{relay}")["sources"][0]["state"])


def is_seen(stream: str, picture: Path) -> bool:
    """Whether a viewer who watches for some seconds sees the red half at the end of them."""
    watched = ["ffmpeg", "-y", "-v", "error", "-rw_timeout", "20000000", "-i", stream, "-t", "4", "-update", "1", str(picture)]
    if subprocess.run(watched, capture_output=True, timeout=120, check=False).returncode or not picture.exists():
        return False
    left, _ = halves(picture)
    return left[0] > 180 and left[1] < 60 and left[2] < 60


@pytest.mark.long
@pytest.mark.timeout(400)
def test_filters_are_seen_and_the_upstream_is_wanted_while_somebody_watches(daemon_of: StartDaemon, tmp_path: Path) -> None:
    daemon = daemon_of({"main": {"sources": ["pattern"], "outputs": [{"ts": {}}]}})
    daemon.config["url_allow"] = {"schemes": ["http"], "private": True}
    (daemon.folder / "tv.m3u").write_text(f'#EXTM3U\n#EXTINF:-1 tvg-id="main",Main\n{daemon.ts_url("main")}\n')
    daemon.start()
    said = {"name": "Red", "ffmpeg_args": f"{ARGS} -f mpegts {{output_path}}"}
    profile = order(daemon, "POST", "/api/v1/relay/profiles", **said).json()
    assert profile["notices"] == [] and profile["available"] is True
    order(daemon, "POST", "/api/v1/proxies", name="TV", source="tv.m3u")
    order(daemon, "POST", "/api/v1/proxies/tv/refresh")
    made = order(daemon, "POST", ASSIGNED, profile_id=profile["id"], lifecycle="on_demand", idle_seconds=5).json()
    relay, stream = int(made["id"]), f"http://127.0.0.1:{daemon.media_port}{made['stream']}"
    assert made["refused"] is None
    wait_until(lambda: daemon.channel(f"relay-{relay}")["state"] in ("on_air", "filler"), what="the slate", timeout_s=60)
    assert source_state(daemon, relay) == "standby"
    end_s = time.monotonic() + SHOWN_S
    while not is_seen(stream, tmp_path / "seen.png"):
        assert time.monotonic() < end_s, "no viewer saw the filter's work"
    wait_until(lambda: source_state(daemon, relay) == "standby", what="its upstream to be let go", timeout_s=60)
    shown = [each for each in order(daemon, "GET", "/api/v1/relay/profiles").json() if each["hardware_acceleration"] == "vaapi"]
    assert all(each["available"] is not None for each in shown)
