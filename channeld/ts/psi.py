"""The two tables of a channel's stream: PAT and PMT, one packet each.

Rule: they are constant but for their continuity counters. Source: ISO/IEC 13818-1, 2.4.4.
"""

import numpy as np

from channeld.base.errors import StreamError
from channeld.ts.nal import VideoCodec
from channeld.ts.packet import AUDIO_PID, PACKET_BYTES, PAT_PID, PMT_PID, SYNC_BYTE, VIDEO_PID, Packets, pids

PROGRAM_NUMBER = 1
STREAM_TYPE_H264 = 0x1B
STREAM_TYPE_H265 = 0x24
STREAM_TYPE_AAC_ADTS = 0x0F
_STREAM_TYPES = {VideoCodec.H264: STREAM_TYPE_H264, VideoCodec.H265: STREAM_TYPE_H265}
_CODECS = {kind: codec for codec, kind in _STREAM_TYPES.items()}
_VIDEO_TYPE_AT = 17
"""In a PMT of ours: behind packet header, pointer and section header."""


def crc32_mpeg(section: bytes) -> int:
    """CRC-32/MPEG-2 of a section (annex A): polynomial 0x04C11DB7, not reflected, no final inversion."""
    crc = 0xFFFFFFFF
    for byte in section:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def _section(table_id: int, identifier: int, body: bytes) -> bytes:
    length = 5 + len(body) + 4
    head = bytes((table_id, 0xB0 | length >> 8, length & 0xFF, identifier >> 8, identifier & 0xFF, 0xC1, 0, 0))
    return head + body + crc32_mpeg(head + body).to_bytes(4, "big")


def _packet(pid: int, section: bytes) -> bytes:
    head = bytes((SYNC_BYTE, 0x40 | pid >> 8, pid & 0xFF, 0x10, 0))
    return (head + section).ljust(PACKET_BYTES, b"\xff")


def _stream(stream_type: int, pid: int) -> bytes:
    return bytes((stream_type, 0xE0 | pid >> 8, pid & 0xFF, 0xF0, 0))


def tables(codec: VideoCodec = VideoCodec.H264) -> Packets:
    """PAT and PMT as two packets with counters of 0: pictures and AAC on the fixed PIDs, PCR on the video's."""
    pat = _section(0x00, 1, bytes((0, PROGRAM_NUMBER, 0xE0 | PMT_PID >> 8, PMT_PID & 0xFF)))
    streams = _stream(_STREAM_TYPES[codec], VIDEO_PID) + _stream(STREAM_TYPE_AAC_ADTS, AUDIO_PID)
    pmt = _section(0x02, PROGRAM_NUMBER, bytes((0xE0 | VIDEO_PID >> 8, VIDEO_PID & 0xFF, 0xF0, 0)) + streams)
    return np.frombuffer(_packet(PAT_PID, pat) + _packet(PMT_PID, pmt), dtype=np.uint8).reshape(2, PACKET_BYTES).copy()


def codec_of(packets: Packets) -> VideoCodec:
    """What the first PMT of a channel's own stream says of its pictures. Raises StreamError where there is none."""
    found = packets[pids(packets) == PMT_PID]
    codec = _CODECS.get(int(found[0, _VIDEO_TYPE_AT])) if len(found) else None
    if codec is None:
        raise StreamError("no PMT that names pictures of H.264 or H.265")
    return codec
