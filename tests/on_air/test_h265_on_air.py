"""A channel of H.265: a live source of H.265 is copied, slates and all are one stream, and H.264 channels go on as they were."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from judge.decode import decode_faults, probe
from judge.ts import SPLICED, read_ts
from nginx_origin import wait_until
from peers.fixtures import Maker
from recordings import TsRecorder, whole_gops
from running import FPS, PROFILE, RunningDaemon

StartDaemon = Callable[..., RunningDaemon]
GRACES = {"loss_grace_seconds": 1, "recovery_grace_seconds": 1, "buffer_seconds": 0.6}
HOUSE = {"size": "320x180", "fps": str(FPS), "gop_seconds": "1", "vcodec": "hevc"}
CHANGES = "parameter sets change within the stream"


def relayed(url: str, profile: str) -> dict[str, Any]:
    source = {"name": "up", "url": url, "timeout_seconds": 6}
    outputs = [{"ts": {}}, {"hls": {"segment_seconds": 1}}]
    return {"profile": profile, "sources": [source], "failover": dict(GRACES), "outputs": outputs}


def standing(daemon: RunningDaemon, channel: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.channel(channel)["sources"][0]
    return found


def until_live(daemon: RunningDaemon, *channels: str) -> None:
    wait_until(lambda: all(standing(daemon, name)["on_air"] for name in channels), what="the source on air", timeout_s=90)


def played(url: str, path: Path, seconds: int) -> list[str]:
    """What FFmpeg says while it plays so much of an address into a file."""
    line = [
        "ffmpeg",
        "-nostdin",
        "-y",
        "-v",
        "error",
        "-i",
        url,
        "-t",
        str(seconds),
        "-map",
        "0",
        "-c",
        "copy",
        "-f",
        "matroska",
        str(path),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    return [*done.stderr.splitlines(), *([f"status {done.returncode}"] if done.returncode else [])]


@pytest.mark.timeout(300)
def test_a_source_of_h265_is_copied_and_one_stream_with_its_slates(daemon_of: StartDaemon, tmp_path: Path, http_ts_server: Maker) -> None:
    peer = http_ts_server(**HOUSE)
    peer.crash()
    daemon = daemon_of({"kept": relayed(peer.url, "h265")})
    daemon.config["profiles"]["h265"] = {**PROFILE, "codec": "h265"}
    daemon.start()
    seen, hls = tmp_path / "seen.ts", tmp_path / "hls.mkv"
    with TsRecorder(daemon.ts_url("kept"), seen):
        wait_until(seen.exists, what="the slate seen", timeout_s=60)
        for _ in range(2):
            peer.start()
            until_live(daemon, "kept")
            assert (standing(daemon, "kept")["mode"], standing(daemon, "kept")["why"]) == ("copy", None)
            assert played(f"http://127.0.0.1:{daemon.media_port}/hls/kept/index.m3u8", hls, 2) == []
            peer.crash()
            wait_until(lambda: daemon.channel("kept")["state"] == "filler", what="a slate", timeout_s=60)
    report = read_ts(whole_gops(seen.read_bytes()), fps=Fraction(FPS), allowances=SPLICED)
    assert [fault for fault in report.faults() if CHANGES not in fault] == []
    assert report.video is not None and report.video.stream_type == 0x24 and report.video.video is not None
    assert len(report.video.video.sps) > 2  # the source's own beside those of the slates
    assert decode_faults(seen) == decode_faults(hls) == []
    assert probe(hls, "stream=codec_name,width,height", stream="v")["streams"] == [{"codec_name": "hevc", "width": 320, "height": 180}]


def test_what_is_not_h265_is_transcoded_and_a_camera_is_copied(daemon_of: StartDaemon, tmp_path: Path, rtsp_server: Maker) -> None:
    camera = rtsp_server(**HOUSE)
    daemon = daemon_of({"kept": {**relayed("", "h265"), "sources": ["pattern"]}, "camera": relayed(camera.url, "h265")})
    daemon.config["profiles"]["h265"] = {**PROFILE, "codec": "h265"}
    daemon.start()
    until_live(daemon, "kept", "camera")
    seen = tmp_path / "seen.ts"
    with TsRecorder(daemon.ts_url("kept"), seen):
        wait_until(lambda: seen.exists() and seen.stat().st_size > 200_000, what="some seconds of it", timeout_s=60)
        with daemon.client() as client:
            still = client.get("/api/v1/channels/kept/thumbnail.jpg", timeout=30)
    assert [(standing(daemon, name)["mode"], standing(daemon, name)["why"]) for name in ("kept", "camera")] == [
        ("transcode", None),
        ("copy", None),
    ]
    assert read_ts(whole_gops(seen.read_bytes()), fps=Fraction(FPS), allowances=SPLICED).faults() == []
    assert decode_faults(seen) == []
    assert still.content.startswith(b"\xff\xd8\xff")
