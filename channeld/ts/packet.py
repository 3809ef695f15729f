"""Transport packets as numpy rows: shape (n, 188), dtype uint8, one packet a row.

Rule: nothing here keeps state. Source of all layouts: ISO/IEC 13818-1, 2.4.3.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from channeld.base.errors import StreamError

PACKET_BYTES = 188
SYNC_BYTE = 0x47

PAT_PID = 0x0000
VIDEO_PID = 0x0100
AUDIO_PID = 0x0101
PMT_PID = 0x1000

Packets = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def as_packets(payload: bytes | bytearray | memoryview) -> Packets:
    """View whole packets as rows, without a copy. Raises StreamError for a part of a packet, and where a sync byte is missing."""
    if len(payload) % PACKET_BYTES:
        raise StreamError("the last packet is incomplete", position=len(payload) // PACKET_BYTES * PACKET_BYTES)
    rows = np.frombuffer(payload, dtype=np.uint8).reshape(-1, PACKET_BYTES)
    wrong = np.flatnonzero(rows[:, 0] != SYNC_BYTE)
    if wrong.size:
        raise StreamError("sync byte missing", position=int(wrong[0]) * PACKET_BYTES)
    return rows


def pids(packets: Packets) -> npt.NDArray[np.uint16]:
    """PID of each packet."""
    wide = packets[:, 1:3].astype(np.uint16)
    return (((wide[:, 0] & 0x1F) << 8) | wide[:, 1]).astype(np.uint16)


def starts_unit(packets: Packets) -> npt.NDArray[np.bool_]:
    """payload_unit_start_indicator of each packet."""
    result: npt.NDArray[np.bool_] = (packets[:, 1] & 0x40) != 0
    return result


def payload_offsets(packets: Packets) -> Ints:
    """Where each packet's payload begins: 4, or behind the adaptation field."""
    field = np.where(packets[:, 3] & 0x20, packets[:, 4].astype(np.int64) + 1, 0)
    return 4 + field


def is_random_access(packets: Packets) -> npt.NDArray[np.bool_]:
    """random_access_indicator of each packet."""
    result: npt.NDArray[np.bool_] = ((packets[:, 3] & 0x20) != 0) & (packets[:, 4] > 0) & ((packets[:, 5] & 0x40) != 0)
    return result


def carries_pcr(packets: Packets) -> npt.NDArray[np.bool_]:
    """Whether each packet has a PCR field (always at byte 6)."""
    result: npt.NDArray[np.bool_] = ((packets[:, 3] & 0x20) != 0) & (packets[:, 4] >= 7) & ((packets[:, 5] & 0x10) != 0)
    return result


def pcr_packet(pid: int) -> npt.NDArray[np.uint8]:
    """A packet with an adaptation field only, whose PCR is still to be written; its counter does not advance."""
    packet: npt.NDArray[np.uint8] = np.full(PACKET_BYTES, 0xFF, dtype=np.uint8)
    packet[:12] = (SYNC_BYTE, pid >> 8, pid & 0xFF, 0x20, PACKET_BYTES - 5, 0x10, 0, 0, 0, 0, 0x7E, 0)
    return packet


def spread(starts: Any, counts: Any) -> Ints:
    """Row numbers of many runs: run i is `counts[i]` rows from `starts[i]` on, one run after the other."""
    counts = np.asarray(counts, dtype=np.int64)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    rows: Ints = np.arange(total, dtype=np.int64) + np.repeat(np.asarray(starts, dtype=np.int64) - (ends - counts), counts)
    return rows
