"""Channels of live sources against peers that nobody here wrote: every protocol on air, lost for the right reason, and back on air."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from judge.decode import decode_faults
from judge.ts import SPLICED, read_ts
from nginx_origin import wait_until
from peers.fixtures import Maker
from peers.rtmp_peer import RtmpPeer
from recordings import TsRecorder, whole_gops
from running import FPS, RunningDaemon

StartDaemon = Callable[..., RunningDaemon]
GRACES = {"loss_grace_seconds": 1, "recovery_grace_seconds": 1, "buffer_seconds": 0.6}
HLS_GRACES = {**GRACES, "loss_grace_seconds": 5, "buffer_seconds": 2}
"""Its segments of 2 s come when they are whole."""


def relayed(url: str, *, graces: dict[str, float] = GRACES, **options: Any) -> dict[str, Any]:
    """A channel of one source."""
    return {"sources": [{"name": "up", "url": url, "timeout_seconds": 6, **options}], "failover": dict(graces), "outputs": [{"ts": {}}]}


def until_live(daemon: RunningDaemon, *channels: str, timeout_s: float = 90) -> None:
    def are_live() -> bool:
        return all(daemon.channel(name)["sources"][0]["on_air"] for name in channels)

    def told() -> str:
        return str({name: daemon.channel(name)["sources"][0] for name in channels})

    try:
        wait_until(are_live, what="the sources on air", timeout_s=timeout_s)
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {told()}") from error


def until_lost(daemon: RunningDaemon, channel: str, *reasons: str, timeout_s: float = 60) -> None:
    def is_lost() -> bool:
        shown = daemon.channel(channel)
        return shown["sources"][0]["reason"] in reasons and shown["state"] == "filler"

    wait_until(is_lost, what=f"{channel} lost for {reasons}, not {daemon.channel(channel)['sources'][0]}", timeout_s=timeout_s)


def faults_of(stream: Path) -> list[str]:
    return read_ts(whole_gops(stream.read_bytes()), fps=Fraction(FPS), allowances=SPLICED).faults() + decode_faults(stream)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("names", [("rtsp", "hls"), ("rtsp", "hls", "ts", "udp", "srt")], ids=len)
def test_sources_are_lost_and_come_back_as_one_stream(
    daemon_of: StartDaemon, tmp_path: Path, request: pytest.FixtureRequest, names: tuple[str, ...]
) -> None:
    makers = {"rtsp": "rtsp_server", "hls": "hls_server", "ts": "http_ts_server", "udp": "udp_sender", "srt": "srt_sender"}
    peers = {name: request.getfixturevalue(makers[name])() for name in names}
    graces = {"hls": HLS_GRACES}
    daemon = daemon_of({name: relayed(peer.url, graces=graces.get(name, GRACES)) for name, peer in peers.items()})
    daemon.start()
    until_live(daemon, *peers)
    seen = {name: tmp_path / f"{name}.ts" for name in peers}
    recorders = [TsRecorder(daemon.ts_url(name), path).start() for name, path in seen.items()]
    for peer in peers.values():
        peer.crash()
    for name in peers:
        until_lost(daemon, name, "cannot_connect", "timed_out", "ended", "other")
    for peer in peers.values():
        peer.start()
    until_live(daemon, *peers)
    for recorder in recorders:
        recorder.close()
    assert {name: faults_of(path) for name, path in seen.items()} == {name: [] for name in seen}


@pytest.mark.long
def test_a_stream_of_nginx_airs(daemon_of: StartDaemon, rtmp_origin: Callable[..., RtmpPeer]) -> None:
    daemon = daemon_of({"rtmp": relayed(rtmp_origin().url)})
    daemon.start()
    until_live(daemon, "rtmp")


@pytest.mark.parametrize("protocol", ["rtsp", pytest.param("ts", marks=pytest.mark.long)])
def test_a_wrong_password_is_told_as_such_and_the_right_one_airs(
    daemon_of: StartDaemon, rtsp_server: Maker, http_ts_server: Maker, protocol: str
) -> None:
    make = {"rtsp": rtsp_server, "ts": http_ts_server}[protocol]
    peer = make(user="viewer", password="right", **({"digest": True} if protocol == "rtsp" else {}))
    daemon = daemon_of({"wrong": relayed(peer.url_for("viewer:wrong@")), "right": relayed(peer.url)})
    daemon.start()
    until_live(daemon, "right")
    until_lost(daemon, "wrong", "authentication_failed")
    told = daemon.get("/api/v1/channels/wrong")
    assert "wrong@" not in str(told) and "viewer:wrong" not in daemon.log_path.read_text()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_other_codecs_over_udp_and_a_change_of_size_and_codec_air_on(
    daemon_of: StartDaemon, rtsp_server: Maker, http_ts_server: Maker
) -> None:
    camera, server = rtsp_server(vcodec="hevc", acodec="pcm_mulaw"), http_ts_server()
    daemon = daemon_of({"camera": relayed(camera.url, transport="udp"), "changing": relayed(server.url)})
    daemon.start()
    until_live(daemon, "camera", "changing")
    for change in (lambda: server.resize("80x60"), lambda: server.recode("mpeg2video")):
        change()
        # What the peer serves now goes on arriving, and airs; that it was on air before the change proves nothing.
        came = daemon.channel("changing")["sources"][0]["bytes"]
        wait_until(lambda more=came: daemon.channel("changing")["sources"][0]["bytes"] > more + 300_000, what="more of it", timeout_s=90)  # type: ignore[misc]
        until_live(daemon, "changing")
