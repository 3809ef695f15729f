"""HLS of a mock source: its transport stream cut at key frames, kept in memory, served with a manifest.

Rule: nothing is written to a disk, so nothing is left there whatever ends this process. A segment begins with PAT and PMT (the encoder
writes them before each picture). Event loop thread only. Source: RFC 8216; ISO/IEC 13818-1, 2.4.3.
"""

import asyncio
import math
import re
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus

from channeld.mock.http import HttpSink, answer, refuse
from channeld.mock.sinks import PACKET_BYTES
from channeld.mock.wanted import Wanted

WINDOW = 6
KEPT = 12
"""Segments behind the manifest's are served a while longer."""
TARGET_S = 2.0
MAX_SEGMENT_BYTES = 64 << 20
_PAT_PID, _VIDEO_PID = 0, 0x100
_CLOCK, _WRAP = 90_000, 1 << 33


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; `breaks`: its timeline does not follow that of the one before."""

    number: int
    duration_s: float
    payload: bytes
    breaks: bool


class Cutter:
    """Cuts a transport stream of FFmpeg's at key frames, at least so many seconds apart."""

    def __init__(self, target_s: float = TARGET_S) -> None:
        self._target = round(target_s * _CLOCK)
        self._open = bytearray()
        self._tables_at = 0
        self._begun: int | None = None
        self._breaks = False
        self._number = 0

    def feed(self, packets: bytes) -> list[Segment]:
        """Take whole packets in; the segments that they complete."""
        done = []
        for at in range(0, len(packets), PACKET_BYTES):
            packet = packets[at : at + PACKET_BYTES]
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            if pid == _PAT_PID:
                self._tables_at = len(self._open)
            elif pid == _VIDEO_PID and (pts := _key_frame_pts(packet)) is not None:
                done += self._cut(pts)
            self._open += packet
        if len(self._open) > MAX_SEGMENT_BYTES:
            self.restart()
        return done

    def restart(self) -> None:
        """What is open is thrown away; what follows is another timeline."""
        self._open.clear()
        self._tables_at, self._begun, self._breaks = 0, None, self._number > 0

    def _cut(self, pts: int) -> list[Segment]:
        """At the tables before a key frame: close what is open when that is long enough, or begin."""
        length = (pts - self._begun) % _WRAP if self._begun is not None else 0
        if self._begun is not None and length < self._target - _CLOCK // 20:
            return []
        before, self._open = bytes(self._open[: self._tables_at]), self._open[self._tables_at :]
        began, self._begun, self._tables_at = self._begun, pts, 0
        if began is None:
            return []
        segment = Segment(self._number, length / _CLOCK, before, self._breaks)
        self._number, self._breaks = self._number + 1, False
        return [segment]


def _key_frame_pts(packet: bytes) -> int | None:
    """PTS in a packet in which a picture begins that needs no other; None for any other packet."""
    begins, has_field = packet[1] & 0x40, packet[3] & 0x20
    if not begins or not has_field or not packet[4] or not packet[5] & 0x40:
        return None
    pes = 5 + packet[4]
    if packet[pes : pes + 3] != b"\0\0\1" or not packet[pes + 7] & 0x80:
        return None
    a, b, c, d, e = packet[pes + 9 : pes + 14]
    return (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1


class HlsSink(HttpSink):
    """The manifest at `/live.m3u8`, the segments beside it."""

    path = "/live.m3u8"

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._cutter = Cutter(TARGET_S)
        self._segments: deque[Segment] = deque(maxlen=KEPT)
        self._came = asyncio.Event()
        self._breaks_gone = 0

    def spoilt(self, packets: bytes) -> bytes:
        """Cut from the sound stream; garbage is what segments are served as."""
        return packets

    def take(self, packets: bytes) -> None:
        """Cut."""
        for segment in self._cutter.feed(packets):
            if len(self._segments) >= WINDOW:
                self._breaks_gone += self._segments[-WINDOW].breaks
            self._segments.append(segment)
            self._came.set()

    async def renew(self) -> None:
        """What the next encoder makes begins with a segment of its own."""
        self._cutter.restart()

    def skipped(self) -> None:
        """A segment with a hole would be as long as the hole."""
        self._cutter.restart()

    async def ready(self) -> None:
        """Wait for the first segment."""
        await self._came.wait()

    def manifest(self) -> str:
        """The newest segments, as RFC 8216 wants them."""
        shown = list(self._segments)[-WINDOW:]
        longest = max((segment.duration_s for segment in shown), default=TARGET_S)
        first = shown[0].number if shown else 0
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{math.ceil(longest - 0.001)}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._breaks_gone}")
        for segment in shown:
            lines += ["#EXT-X-DISCONTINUITY"] if segment.breaks else []
            lines += [f"#EXTINF:{segment.duration_s:.3f},", f"{segment.number}.ts"]
        return "\n".join(lines) + "\n"

    async def send(self, path: str, writer: asyncio.StreamWriter, *, with_body: bool) -> None:
        """The manifest or a segment."""
        if path == self.path:
            answer(writer, "application/vnd.apple.mpegurl", self.manifest().encode(), with_body=with_body)
            return
        asked = re.fullmatch(r"/(\d{1,12})\.ts", path)
        found = next((each for each in self._segments if asked and each.number == int(asked[1])), None)
        if found is None:
            refuse(writer, HTTPStatus.NOT_FOUND)
            return
        body = self._random.randbytes(len(found.payload)) if self._is_spoilt else found.payload
        answer(writer, "video/mp2t", body, with_body=with_body)
