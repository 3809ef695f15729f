"""Each peer serves a stream that decodes, and each fault does what it says."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from nginx_origin import wait_until
from peers.look import detect, streams_of, watch
from peers.mock_peer import MockPeer
from peers.rtmp_peer import RtmpPeer

FIXTURES = {
    "ts": "http_ts_server",
    "hls": "hls_server",
    "udp": "udp_sender",
    "srt": "srt_sender",
    "rtmp": "rtmp_server",
    "rtsp": "rtsp_server",
}
Make = Callable[..., MockPeer]


def assert_serves(url: str, *, vcodec: str = "h264", acodec: str | None = "aac", transport: str | None = None) -> None:
    streams = streams_of(url, transport=transport)
    video = streams["video"]
    assert (video["codec_name"], video["width"], video["height"], video["r_frame_rate"]) == (vcodec, 160, 90, "10/1")
    assert streams.get("audio", {}).get("codec_name") == acodec


def assert_moves(url: str, transport: str | None = None) -> None:
    seen = watch(url, frames=8, transport=transport)
    assert len(seen.pictures) == 8 and seen.changes >= 6, seen.complaints


LONG = pytest.mark.long
MORE = [pytest.param(protocol, marks=LONG) for protocol in ("udp", "srt")]


@pytest.mark.parametrize("protocol", ["ts", "hls", *MORE])
def test_each_peer_serves_a_picture_that_moves(protocol: str, request: pytest.FixtureRequest):
    peer = request.getfixturevalue(FIXTURES[protocol])()
    assert_serves(peer.url)
    wait_until(lambda: watch(peer.url, frames=8).changes >= 6, what="a second viewer to see the picture move")


@LONG
def test_ffmpeg_as_an_rtmp_server_serves_one_viewer_after_the_other(rtmp_server: Make):
    peer = rtmp_server()
    assert_serves(peer.url)
    wait_until(lambda: watch(peer.url, frames=8).changes >= 6, what="the server to listen again")


def test_rtsp_is_served_over_tcp_and_udp_to_those_who_know_the_password(rtsp_server: Make):
    peer = rtsp_server(vcodec="hevc", acodec="pcm_mulaw", user="camera", password="se-cret", digest=True)
    assert_serves(peer.url, vcodec="hevc", acodec="pcm_mulaw", transport="tcp")
    assert_moves(peer.url, transport="udp")
    for login in ("", "camera:wrong@"):
        seen = watch(peer.url_for(login), frames=1, transport="tcp")
        assert seen.pictures == () and "401" in seen.complaints


@LONG
@pytest.mark.parametrize(("vcodec", "acodec"), [("h264", "aac"), ("h264", "none"), ("hevc", "aac"), ("h264", "mp2")])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_serves_what_cameras_send(vcodec: str, acodec: str, transport: str, rtsp_server: Make):
    """With basic authentication."""
    peer = rtsp_server(vcodec=vcodec, acodec=acodec, user="camera", password="secret")
    assert_serves(peer.url, vcodec=vcodec, acodec=None if acodec == "none" else acodec, transport=transport)
    assert_moves(peer.url, transport=transport)
    assert "401" in watch(peer.url_for("camera:wrong@"), frames=1, transport=transport).complaints


def test_an_rtmp_origin_serves_rtmp_and_hls(rtmp_origin: Callable[..., RtmpPeer]):
    peer = rtmp_origin()
    assert_serves(peer.url)
    assert_moves(peer.hls_url)


@pytest.mark.parametrize("protocol", ["ts", pytest.param("hls", marks=LONG)])
def test_http_wants_its_password(protocol: str, request: pytest.FixtureRequest):
    peer = request.getfixturevalue(FIXTURES[protocol])(user="viewer", password="secret", acodec="none", vcodec="mpeg2video")
    address = peer.url_for("")
    answers = [httpx.head(address, auth=auth).status_code for auth in (None, ("viewer", "wrong"), ("viewer", "secret"))]
    assert answers == [401, 401, 200]
    assert httpx.post(address, auth=("viewer", "secret")).status_code == 405
    assert httpx.get(address + "x", auth=("viewer", "secret")).status_code == 404
    assert_serves(peer.url, vcodec="mpeg2video", acodec=None)


@contextmanager
def listening(peer: MockPeer) -> Iterator[socket.socket]:
    """A client of HTTP-TS that reads raw bytes, behind the answer's head."""
    with socket.create_connection(("127.0.0.1", peer.port), timeout=10) as client:
        client.sendall(b"GET /live.ts HTTP/1.1\r\nHost: mock\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 200 ")
        yield client


def read(client: socket.socket, count: int) -> bytes:
    whole = b""
    while len(whole) < count:
        chunk = client.recv(count - len(whole))
        assert chunk, "the peer hung up"
        whole += chunk
    return whole


def synced(payload: bytes) -> int:
    """How many of the packets begin with a sync byte."""
    return payload[::188].count(0x47)


def drain(client: socket.socket) -> None:
    """Read until nothing comes for half a second."""
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(10_000):
            assert client.recv(65536)
    client.settimeout(10)


def test_bytes_stop_turn_to_garbage_come_back_and_the_peer_hangs_up(http_ts_server: Make):
    peer = http_ts_server()
    with listening(peer) as client:
        assert synced(read(client, 188 * 50)) == 50
        peer.quiet()
        drain(client)
        peer.heal()
        assert synced(read(client, 188 * 50)) == 50
        peer.quiet()
        drain(client)
        peer.garble()
        peer.suffer("stop", for_s=0.1)
        assert synced(read(client, 188 * 50)) < 10
        peer.heal()
        peer.hang_up()
        with pytest.raises((ConnectionError, AssertionError)):
            read(client, 10_000_000)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", peer.port), timeout=10)
        peer.heal()
    with listening(peer) as client:
        assert synced(read(client, 188 * 50)) == 50


def found(peer: MockPeer) -> set[str]:
    """Which of `black_start`, `freeze_start`, `silence_start` FFmpeg's detectors tell now."""
    told = detect(peer.url, "blackdetect=d=0.5,freezedetect=d=0.5", seconds=1.5, sound="silencedetect=d=0.5")
    return {kind for kind in ("black_start", "freeze_start", "silence_start") if kind in told}


def assert_detected(peer: MockPeer, kind: str, wanted: str) -> None:
    """Begun, the fault is seen by FFmpeg's own detector; ended, no more."""
    peer.suffer(kind)
    wait_until(lambda: wanted in found(peer), what=f"{wanted} during {kind}")
    peer.heal()
    wait_until(lambda: wanted not in found(peer), what=f"an end of {wanted} after {kind}")


def assert_becomes(peer: MockPeer, kind: str, to: str, **wanted: object) -> None:
    def seen() -> dict[str, object]:
        video = streams_of(peer.url).get("video", {})
        return {name: video.get(name) for name in wanted}

    before = seen()
    peer.suffer(kind, to=to)
    wait_until(lambda: seen() == wanted, what=f"{wanted} after {kind}")
    peer.heal()
    wait_until(lambda: seen() == before, what=f"{before} again")


def test_a_black_and_silent_picture_is_what_detectors_find(http_ts_server: Make):
    peer = http_ts_server(faults=("at=0s,kind=black", "at=0s,kind=silence"))
    peer.wait_for("silence begins")
    wait_until(lambda: {"black_start", "silence_start"} <= found(peer), what="black and silence")


@LONG
def test_another_size_and_another_codec_come_and_go(http_ts_server: Make):
    peer = http_ts_server()
    assert_becomes(peer, "size", "80x60", width=80, height=60)
    peer.recode()
    wait_until(lambda: streams_of(peer.url).get("video", {}).get("codec_name") == "hevc", what="another codec")


@LONG
def test_a_rtsp_server_is_frozen_killed_and_comes_back_on_its_port(rtsp_server: Make):
    peer = rtsp_server()
    peer.freeze()
    assert watch(peer.url, frames=1, transport="tcp", wait_s=1.5).pictures == ()
    peer.thaw()
    assert_moves(peer.url, transport="tcp")
    peer.crash()
    assert "refused" in watch(peer.url, frames=1, transport="tcp").complaints
    peer.start()
    assert_moves(peer.url, transport="tcp")


MATRIX = [
    (protocol, kind)
    for protocol in FIXTURES
    for kind in ("black", "freeze", "silence", "size", "codec", "stop", "garbage", "slow", "close")
    if (protocol, kind) not in (("rtmp", "codec"), ("rtsp", "slow"))
]


@LONG
@pytest.mark.parametrize(("protocol", "kind"), MATRIX)
def test_every_fault_of_every_peer_begins_is_seen_and_ends(protocol: str, kind: str, request: pytest.FixtureRequest):
    peer = request.getfixturevalue(FIXTURES[protocol])()
    if kind in ("black", "freeze", "silence"):
        assert_detected(peer, kind, f"{kind}_start")
    elif kind == "size":
        assert_becomes(peer, kind, "80x60", width=80, height=60)
    elif kind == "codec":
        other = "hevc" if protocol == "rtsp" else "mpeg2video"
        assert_becomes(peer, kind, other, codec_name=other)
    else:
        wait_until(lambda: watch(peer.url, frames=8).changes >= 6, what="the picture to move")
        peer.suffer(kind)
        # HLS still has what was good; the others never deliver clean pictures at their pace.
        if protocol != "hls" or kind == "close":
            seen = watch(peer.url, frames=40, wait_s=4)
            assert len(seen.pictures) < 40 or seen.complaints
        peer.heal()
        wait_until(lambda: watch(peer.url, frames=8, wait_s=10).changes >= 6, what="the picture to move again", timeout_s=60)
