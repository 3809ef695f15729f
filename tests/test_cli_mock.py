"""`channeld mock-source` as its users run it: its examples, and what it refuses."""

import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from nginx_origin import wait_until
from peers.fixtures import has_gstreamer
from peers.mock_peer import MockPeer, wait_until_gone

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "mock-source.md"
LINES = list(re.findall(r"^channeld mock-source .*$", DOCUMENT.read_text(), re.MULTILINE))


def mock_source(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "channeld", "mock-source", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--protocol", "gopher"], "--protocol gopher: one of ts, hls"),
        (["--protocol", "ts", "--listen", "nowhere"], "--listen nowhere: write HOST:PORT"),
        (["--protocol", "ts", "--listen", "127.0.0.1:99999"], "--listen 127.0.0.1:99999"),
        (["--protocol", "srt"], "srt needs a port"),
        (["--protocol", "ts", "--size", "641x360"], "--size 641x360: even numbers"),
        (["--protocol", "ts", "--size", "1x1,movie=/etc/passwd"], "even numbers"),
        (["--protocol", "ts", "--fps", "0"], "--fps 0: 1 to 120"),
        (["--protocol", "ts", "--fps", "25/0"], "--fps 25/0"),
        (["--protocol", "ts", "--bitrate", "fast"], "--bitrate fast"),
        (["--protocol", "ts", "--bitrate", "900M"], "--bitrate 900M"),
        (["--protocol", "ts", "--gop-seconds", "0"], "--gop-seconds 0"),
        (["--protocol", "ts", "--vcodec", "av1"], "--vcodec av1: one of h264"),
        (["--protocol", "ts", "--acodec", "pcm_mulaw"], "rtsp can"),
        (["--protocol", "rtmp", "--listen", "127.0.0.1:9", "--vcodec", "hevc"], "rtmp carries h264 only"),
        (["--protocol", "rtsp", "--vcodec", "mpeg2video"], "rtsp serves h264 and hevc"),
        (["--protocol", "ts", "--push", "rtmp://127.0.0.1/x"], "--push goes with rtmp and srt"),
        (["--protocol", "rtmp", "--push", "file:///etc/passwd"], "begins with rtmp://"),
        (["--protocol", "udp", "--listen", "127.0.0.1:9", "--user", "a", "--password", "b"], "udp has no password"),
        (["--protocol", "ts", "--user", "a"], "go together"),
        (["--protocol", "ts", "--user", "a:b", "--password", "c"], "no colon"),
        (["--protocol", "ts", "--user", "a", "--password", "c", "--digest"], "--digest goes with --protocol rtsp"),
        (["--protocol", "ts", "--fault", "kind=explode"], "--fault kind=explode: kind is one of"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(arguments: list[str], reason: str):
    # In this process: a new Python for each row would cost more than all of them.
    from typer.testing import CliRunner

    from channeld.cli import app

    done = CliRunner().invoke(app, ["mock-source", *arguments])
    assert done.exit_code == 2 and reason in " ".join(done.output.split())


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = mock_source("--protocol", "ts", "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    assert done.returncode == 1 and "in use" in done.stderr and "Traceback" not in done.stderr


def test_the_document_has_examples():
    assert {shlex.split(line)[3] for line in LINES} == {"ts", "hls", "rtsp", "rtmp", "srt", "udp"}


EXAMPLES = [pytest.param(line, id=line[26:60], marks=[] if number == 0 else [pytest.mark.long]) for number, line in enumerate(LINES)]


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_serves_and_ends_by_ctrl_c(line: str):
    """Run as printed."""
    if "rtsp" in line and not has_gstreamer():
        pytest.skip("missing on this machine: gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins")
    process = subprocess.Popen([sys.executable, "-m", *shlex.split(line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline().startswith("serving ")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        assert process.stderr is not None and (process.returncode, process.stderr.read()) == (0, "")
    finally:
        process.kill()
        process.wait(timeout=10)


def test_faults_come_and_go_by_their_schedule(http_ts_server: Callable[..., MockPeer]):
    faults = ("at=0s,kind=black,for=300ms", "at=600ms,kind=close,for=200ms", "at=1s,kind=silence")
    peer = http_ts_server(faults=faults)
    peer.wait_for("silence begins")
    told = [word.split(": ")[1] for word in peer.words if " s: " in word]
    assert told == ["black begins", "black ends", "close begins", "close ends", "silence begins"]


@pytest.mark.parametrize("server", ["http_ts_server", "hls_server", "rtsp_server"])
def test_a_password_that_was_changed_sends_everybody_away_until_it_is_over(server: str, request: pytest.FixtureRequest):
    peer = request.getfixturevalue(server)(user="viewer", password="right")

    def looked() -> str:
        command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", peer.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else done.stderr

    wait_until(lambda: "video" in looked(), what="a viewer to be let in", timeout_s=60)
    watched = subprocess.Popen(["ffmpeg", "-v", "quiet", "-nostdin", "-i", peer.url, "-f", "null", "-"])
    try:
        time.sleep(2)
        peer.suffer("password")
        assert "401" in looked()
        if server != "hls_server":  # whose player comes for each segment anew
            watched.wait(30)
    finally:
        watched.kill()
        watched.wait(10)
    peer.heal()
    assert "video" in looked()


def test_a_wrong_order_on_stdin_is_told_and_the_source_stays(http_ts_server: Callable[..., MockPeer]):
    peer = http_ts_server()
    with pytest.raises(RuntimeError, match="kind is one of"):
        peer.suffer("explode")
    with pytest.raises(RuntimeError, match="begins now, once"):
        peer.suffer("stop,at=5s")
    with pytest.raises(RuntimeError, match="longer than"):
        peer.suffer("x" * 5000)
    before = len(peer.words)
    peer.suffer("stop", for_s=0.1)
    peer.wait_for("stop ends", since=before)


@pytest.mark.parametrize(
    "protocol", ["rtsp", *(pytest.param(name, marks=pytest.mark.long) for name in ("ts", "hls", "rtmp", "udp", "srt"))]
)
def test_nothing_is_left_whether_it_is_ended_or_killed(protocol: str, free_port: Callable[[], int], tmp_path: Path, monkeypatch):
    if protocol == "rtsp" and not has_gstreamer():
        pytest.skip("missing on this machine: gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    peer = MockPeer(protocol, free_port())
    for end in (peer.stop, peer.crash):
        peer.start()
        assert len(peer.pids()) >= 2
        end()
        wait_until_gone(peer)
        assert list(tmp_path.iterdir()) == []
    wait_until(lambda: _is_free(peer.port), what="the port to be free")


def _is_free(port: int) -> bool:
    """As a server would find it, which asks for SO_REUSEADDR."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) == 0 and kind == socket.SOCK_STREAM:
                return False
    return True
