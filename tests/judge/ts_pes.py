"""The PES layer: where each access unit begins, its PTS and DTS, its bytes.

Rule: ISO/IEC 13818-1, 2.4.3.6; timestamps leave here unwrapped (64 bits), so that nobody after has to think of 2**33.
"""

from dataclasses import dataclass

import numpy as np

from .steps import Ints, listing, unwrap
from .ts_packets import PACKET_BYTES, Bytes, Flags, Packets, payload_of

_HEADER_BYTES = 19


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One PES packet's content. Timestamps in unwrapped ticks of 90 kHz; position and size in bytes."""

    pts: int
    dts: int
    position: int
    size: int
    is_random_access: bool


@dataclass(frozen=True, slots=True)
class Units:
    """Columns over the access units of one PID, in stream order."""

    pts: Ints
    dts: Ints
    first_packet: Ints
    last_packet: Ints
    is_random_access: Flags
    begins: Ints
    """Where each unit's elementary stream bytes begin in `content`."""
    ends: Ints
    content: Bytes
    """The PID's payload, PES headers included."""
    faults: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.dts)

    def listed(self) -> list[AccessUnit]:
        """The units one by one."""
        columns = (self.pts, self.dts, self.first_packet * PACKET_BYTES, self.ends - self.begins, self.is_random_access)
        return [AccessUnit(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def read_units(packets: Packets, numbers: Ints, *, near: int | None, open_start: bool, open_end: bool) -> Units:
    """All access units of a PID. `open_start`/`open_end`: the stream was cut there, a part of a unit is no fault."""
    content, packet_begins = payload_of(packets, numbers)
    where = np.flatnonzero(packets.starts_unit[numbers] & packets.has_payload[numbers])
    faults: list[str] = []
    if len(where) and packet_begins[where[0]] and not open_start:
        faults.append("payload comes before the first PES header")
    begins = packet_begins[where]
    ends = np.append(begins[1:], len(content))
    lasts = np.append(where[1:] - 1, len(numbers) - 1)
    if open_end:
        begins, ends, where, lasts = begins[:-1], ends[:-1], where[:-1], lasts[:-1]
    header = _headers(content, begins)
    good = _check_headers(header, ends - begins, faults)
    header, begins, ends, where, lasts = header[good], begins[good], ends[good], where[good], lasts[good]
    pts, dts = _timestamps(header, near, faults)
    return Units(
        pts=pts,
        dts=dts,
        first_packet=numbers[where],
        last_packet=numbers[lasts],
        is_random_access=(packets.adaptation_flags[numbers[where]] & 0x40) > 0,
        begins=begins + 9 + header[:, 8],
        ends=ends,
        content=content,
        faults=tuple(faults),
    )


def _headers(content: Bytes, begins: Ints) -> Ints:
    padded = np.concatenate((content, np.zeros(_HEADER_BYTES, dtype=np.uint8))) if len(content) else np.zeros(_HEADER_BYTES, np.uint8)
    headers: Ints = padded[begins[:, None] + np.arange(_HEADER_BYTES)].astype(np.int64)
    return headers


def _check_headers(header: Ints, sizes: Ints, faults: list[str]) -> Flags:
    """Which PES headers can be used; the others become faults."""
    prefix = (header[:, 0] == 0) & (header[:, 1] == 0) & (header[:, 2] == 1) & (header[:, 6] & 0xC0 == 0x80)
    stamped = (header[:, 7] & 0x80) > 0
    announced = (header[:, 4] << 8) | header[:, 5]
    # 2.4.3.7: a length of 0, open until the next start, is for video only.
    bounded = (announced == sizes - 6) | ((announced == 0) & (header[:, 3] & 0xF0 == 0xE0))
    both = (header[:, 7] & 0x40) > 0
    marked = (header[:, 9] & header[:, 11] & header[:, 13] & 1 == 1) & (~both | (header[:, 14] & header[:, 16] & header[:, 18] & 1 == 1))
    named = {"no PES header": ~prefix, "no PTS": ~stamped, "a PES length other than its bytes": ~bounded, "a missing marker bit": ~marked}
    for name, where in named.items():
        if where.any():
            faults.append(f"{name} in unit {listing(np.flatnonzero(where).tolist())}")
    usable: Flags = prefix & stamped
    return usable


def _timestamps(header: Ints, near: int | None, faults: list[str]) -> tuple[Ints, Ints]:
    raw_pts = _timestamp(header[:, 9:14])
    raw_dts = np.where(header[:, 7] & 0x40, _timestamp(header[:, 14:19]), raw_pts)
    dts = unwrap(raw_dts, 33, near=near)
    half = 1 << 32
    ahead = (raw_pts - raw_dts + half) % (2 * half) - half
    early = np.flatnonzero(ahead < 0)
    if len(early):
        faults.append(f"PTS is before DTS in unit {listing(early.tolist())}")
    return dts + ahead, dts


def _timestamp(five: Ints) -> Ints:
    stamp: Ints = ((five[:, 0] >> 1 & 7) << 30) | (five[:, 1] << 22) | (five[:, 2] >> 1 << 15) | (five[:, 3] << 7) | (five[:, 4] >> 1)
    return stamp
