"""What viewers find, as a running daemon judges it: a real media worker, a real nginx, and what is done when either stands still.

Rule: one daemon and one origin for all tests here; each leaves every output ok, but for the channel whose manifest never moves.
"""

import http.server
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clips import ClipShelf, quiet_clip
from nginx_origin import NginxOrigin, missing_parts, wait_until
from running import RunningDaemon, origin_ports
from timeline import DECK

STOOD_STILL = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1.0,\ns.ts\n"


class _StoppedOrigin(http.server.BaseHTTPRequestHandler):
    """An origin that serves, and whose manifest never grows."""

    def do_GET(self) -> None:
        is_manifest = self.path.endswith(".m3u8")
        self.send_response(200 if is_manifest else 404)
        self.end_headers()
        self.wfile.write(STOOD_STILL if is_manifest else b"")

    def log_message(self, format: str, *args: object) -> None:  # the base class names it so
        pass


@pytest.fixture(scope="module")
def stopped_origin() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _StoppedOrigin)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.m3u8"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxOrigin]:
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    made = NginxOrigin(tmp_path_factory.mktemp("origin") / "nginx", ports=origin_ports(), fragment_s=1)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path, origin: NginxOrigin, stopped_origin: str
) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("verdicts")
    quiet = ClipShelf(folder / "media").get("quiet.mp4", quiet_clip, seconds=6)
    lists = {"seen": [deck / name for name in DECK], "quiet": [quiet], "stuck": [deck / name for name in DECK]}
    channels: dict[str, dict[str, Any]] = {}
    for name, clips in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{clip}\n" for clip in clips))
        channels[name] = {"playlist": str(folder / f"{name}.txt"), "media_roots": [str(deck), str(quiet.parent)], "outputs": [hls()]}
    channels["seen"]["outputs"] = [{"rtmp": {"url": origin.rtmp_url("seen"), "manifest": origin.hls_url("seen")}}, hls()]
    channels["stuck"]["outputs"] = [{"rtmp": {"url": origin.rtmp_url("stuck"), "manifest": stopped_origin}}]
    made = RunningDaemon(folder / "daemon", channels, cache=prepared)
    made.config["watch"] = {"cpu_budget": 1.0, "timeout_seconds": 1, "recover_after_seconds": 1}
    made.start()
    yield made
    assert made.stop() == []


def hls() -> dict[str, Any]:
    """The embedded origin, with short segments."""
    return {"hls": {"segment_seconds": 1, "window": 6}}


def condition(channel: dict[str, Any], output: str) -> str | None:
    verdict = next(each["verdict"] for each in channel["outputs"] if each["name"] == output)
    return None if verdict is None else str(verdict["condition"])


def is_up_again(output: dict[str, Any], *, not_as: int) -> bool:
    return bool(output["state"] == "up" and output["pid"] != not_as)


def wait_for(daemon: RunningDaemon, channel: str, output: str, *wanted: str, timeout_s: float = 60.0) -> dict[str, Any]:
    """The output's description once it is judged so."""
    found = daemon.wait_for(
        channel, lambda told: condition(told, output) in wanted, what=f"{channel}/{output} to be {wanted}", timeout_s=timeout_s
    )
    return next(each for each in found["outputs"] if each["name"] == output)


def media_worker(daemon: RunningDaemon) -> psutil.Process:
    worker = daemon.child("channeld.api.media_worker")
    assert worker is not None
    return worker


def test_what_viewers_find_is_told_everywhere(daemon: RunningDaemon) -> None:
    """Nginx's manifest and our own: verdict and position in the API, the list in /readyz, figures in the metrics."""
    rtmp = wait_for(daemon, "seen", "rtmp", "ok")["verdict"]
    hls = wait_for(daemon, "seen", "hls", "ok")["verdict"]
    assert rtmp["end_at"] is None  # nginx tells no wall clock
    assert hls["end_at"].endswith("Z")
    assert hls["end_pts"] is not None
    assert hls["media_sequence"] >= 0
    assert daemon.get("/readyz")["verdicts"]["seen"] == {"rtmp": "ok", "hls": "ok"}
    with daemon.client() as client:
        metrics = client.get("/metrics").text
    assert 'channeld_output_verdict{channel="seen",output="hls",verdict="ok"} 1.0' in metrics
    assert 'channeld_segment_errors_total{channel="seen",output="rtmp"} 0.0' in metrics


def test_a_black_and_silent_clip_is_no_alarm(daemon: RunningDaemon) -> None:
    """Decoded again and again, and explained by what was measured when the clip was prepared."""
    wait_for(daemon, "quiet", "hls", "ok")
    started = len(daemon.log("output_judged"))
    wait_until(lambda: daemon.get("/api/v1/channels/quiet")["outputs"][0]["verdict"]["media_sequence"] >= 8, what="eight segments")
    with daemon.client() as client:
        metrics = client.get("/metrics").text
    decoded = next(line for line in metrics.splitlines() if line.startswith("channeld_readback_decode_cpu_seconds_total"))
    assert float(decoded.split()[-1]) > 0.0
    assert [line for line in daemon.log("output_judged")[started:] if line["channel"] == "quiet"] == []


def test_a_frozen_media_worker_is_found_and_replaced(daemon: RunningDaemon) -> None:
    before = wait_for(daemon, "seen", "hls", "ok")["verdict"]["media_sequence"]
    worker = media_worker(daemon)
    worker.send_signal(signal.SIGSTOP)
    wait_for(daemon, "seen", "hls", "unreachable", "stale")
    after = wait_for(daemon, "seen", "hls", "ok")["verdict"]["media_sequence"]
    assert media_worker(daemon).pid != worker.pid
    assert after > before
    assert condition(daemon.channel("seen"), "rtmp") == "ok"
    wait_for(daemon, "quiet", "hls", "ok")


def test_a_push_whose_viewers_see_it_stand_still_is_restarted(daemon: RunningDaemon) -> None:
    """Its FFmpeg says that all is well; the manifest says otherwise. Not again and again: once, then patience."""
    wait_for(daemon, "stuck", "rtmp", "stale", "broken")
    wait_until(lambda: any(line["channel"] == "stuck" for line in daemon.log("output_treated")), what="the push to be treated")
    treated = next(line for line in daemon.log("output_treated") if line["channel"] == "stuck")
    assert (treated["remedy"], treated["verdict"]) == ("restart_push", "stale")
    pid = next(line["pid"] for line in daemon.log("output_changed") if line["channel"] == "stuck" and line["pid"])
    daemon.wait_for("stuck", lambda told: is_up_again(told["outputs"][0], not_as=pid), what="the push to be up")
    assert len([line for line in daemon.log("output_treated") if line["channel"] == "stuck"]) == 1


def test_an_origin_that_hangs_is_unreachable_and_heals(daemon: RunningDaemon, origin: NginxOrigin) -> None:
    wait_for(daemon, "seen", "rtmp", "ok")
    origin.freeze()
    try:
        found = wait_for(daemon, "seen", "rtmp", "unreachable")
        assert "no whole answer" in found["verdict"]["reason"]
        assert condition(daemon.channel("seen"), "hls") == "ok"
        assert daemon.answers("/readyz")
    finally:
        origin.thaw()
    wait_for(daemon, "seen", "rtmp", "ok")
    alarms: Callable[[], list[str]] = lambda: [each["subject"] for each in daemon.get("/api/v1/status")["alarms"]]  # noqa: E731
    wait_until(lambda: alarms() in ([], ["stuck/rtmp"]), what="the alarm to be cleared")
