"""Upstreams of every protocol, all of one shape: an address, and the faults that may befall it, with what a slate may say of each.

Rule: a table. Each is made by `make_upstream` and stopped by whoever made it. `kill` ends processes, `freeze` stops them, `unplug` takes a
link down (of a namespace, or of a proxy where the peer is nginx); the others are faults of `mock-source`, or of its options.
"""

import contextlib
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nginx_origin import NginxOrigin, wait_until

from peers.mock_peer import MockPeer
from peers.namespace import Namespace
from peers.proxy import RtspProxy, TcpProxy, Weather
from peers.rtmp_peer import NAME

FAULTS = ("kill", "freeze", "unplug", "garbage", "codec", "size", "password", "slow")
GONE = {"cannot_connect", "ended", "timed_out"}
ODD = {"unsupported_format", "other", "ended", "timed_out", "cannot_connect"}
REASONS: Mapping[str, set[str]] = {
    "kill": GONE,
    "freeze": {"timed_out"},
    "unplug": {"timed_out", "cannot_connect"},
    "garbage": ODD,
    "codec": ODD,
    "size": ODD,
    "password": {"authentication_failed"},
    "slow": {"timed_out"},
}
"""What of each fault may be told."""
MAY_AIR_ON = {"garbage", "codec", "size", "slow"}
"""What a source may also survive: it airs on, or its store runs out now and then."""
SLOW_RATE, SLOW_KBIT = 0.3, 60


@dataclass(frozen=True, slots=True)
class Kind:
    """One protocol by one server. `options` are of mock-source, `source` of the channel's source, `graces` of its failover."""

    protocol: str
    lacks: frozenset[str] = frozenset()
    options: Mapping[str, str | bool] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    graces: Mapping[str, float] = field(default_factory=dict)


_GRACES = {"loss_grace_seconds": 1, "recovery_grace_seconds": 1, "buffer_seconds": 0.6}
_LATE = {**_GRACES, "loss_grace_seconds": 5, "buffer_seconds": 2}
_LOGIN = {"user": "viewer", "password": "right"}
_TS_LIKE = frozenset({"password"})
KINDS: Mapping[str, Kind] = {
    "http": Kind("ts", options=_LOGIN, graces=_GRACES),
    "rtsp": Kind("rtsp", options={**_LOGIN, "digest": True}, graces=_GRACES),
    # With loss, delay and reordering on its way; its line is a proxy's, so that it has no namespace.
    "rtsp-udp": Kind(
        "rtsp", options={"vcodec": "hevc", "acodec": "pcm_mulaw"}, source={"transport": "udp"}, graces=_GRACES, lacks=_TS_LIKE
    ),
    "udp": Kind("udp", graces=_GRACES, lacks=_TS_LIKE),
    "srt": Kind("srt", graces=_GRACES, lacks=_TS_LIKE),
    "http-ffmpeg": Kind("udp", graces=_GRACES, lacks=_TS_LIKE),
    "rtmp-nginx": Kind("rtmp", graces=_GRACES, lacks=frozenset({"password", "codec"})),
    # Segments of 2 s come when they are whole.
    "hls-nginx": Kind("rtmp", graces=_LATE, lacks=frozenset({"password", "codec"})),
}
WEATHER = Weather(loss=0.002, delay_s=0.02, jitter_s=0.01, reorder=0.005)


class Upstream:
    """A mock source of one kind, in a namespace of its own. `url` is what a channel is given."""

    def __init__(self, name: str, kind: Kind, peer: MockPeer, *, line: Namespace | None = None) -> None:
        self.name, self.kind, self.peer = name, kind, peer
        self.url = peer.url
        self.faults = tuple(fault for fault in FAULTS if fault not in kind.lacks)
        self._line = line

    def start(self) -> "Upstream":
        """Return when it serves."""
        self.peer.start()
        return self

    def befall(self, fault: str) -> None:
        """Have it happen."""
        if fault == "kill":
            self.peer.crash()
        elif fault == "freeze":
            self.peer.freeze()
        elif fault == "unplug":
            self.unplug()
        elif fault == "slow":
            self.slow_down()
        else:
            self.peer.suffer(fault, to={"size": "96x54", "codec": self.other_codec}.get(fault, ""))

    def mend(self, fault: str) -> None:
        """As it was; returns when it serves again."""
        if fault == "kill":
            self.peer.start()
        elif fault == "freeze":
            self.peer.thaw()
        elif fault == "unplug":
            self.plug()
        elif fault == "slow":
            self.hurry()
        else:
            self.peer.heal()

    @property
    def other_codec(self) -> str:
        """What it becomes."""
        return "h264" if self.peer.options.get("vcodec") == "hevc" else "hevc" if self.kind.protocol == "rtsp" else "mpeg2video"

    def unplug(self) -> None:
        """The line is dead."""
        assert self._line is not None
        self._line.unplug()

    def plug(self) -> None:
        """And alive."""
        assert self._line is not None
        self._line.plug()

    def slow_down(self) -> None:
        """It comes too slowly to be watched."""
        if self.kind.protocol == "rtsp":
            assert self._line is not None
            self._line.narrow(SLOW_KBIT)
        else:
            self.peer.slow_down(SLOW_RATE)

    def hurry(self) -> None:
        """In time again."""
        if self.kind.protocol == "rtsp":
            assert self._line is not None
            self._line.narrow(0)
        else:
            self.peer.heal()

    def stop(self) -> None:
        """End it, and its line."""
        self.peer.stop()
        if self._line is not None:
            self._line.close()


class ThroughProxy(Upstream):
    """RTSP over UDP through a line that loses, delays and reorders."""

    def __init__(self, name: str, kind: Kind, peer: MockPeer, *, seed: int) -> None:
        super().__init__(name, kind, peer)
        self.proxy = RtspProxy(("127.0.0.1", peer.port), seed=seed, weather=WEATHER)
        self.url = f"rtsp://127.0.0.1:{self.proxy.port}/live"
        self.faults = tuple(fault for fault in self.faults if fault != "slow")

    def unplug(self) -> None:
        self.proxy.weather = Weather(loss=1.0)
        self.proxy.stall()

    def plug(self) -> None:
        self.proxy.weather = WEATHER
        self.proxy.resume()

    def stop(self) -> None:
        super().stop()
        self.proxy.close()


class ByNginx(Upstream):
    """A mock source that pushes to nginx-rtmp; what a channel reads is RTMP or HLS of that nginx, through a TCP line that can die."""

    def __init__(self, name: str, kind: Kind, folder: Path, ports: Callable[[int], list[int]]) -> None:
        rtmp, http, control = ports(3)
        self.origin = NginxOrigin(folder, ports=(rtmp, http, control))
        super().__init__(name, kind, MockPeer("rtmp", rtmp, push=self.origin.rtmp_url(NAME)))
        self._proxy = TcpProxy(("127.0.0.1", http if name.startswith("hls") else rtmp))
        place = f"hls/{NAME}/index.m3u8" if name.startswith("hls") else f"live/{NAME}"
        self.url = f"{'http' if name.startswith('hls') else 'rtmp'}://127.0.0.1:{self._proxy.port}/{place}"

    def start(self) -> "ByNginx":
        self.origin.start()
        super().start()
        self.origin.wait_for_segments(NAME, 2)
        return self

    def unplug(self) -> None:
        self._proxy.stall()

    def plug(self) -> None:
        self._proxy.resume()

    def stop(self) -> None:
        super().stop()
        self._proxy.close()
        self.origin.stop()


class ByFFmpeg(Upstream):
    """FFmpeg as an HTTP server of a transport stream, for one viewer at a time, fed by a mock source; begun again when the viewer left."""

    def __init__(self, name: str, kind: Kind, peer: MockPeer, port: int, *, line: Namespace) -> None:
        super().__init__(name, kind, peer, line=line)
        self.url = f"http://{line.there}:{port}/live.ts"
        feed = f"{peer.url}?fifo_size=500&overrun_nonfatal=1"
        serve = f"ffmpeg -nostdin -v error -i '{feed}' -c copy -f mpegts -listen 1 {self.url}"
        loop = f"while :; do {serve}; sleep 0.2; done"
        self._command = ["setpriv", "--pdeathsig", "KILL", "--", *line.enter, "sh", "-c", loop]
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> "ByFFmpeg":
        super().start()
        self._serve()
        return self

    def _serve(self) -> None:
        self._server = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, process_group=0)

    def befall(self, fault: str) -> None:
        if fault == "kill":
            self._end()
        super().befall(fault)

    def mend(self, fault: str) -> None:
        super().mend(fault)
        if fault == "kill":
            self._serve()

    def _end(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(ProcessLookupError):
                subprocess.run(["kill", "-KILL", "--", f"-{server.pid}"], check=False)
            server.wait(10)

    def stop(self) -> None:
        self._end()
        super().stop()


def make_upstream(name: str, folder: Path, ports: Callable[[int], list[int]], *, seed: int) -> Upstream:
    """One of KINDS, not started."""
    kind = KINDS[name]
    if name.endswith("nginx"):
        return ByNginx(name, kind, folder, ports)
    if name == "rtsp-udp":
        return ThroughProxy(name, kind, MockPeer("rtsp", ports(1)[0], **kind.options), seed=seed)
    line = Namespace()
    host = line.here if kind.protocol == "udp" and name == "udp" else line.there
    peer = MockPeer(kind.protocol, ports(1)[0], host=host, through=line.enter, **kind.options)
    if name == "http-ffmpeg":
        return ByFFmpeg(name, kind, peer, ports(1)[0], line=line)
    return Upstream(name, kind, peer, line=line)


def wait_for_end(upstream: Upstream) -> None:
    """Until nothing of it lives. Raises TimeoutError."""
    wait_until(lambda: not upstream.peer.survivors(), what=f"all of {upstream.name} to be gone", timeout_s=20)
