"""The index of a prepared clip: its access units, in blocks of about 4 s, each with checksums.

Rule: a reader that follows a growing file sees whole records or nothing: every record carries its length and a CRC-32.
Sans-I/O: bytes in, bytes out. Layout, little endian:

    header   "CHNLIDX1", u32 length, JSON, u32 crc
    block    _BLOCK_HEAD, video units, audio units          (one per ~4 s, whole closed GOPs)
    trailer  "END1", u32 length, JSON, u32 crc              (only when the clip is complete)
"""

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from channeld.base.errors import StreamError
from channeld.base.units import FrameRate
from channeld.ts.packet import PACKET_BYTES, Packets, as_packets

VIDEO_AU = np.dtype([("packet", "<u4"), ("packets", "<u2"), ("composition", "<i2"), ("pts_at", "u1"), ("flags", "u1"), ("_pad", "<u2")])
"""One video access unit: first packet within its block, packets, display minus decode order in frames, column of its PTS, flags."""

AUDIO_AU = np.dtype([("packet", "<u4"), ("packets", "<u2"), ("pts_at", "u1"), ("_pad", "u1")])
"""One audio access unit: first packet within its block, packets, column of its PTS."""

IS_RANDOM_ACCESS = 1
MAY_CUT_AFTER = 2
"""All units up to this one leave no hole in display order: the clip may end here."""
HAS_PCR = 4
HAS_DTS = 8

_HEADER_MAGIC, _BLOCK_MAGIC, _TRAILER_MAGIC = b"CHNLIDX1", b"BLK1", b"END1"
_BLOCK_HEAD = struct.Struct("<4sIQIIIIiI")
BLOCK_HEAD_BYTES = _BLOCK_HEAD.size
TABLE_PACKETS = 2
"""PAT and PMT, in front of every block."""
MAX_JSON_BYTES = 1 << 20
MAX_BLOCK_UNITS = 1 << 16
MAX_BLOCK_BYTES = 256 << 20
MAX_TS_BYTES = 1 << 62
_TIMESTAMPS_BYTES = 10

Units = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class ClipHeader:
    """What is known of a clip before its first block."""

    profile_key: str
    fps: FrameRate
    gop_frames: int
    composition_delay: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """What is known of a clip when it is complete. Counts of access units."""

    video_frames: int
    audio_frames: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Base:
    """Where the index of a clip that never ends begins by now: its byte, and how many pictures and audio units came before it."""

    index_at: int = 0
    frames: int = 0
    audio_units: int = 0

    def encode(self) -> bytes:
        """As it stands beside the index."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, text: bytes) -> "Base":
        """Read it. Raises StreamError."""
        try:
            values = json.loads(text)
            return cls(**{name: max(0, int(values[name])) for name in ("index_at", "frames", "audio_units")})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise StreamError(f"not the base of a live clip ({error})") from error


@dataclass(frozen=True, slots=True)
class Block:
    """About 4 s of a clip: its packets (PAT and PMT first) and its access units.

    `audio_offset` is, for the whole clip, the first audio unit's PTS minus the first picture's, in 90 kHz ticks.
    """

    number: int
    ts: bytes
    video: Units
    audio: Units
    audio_offset: int

    @property
    def packets(self) -> Packets:
        """The packets as rows, without a copy."""
        return np.frombuffer(self.ts, dtype=np.uint8).reshape(-1, PACKET_BYTES)


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """An index record without the packets it speaks of: where they stand in the .ts file, in bytes, and their CRC-32."""

    number: int
    ts_offset: int
    ts_length: int
    ts_crc: int
    audio_offset: int
    video: Units
    audio: Units

    def with_packets(self, ts: bytes) -> Block:
        """Join the record with its packets. Raises StreamError when they are not what was prepared."""
        if len(ts) != self.ts_length or zlib.crc32(ts) != self.ts_crc:
            raise StreamError(f"block {self.number} is damaged", position=self.ts_offset)
        packets = len(as_packets(ts))
        for units in (self.video, self.audio):
            if len(units) and not _lie_within(units, packets):
                raise StreamError(f"block {self.number} names packets that it does not have", position=self.ts_offset)
        if not len(self.video):
            raise StreamError(f"block {self.number} has no picture", position=self.ts_offset)
        return Block(self.number, ts, self.video, self.audio, self.audio_offset)


def _lie_within(units: Units, packets: int) -> bool:
    """Every unit has packets, all of them among the block's, and a PTS and DTS that end before the first of them does."""
    ends = units["packet"].astype(np.int64) + units["packets"]
    return bool(units["packets"].min() > 0 and ends.max() <= packets and units["pts_at"].max() <= PACKET_BYTES - _TIMESTAMPS_BYTES)


def _json_record(magic: bytes, values: dict[str, Any]) -> bytes:
    text = json.dumps(values, separators=(",", ":")).encode()
    body = magic + struct.pack("<I", len(text)) + text
    return body + struct.pack("<I", zlib.crc32(body))


def encode_header(header: ClipHeader) -> bytes:
    """The record that opens an index file."""
    values = {
        "profile_key": header.profile_key,
        "fps": [header.fps.num, header.fps.den],
        "gop_frames": header.gop_frames,
        "composition_delay": header.composition_delay,
        "facts": header.facts,
    }
    return _json_record(_HEADER_MAGIC, values)


def encode_block(block: Block, *, ts_offset: int) -> bytes:
    """The record of a block whose packets begin at byte `ts_offset` of the .ts file."""
    video, audio = block.video.tobytes(), block.audio.tobytes()
    values = (
        _BLOCK_MAGIC,
        block.number,
        ts_offset,
        len(block.ts),
        zlib.crc32(block.ts),
        len(block.video),
        len(block.audio),
        block.audio_offset,
    )
    crc = zlib.crc32(_BLOCK_HEAD.pack(*values, 0)[:-4] + video + audio)
    return _BLOCK_HEAD.pack(*values, crc) + video + audio


def encode_trailer(totals: Totals) -> bytes:
    """The record that closes an index file."""
    values = {"video_frames": totals.video_frames, "audio_frames": totals.audio_frames, "facts": totals.facts}
    return _json_record(_TRAILER_MAGIC, values)


class IndexParser:
    """Reads an index from bytes as they come; every record is checked. Not thread-safe."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._position = 0
        self.header: ClipHeader | None = None
        self.totals: Totals | None = None

    def feed(self, payload: bytes) -> list[BlockRecord]:
        """Take bytes, give the block records now complete. Raises StreamError on anything else than an index."""
        self._pending += payload
        records: list[BlockRecord] = []
        try:
            while (record := self._next()) is not None:
                records.append(record)
        except (struct.error, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise StreamError(f"not a clip index ({error})", position=self._position) from error
        return records

    def read_header(self, payload: bytes) -> None:
        """Take a beginning for the sake of its header alone: what comes next is read from another place. Raises StreamError."""
        self.feed(payload)
        self._pending.clear()

    def _next(self) -> BlockRecord | None:
        while not self._pending.startswith(_BLOCK_MAGIC):
            magic = _HEADER_MAGIC if self.header is None else _TRAILER_MAGIC
            if self.totals is not None and self._pending:
                raise ValueError("bytes after the end")
            values = self._take_json(magic)
            if values is None:
                return None
            if self.header is None:
                self.header = ClipHeader(
                    str(values["profile_key"]),
                    FrameRate(*values["fps"]),
                    int(values["gop_frames"]),
                    int(values["composition_delay"]),
                    dict(values["facts"]),
                )
            else:
                self.totals = Totals(int(values["video_frames"]), int(values["audio_frames"]), dict(values["facts"]))
        if self.header is None or self.totals is not None:
            raise ValueError("a block before the header or after the end")
        return self._take_block()

    def _take_json(self, magic: bytes) -> dict[str, Any] | None:
        got = bytes(self._pending[: len(magic)])
        if got != magic[: len(got)] and not (magic == _TRAILER_MAGIC and _BLOCK_MAGIC.startswith(got)):
            raise ValueError("unknown record")
        head = len(magic) + 4
        if len(self._pending) < head:
            return None
        (length,) = struct.unpack_from("<I", self._pending, len(magic))
        if length > MAX_JSON_BYTES:
            raise ValueError("record too large")
        if len(self._pending) < head + length + 4:
            return None
        body = bytes(self._pending[: head + length])
        (crc,) = struct.unpack_from("<I", self._pending, head + length)
        if zlib.crc32(body) != crc:
            raise ValueError("checksum differs")
        self._drop(head + length + 4)
        values = json.loads(body[head:])
        if not isinstance(values, dict):
            raise ValueError("not an object")
        return values

    def _take_block(self) -> BlockRecord | None:
        if len(self._pending) < BLOCK_HEAD_BYTES:
            return None
        _, number, ts_offset, ts_length, ts_crc, n_video, n_audio, audio_offset, crc = _BLOCK_HEAD.unpack_from(self._pending)
        if n_video > MAX_BLOCK_UNITS or n_audio > MAX_BLOCK_UNITS or ts_length > MAX_BLOCK_BYTES or ts_offset > MAX_TS_BYTES:
            raise ValueError("block too large")
        video_end = BLOCK_HEAD_BYTES + n_video * VIDEO_AU.itemsize
        end = video_end + n_audio * AUDIO_AU.itemsize
        if len(self._pending) < end:
            return None
        record = bytes(self._pending[:end])
        if zlib.crc32(record[: BLOCK_HEAD_BYTES - 4] + record[BLOCK_HEAD_BYTES:]) != crc:
            raise ValueError("checksum differs")
        self._drop(end)
        video = np.frombuffer(record, VIDEO_AU, n_video, BLOCK_HEAD_BYTES)
        audio = np.frombuffer(record, AUDIO_AU, n_audio, video_end)
        return BlockRecord(number, ts_offset, ts_length, ts_crc, audio_offset, video, audio)

    def _drop(self, length: int) -> None:
        del self._pending[:length]
        self._position += length
