"""Where a mock source's transport stream goes: what all sinks share, and those that send by themselves or through an FFmpeg.

Rule: a sink never holds up the source; who does not take, loses. Owned by `run`; event loop thread only.
"""

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random

import psutil

from channeld.base.errors import SourceError
from channeld.base.redact import redact_text
from channeld.media.tools import find_tools
from channeld.mock.children import MockChild
from channeld.mock.wanted import Wanted
from channeld.telemetry import log

PACKET_BYTES = 188
DATAGRAM_PACKETS = 7
_RETRY_S, _PAUSE_S, _SHORT_LIFE_S = 0.1, 1.0, 0.5
_LOOK_S = 0.05
_log = log.get("mock")


class Sink(ABC):
    """One way out. `address` is where viewers find it, known once it is open."""

    def __init__(self, seed: int) -> None:
        self.address = ""
        self._random = Random(seed)
        self._is_spoilt = False

    def spoil(self, wanted: bool) -> None:
        """Make garbage of what is sent from now on, or no longer."""
        self._is_spoilt = wanted

    def feed(self, packets: bytes) -> None:
        """Send whole transport packets."""
        self.take(self.spoilt(packets) if self._is_spoilt else packets)

    def spoilt(self, packets: bytes) -> bytes:
        """As many bytes that mean nothing."""
        return self._random.randbytes(len(packets))

    def lock(self, wanted: bool) -> None:
        """Want another password from now on, which nobody has: whoever is there is sent away. Or no longer."""

    async def renew(self) -> None:
        """Another encoder follows: its stream may be another one."""

    def skipped(self) -> None:
        """Some of the stream was not sent; what follows does not join on."""

    @abstractmethod
    def take(self, packets: bytes) -> None:
        """Send these bytes."""

    @abstractmethod
    async def open(self) -> None:
        """Begin to serve; may be called again after `close`. Raises OSError, SpawnError."""

    async def ready(self) -> None:
        """Returns when viewers may come; the stream flows meanwhile."""

    @abstractmethod
    async def close(self) -> None:
        """Leave every viewer and the port; idempotent."""


class UdpSink(Sink):
    """Datagrams of seven packets to one address, unicast or multicast."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted.seed)
        self._host, self._port = wanted.host, wanted.port
        self._socket: socket.socket | None = None
        self._rest = b""

    async def open(self) -> None:
        """Connect: only the kernel's choice of a way is made."""
        family, kind, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        self._socket = made = socket.socket(family, kind)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        made.connect(address)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"udp://{host}:{self._port}"

    def take(self, packets: bytes) -> None:
        """Send what fills datagrams."""
        self._rest += packets
        size = DATAGRAM_PACKETS * PACKET_BYTES
        while len(self._rest) >= size and self._socket is not None:
            datagram, self._rest = self._rest[:size], self._rest[size:]
            try:
                self._socket.send(datagram)
            except (ConnectionRefusedError, BlockingIOError):
                continue  # nobody listens, or the buffer is full: lost, as datagrams are

    async def close(self) -> None:
        """Send no more."""
        made, self._socket, self._rest = self._socket, None, b""
        if made is not None:
            made.close()


class FfmpegSink(Sink):
    """An FFmpeg that sends on what it is given, begun anew whenever it ends: as a server for one viewer at a time, or to a server."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted.seed)
        self._protocol, self._pushes = wanted.protocol, wanted.push_url is not None
        self._argv = _sender_args(wanted)
        self.address = wanted.push_url or _served_address(wanted)
        self._child: MockChild | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._told = ""

    async def open(self) -> None:
        """Start it, and see to it that it comes back."""
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            child = MockChild(f"the {self._protocol} sender", self._argv, takes=True)
            await child.start()
            self._child, begun = child, time.monotonic()
            try:
                while child.is_alive:
                    await asyncio.sleep(_LOOK_S)
                self._complain(str(child.failure()).splitlines()[-1])
            finally:
                self._child = None
                await child.end(grace_s=0.0)
            await asyncio.sleep(_RETRY_S if time.monotonic() - begun > _SHORT_LIFE_S else _PAUSE_S)

    def _complain(self, words: str) -> None:
        """Of a push that ended, once for each reason; that a viewer leaves is nothing to tell."""
        if self._pushes and words != self._told:
            self._told = words
            _log.warning("push_ended", address=redact_text(self.address), reason=words)

    async def ready(self) -> None:
        """Wait, as a server, until its port is open. Raises SourceError when its FFmpeg ends instead, or after 15 s."""
        if self._pushes:
            return
        for _ in range(round(15 / _LOOK_S)):
            child = self._child
            if child is not None and _has_port(child.pid):
                return
            await asyncio.sleep(_LOOK_S)
        raise SourceError(f"{self.address}: the port was not open after 15 s; is it in use?")

    def spoilt(self, packets: bytes) -> bytes:
        """SRT carries bytes. RTMP has units, which FFmpeg makes of a sound stream: there the insides of the pictures are spoilt."""
        return super().spoilt(packets) if self._protocol == "srt" else damaged(packets, self._random)

    def take(self, packets: bytes) -> None:
        """Give it on; lost when the child does not take it."""
        if self._child is not None:
            self._child.write(packets)

    async def renew(self) -> None:
        """RTMP tells the codec once, at its begin: another stream is another connection. SRT carries bytes."""
        if self._protocol == "rtmp" and self._keeping is not None:
            await self.close()
            await self.open()

    async def close(self) -> None:
        """End it."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])


def _served_address(wanted: Wanted) -> str:
    host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    return f"{wanted.protocol}://{host}:{wanted.port}" + ("/live/mock" if wanted.protocol == "rtmp" else "")


def _sender_args(wanted: Wanted) -> Sequence[str]:
    start = [find_tools().ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-v", "error"]
    if wanted.protocol == "srt":
        # As raw data, so that garbage passes; the size of a packet is that of a datagram of SRT's live mode.
        raw = [
            "-f",
            "data",
            "-raw_packet_size",
            str(DATAGRAM_PACKETS * PACKET_BYTES),
            "-i",
            "pipe:0",
            "-map",
            "0",
            "-c",
            "copy",
            "-f",
            "data",
        ]
        return [*start, *raw, wanted.push_url or f"{_served_address(wanted)}?mode=listener"]
    quick = ["-analyzeduration", "500000", "-probesize", "500000", "-fpsprobesize", "0", "-f", "mpegts", "-i", "pipe:0"]
    codecs = ["-map", "0:v", "-map", "0:a?", "-c", "copy", "-bsf:a", "aac_adtstoasc", "-flvflags", "no_duration_filesize", "-f", "flv"]
    server = [] if wanted.push_url else ["-listen", "1"]
    return [*start, *quick, *codecs, *server, wanted.push_url or _served_address(wanted)]


def _has_port(pid: int) -> bool:
    return any(each.pid == pid and (each.status == psutil.CONN_LISTEN or not each.raddr) for each in psutil.net_connections("inet"))


def damaged(packets: bytes, random: Random) -> bytes:
    """The same packets with every eighth one's last bytes changed, but for those in which a unit begins."""
    spoilt = bytearray(packets)
    for at in range(0, len(spoilt) - PACKET_BYTES + 1, PACKET_BYTES):
        begins_unit = spoilt[at + 1] & 0x40
        if not begins_unit and random.random() < 0.125:
            spoilt[at + 64 : at + PACKET_BYTES] = random.randbytes(PACKET_BYTES - 64)
    return bytes(spoilt)
