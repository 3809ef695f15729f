"""A channel of live sources as viewers have it: one stream, whatever becomes of the sources. Judged by checkers that share no code."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from judge.decode import decode_faults
from judge.hls_recorder import HlsRecorder
from judge.ts import SPLICED, read_ts
from nginx_origin import wait_until
from peers.mock_peer import MockPeer
from recordings import TsRecorder, whole_gops
from running import FPS, RunningDaemon

StartDaemon = Callable[..., RunningDaemon]
GRACES = {"loss_grace_seconds": 1, "recovery_grace_seconds": 1.5, "buffer_seconds": 0.6}


@contextmanager
def encoder(port: int, *options: str, size: str = "320x180") -> Iterator[subprocess.Popen[bytes]]:
    """Sends a transport stream to a port, in real time."""
    source = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", "-f", "lavfi", "-i", "sine=440:r=48000", "-ac", "2")
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", *options)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re", *source, *coded, "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def shown(daemon: RunningDaemon) -> dict[str, Any]:
    return daemon.channel("cam")


def until_on_air(daemon: RunningDaemon, title: str) -> None:
    wait_until(lambda: (shown(daemon)["now"] or {}).get("title") == title, what=f"{title} on air", timeout_s=60)


def until_slate(daemon: RunningDaemon, reason: str) -> None:
    def is_shown() -> bool:
        found = shown(daemon)
        return found["state"] == "filler" and found["sources"][0]["reason"] == reason

    wait_until(is_shown, what=f"a slate for {reason}", timeout_s=60)


def test_viewers_see_one_stream_through_every_loss_and_return(daemon_of: StartDaemon, tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    source = {"name": "camera", "url": f"udp://127.0.0.1:{port}", "timeout_seconds": 3}
    daemon = daemon_of({"cam": {"sources": [source], "failover": GRACES, "outputs": [{"hls": {"segment_seconds": 1}}, {"ts": {}}]}})
    daemon.start()
    stream = tmp_path / "seen.ts"
    url = f"http://127.0.0.1:{daemon.media_port}"
    with HlsRecorder(f"{url}/hls/cam/index.m3u8", tmp_path / "hls", poll_s=0.2) as viewer, TsRecorder(f"{url}/ts/cam", stream):
        with encoder(port):
            until_on_air(daemon, "camera")
        until_slate(daemon, "timed_out")  # killed
        with encoder(port) as frozen:
            until_on_air(daemon, "camera")
            frozen.send_signal(signal.SIGSTOP)
            until_slate(daemon, "timed_out")
        with encoder(port, size="480x270"):  # comes back as another
            until_on_air(daemon, "camera")
        until_slate(daemon, "timed_out")
        assert viewer.wait_for_segments(len(viewer.fetched) + 3, 20)
    fps = Fraction(FPS)
    assert viewer.faults() == []
    assert read_ts(viewer.concatenate(), fps=fps, allowances=SPLICED, segment_bytes=viewer.sizes()).faults() == []
    assert read_ts(whole_gops(stream.read_bytes()), fps=fps, allowances=SPLICED).faults() == []
    assert decode_faults(stream) == []
    assert [each["reason"] for each in daemon.log("source_changed") if each["state"] == "lost"].count("timed_out") >= 3


def test_a_restarted_daemon_finds_its_live_source_on_air(daemon_of: StartDaemon) -> None:
    daemon = daemon_of({"cam": {"sources": ["pattern"], "failover": GRACES, "outputs": [{"ts": {}}]}})
    daemon.start()
    until_on_air(daemon, "Test pattern")
    process = daemon.child("channeld.sources.ingest")
    assert process is not None
    serial = shown(daemon)["timeline"]["ticks"]
    daemon.kill()
    daemon.launch()
    daemon.wait_until_ready()
    until_on_air(daemon, "Test pattern")
    assert process.is_running() and shown(daemon)["timeline"]["ticks"] > serial


def test_a_source_without_sound_ends_when_its_pictures_do(
    daemon_of: StartDaemon, tmp_path: Path, http_ts_server: Callable[..., MockPeer]
) -> None:
    peer = http_ts_server(acodec="none")
    source = {"name": "camera", "url": peer.url, "timeout_seconds": 60}
    daemon = daemon_of({"cam": {"sources": [source], "failover": GRACES, "outputs": [{"ts": {}}]}})
    daemon.start()
    stream = tmp_path / "seen.ts"
    with TsRecorder(f"http://127.0.0.1:{daemon.media_port}/ts/cam", stream):
        until_on_air(daemon, "camera")
        peer.suffer("close")
        until_slate(daemon, "cannot_connect")
        peer.heal()
        until_on_air(daemon, "camera")
    reasons = [line["reason"] for line in daemon.log("source_changed") if line["state"] == "lost"]
    assert reasons == ["ended", "cannot_connect"], "it does not wait for the end of its silence"
    assert read_ts(whole_gops(stream.read_bytes()), fps=Fraction(FPS), allowances=SPLICED).faults() == []
    assert decode_faults(stream) == []
