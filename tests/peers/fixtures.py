"""Fixtures of peers: each gives a function that starts one, with options of `mock-source`; all are stopped after the test.

Rule: a peer whose program is missing skips the test, and says what is missing.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from nginx_origin import NginxOrigin

from peers.mock_peer import MockPeer
from peers.rtmp_peer import RtmpPeer

Maker = Callable[..., MockPeer]
"""`make(faults=(), **options)`: a started peer."""
_LOOK = (
    "import gi; gi.require_version('Gst','1.0'); gi.require_version('GstRtspServer','1.0'); from gi.repository import Gst, GstRtspServer; "
)
_PARTS = "Gst.init(None); assert all(map(Gst.ElementFactory.find, ('x264enc','x265enc','voaacenc','mulawenc','breakmydata','rtph265pay')))"


@cache
def has_gstreamer() -> bool:
    """Debian's Python finds GStreamer's RTSP server and the encoders that it is used with."""
    python = Path("/usr/bin/python3")
    return python.exists() and subprocess.run([python, "-c", _LOOK + _PARTS], capture_output=True, timeout=60, check=False).returncode == 0


def _maker(protocol: str, free_port: Callable[[], int]) -> Iterator[Maker]:
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("missing on this machine: ffmpeg")
    made: list[MockPeer] = []

    def make(*, faults: tuple[str, ...] = (), **options: str | bool) -> MockPeer:
        made.append(MockPeer(protocol, free_port(), faults=faults, **options))
        return made[-1].start()

    try:
        yield make
    finally:
        for peer in made:
            peer.stop()


@pytest.fixture
def rtsp_server(free_port: Callable[[], int]) -> Iterator[Maker]:
    """GStreamer's rtsp-server: h264 or hevc; aac, pcm_mulaw, mp2 or none; over TCP and UDP; `user`, `password`, `digest=True`."""
    if not has_gstreamer():
        pytest.skip("missing on this machine: gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins")
    yield from _maker("rtsp", free_port)


@pytest.fixture
def http_ts_server(free_port: Callable[[], int]) -> Iterator[Maker]:
    """A transport stream over HTTP to any number of clients; `user`, `password`."""
    yield from _maker("ts", free_port)


@pytest.fixture
def hls_server(free_port: Callable[[], int]) -> Iterator[Maker]:
    """HLS with segments of 2 s; `user`, `password`."""
    yield from _maker("hls", free_port)


@pytest.fixture
def udp_sender(free_port: Callable[[], int]) -> Iterator[Maker]:
    """Sends to `peer.url` whether anybody listens or not."""
    yield from _maker("udp", free_port)


@pytest.fixture
def srt_sender(free_port: Callable[[], int]) -> Iterator[Maker]:
    """FFmpeg as an SRT listener, for one caller at a time; with `push="srt://…"` a caller."""
    yield from _maker("srt", free_port)


@pytest.fixture
def rtmp_server(free_port: Callable[[], int]) -> Iterator[Maker]:
    """FFmpeg as an RTMP server, for one viewer at a time; with `push="rtmp://…"` a publisher."""
    yield from _maker("rtmp", free_port)


@pytest.fixture
def rtmp_origin(nginx_rtmp: NginxOrigin) -> Iterator[Callable[..., RtmpPeer]]:
    """nginx-rtmp with a stream that a mock source pushes: any number of viewers, over RTMP and HLS."""
    made: list[RtmpPeer] = []

    def make(**options: str | bool) -> RtmpPeer:
        made.append(RtmpPeer(nginx_rtmp, **options))
        return made[-1].start()

    try:
        yield make
    finally:
        for peer in made:
            peer.stop()
