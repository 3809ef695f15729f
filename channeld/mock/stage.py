"""What a mock source consists of while it runs: an encoder and a way out, or GStreamer's RTSP server.

Rule: a stage is told the whole picture that all faults together make, and becomes it; it keeps no list of faults. Owner of its children:
`close` ends them. Event loop thread only.
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from pathlib import Path

from channeld.base.errors import SourceError, SpawnError
from channeld.mock.children import MockChild
from channeld.mock.encoder import Encoder
from channeld.mock.faults import Picture, picture_of
from channeld.mock.hls import HlsSink
from channeld.mock.http import TsSink
from channeld.mock.sinks import PACKET_BYTES, FfmpegSink, Sink, UdpSink
from channeld.mock.wanted import Wanted

DEBIAN_PYTHON = "/usr/bin/python3"
RTSP_SCRIPT = Path(__file__).with_name("rtsp_server.py")
RTSP_PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly gstreamer1.0-x"
)
RTSP_START_S = 30.0
SLOW_STEP_S = 0.1
_SINKS: dict[str, type[TsSink | HlsSink | UdpSink | FfmpegSink]] = {
    "ts": TsSink,
    "hls": HlsSink,
    "udp": UdpSink,
    "srt": FfmpegSink,
    "rtmp": FfmpegSink,
}


class Stage(ABC):
    """The running source."""

    address = ""

    @abstractmethod
    async def open(self) -> None:
        """Start; returns when viewers may come. Raises ChannelError, OSError."""

    @abstractmethod
    async def show(self, picture: Picture) -> None:
        """Become this picture."""

    @abstractmethod
    async def run(self) -> None:
        """Stay until something ends that should not: then raises ChannelError."""

    @abstractmethod
    async def close(self) -> None:
        """End every child; idempotent."""


def stage_of(wanted: Wanted) -> Stage:
    """The stage for a protocol."""
    return RtspStage(wanted) if wanted.protocol == "rtsp" else TsStage(wanted, _SINKS[wanted.protocol](wanted))


class TsStage(Stage):
    """An encoder's transport stream into a sink; what befalls bytes, befalls them here."""

    def __init__(self, wanted: Wanted, sink: Sink) -> None:
        self._sink = sink
        self._picture = picture_of(wanted.stream, ())
        self._encoder = Encoder(self._picture)
        self._pumping: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._bytes, self._mean = 0, 0.0

    async def open(self) -> None:
        """Start both, and let the stream flow."""
        await self._encoder.start()
        await self._sink.open()
        self._begun = time.monotonic()
        self._pumping = asyncio.create_task(self._pump())
        ready = asyncio.create_task(self._sink.ready())
        try:
            await asyncio.wait([self._pumping, ready], return_when=asyncio.FIRST_COMPLETED)
            if self._pumping.done():
                self._pumping.result()
            ready.result()
        finally:
            ready.cancel()
        self.address = self._sink.address

    async def _pump(self) -> None:
        while True:
            packets = await self._encoder.read()
            while packets and (rate := self._picture.rate) is not None:
                # As many bytes a second as the share asks of what flowed before; the encoder waits, and is behind.
                bytes_per_s = max(1.0, self._mean * rate)
                size = max(1, int(bytes_per_s * SLOW_STEP_S) // PACKET_BYTES) * PACKET_BYTES
                piece, packets = packets[:size], packets[size:]
                await asyncio.sleep(len(piece) / bytes_per_s)
                self._bytes += len(piece)
                self._feed(piece)
            self._bytes += len(packets)
            if packets:
                self._mean = self._bytes / max(1.0, time.monotonic() - self._begun)
            self._feed(packets)

    def _feed(self, packets: bytes) -> None:
        if packets and not self._picture.is_stopped:
            self._sink.feed(packets)

    async def show(self, picture: Picture) -> None:
        """Become this picture: the bytes first, then what is in them."""
        before, self._picture = self._picture, picture
        self._sink.spoil(picture.is_garbage)
        if before.is_locked != picture.is_locked:
            self._sink.lock(picture.is_locked)
        if before.is_stopped and not picture.is_stopped:
            self._sink.skipped()
        if before.is_closed != picture.is_closed:
            await (self._sink.close() if picture.is_closed else self._sink.open())
        if await self._encoder.show(picture) and not picture.is_closed:
            await self._sink.renew()

    async def run(self) -> None:
        """Stay as long as the stream flows."""
        if self._pumping is not None:
            await self._pumping

    async def close(self) -> None:
        """End sink and encoder."""
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait([self._pumping])
        await self._sink.close()
        await self._encoder.close()


class RtspStage(Stage):
    """GStreamer's RTSP server in a child, which is told each picture."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted, self._port = wanted, wanted.port
        self._picture = picture_of(wanted.stream, ())
        self._child: MockChild | None = None

    async def open(self) -> None:
        """Start the server, and wait until it listens. Raises SpawnError where its parts are missing."""
        if not Path(DEBIAN_PYTHON).exists():
            raise SpawnError(f"rtsp needs Debian's Python and GStreamer: apt install {RTSP_PACKAGES}")
        access = self._wanted.access
        words = None if access is None else {"user": access.user, "password": access.password, "digest": access.digest}
        order = {"host": self._wanted.host, "port": self._port, "state": _state(self._picture), "access": words}
        child = MockChild("the RTSP server", [DEBIAN_PYTHON, str(RTSP_SCRIPT)], takes=True, gives=True)
        await child.start()
        self._child = child  # from here on `close` ends it, whatever ends this
        child.write((json.dumps(order) + "\n").encode())
        try:
            line = await asyncio.wait_for(child.read_line(), RTSP_START_S)
            if not line.startswith("port "):
                await asyncio.sleep(0.2)
                raise _missing(str(child.failure()))
        except TimeoutError as error:
            raise SpawnError(f"no RTSP server after {RTSP_START_S:g} s") from error
        self._port = int(line.split()[1])
        host = f"[{self._wanted.host}]" if ":" in self._wanted.host else self._wanted.host
        self.address = f"rtsp://{host}:{self._port}/live"

    async def show(self, picture: Picture) -> None:
        """Tell it; closed means that there is no server."""
        before, self._picture = self._picture, picture
        if picture.is_closed and not before.is_closed:
            await self.close()
        elif before.is_closed and not picture.is_closed:
            await self.open()
        elif self._child is not None:
            self._child.write((json.dumps(_state(picture)) + "\n").encode())

    async def run(self) -> None:
        """Stay as long as the server lives, or is meant not to."""
        while True:
            child = self._child
            if child is not None and not child.is_alive and child is self._child:
                raise child.failure()
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """End it."""
        child, self._child = self._child, None
        if child is not None:
            await child.end(grace_s=0.0)


def _missing(words: str) -> SpawnError | SourceError:
    if "No module named 'gi'" in words or "Namespace" in words:
        return SpawnError(f"rtsp needs GStreamer's server: apt install {RTSP_PACKAGES}")
    return SourceError(words)


def _state(picture: Picture) -> dict[str, object]:
    stream = picture.stream
    return {
        "width": stream.width,
        "height": stream.height,
        "fps": f"{stream.fps.numerator}/{stream.fps.denominator}",
        "kbps": stream.bitrate_kbps,
        "gop": stream.gop_frames,
        "vcodec": stream.vcodec,
        "acodec": stream.acodec,
        "black": picture.is_black,
        "still": picture.is_still,
        "silent": picture.is_silent,
        "garbage": picture.is_garbage,
        "stop": picture.is_stopped,
        "locked": picture.is_locked,
    }
