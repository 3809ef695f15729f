"""Access units taken out of a run of transport packets: what a container other than MPEG-TS is filled with.

Rule: one PES packet is one access unit, as the splicer sends them; what is not so is refused, and no length is trusted. Pure.
Source: ISO/IEC 13818-1, 2.4.3.
"""

from dataclasses import dataclass

import numpy as np

from channeld.base.errors import StreamError
from channeld.ts import packet as tsp
from channeld.ts.packet import PACKET_BYTES, Ints, Packets
from channeld.ts.timeline import WRAP_TICKS, read_timestamps

_HEAD_BYTES = 4
_PES_HEADER_BYTES = 9
_TIMESTAMPS_BYTES = 10


@dataclass(frozen=True, slots=True)
class AccessUnits:
    """The units of one PID in order of decoding: presentation and decoding times in ticks of 90 kHz, unbounded, and their bytes."""

    pts: Ints
    dts: Ints
    units: tuple[bytes, ...]


def access_units(packets: Packets, pid: int, *, near: int) -> AccessUnits:
    """All units of a PID. `near`: a tick that is less than 13 hours from them, to tell which wrap of 33 bits is meant.

    Raises StreamError where the packets do not begin with a unit, or one has no PTS.
    """
    rows = packets[tsp.pids(packets) == pid]
    rows = rows[(rows[:, 3] & 0x10) != 0]
    starts = np.flatnonzero(tsp.starts_unit(rows))
    if not starts.size or starts[0] != 0:
        raise StreamError("does not begin with an access unit", pid=pid)
    offsets = tsp.payload_offsets(rows)
    heads = offsets[starts]
    if offsets.max() > PACKET_BYTES or heads.max() > PACKET_BYTES - _PES_HEADER_BYTES - _TIMESTAMPS_BYTES:
        raise StreamError("a PES header crosses packets", pid=pid)
    head = rows[starts[:, None], heads[:, None] + np.arange(_PES_HEADER_BYTES)].astype(np.int64)
    if not (np.all(head[:, :3] == (0, 0, 1)) and np.all(head[:, 7] & 0x80)):
        raise StreamError("a PES packet without start code or PTS", pid=pid)
    pts = _unwrapped(read_timestamps(rows, starts, heads + 9), near)
    dts, has_dts = pts.copy(), (head[:, 7] & 0x40) != 0
    dts[has_dts] = _unwrapped(read_timestamps(rows, starts[has_dts], heads[has_dts] + 14), near)
    stream = _payload(rows, offsets)
    ends = np.cumsum(PACKET_BYTES - offsets)
    begins = (ends - (PACKET_BYTES - offsets))[starts]
    first = (begins + _PES_HEADER_BYTES + head[:, 8]).tolist()
    last = [*begins[1:].tolist(), len(stream)]
    return AccessUnits(pts, dts, tuple(stream[begin:end] for begin, end in zip(first, last, strict=True)))


def _unwrapped(values: Ints, near: int) -> Ints:
    half = WRAP_TICKS // 2
    result: Ints = near + (values - near + half) % WRAP_TICKS - half
    return result


def _payload(rows: Packets, offsets: Ints) -> bytes:
    """The payloads joined: most packets have no adaptation field, so that long runs are taken at once."""
    body = memoryview(rows[:, _HEAD_BYTES:].tobytes())
    width = PACKET_BYTES - _HEAD_BYTES
    pieces, taken = [], 0
    for row in np.flatnonzero(offsets != _HEAD_BYTES).tolist():
        pieces.append(body[taken : row * width])
        taken = row * width + int(offsets[row]) - _HEAD_BYTES
    return b"".join([*pieces, body[taken:]])
