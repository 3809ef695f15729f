"""Whether the clock of a transport or program stream begins anew somewhere in a file: seen in samples of it, of which nothing is decoded.

Rule: it may say that a clock jumps where it does not, which costs whoever asks a reading of the whole file. A jump that is short for the
distance between two samples is not seen; a file of SAMPLES times SAMPLE_BYTES is looked
at whole, but for what has more clocks than any stream needs. Blocking.
"""

from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from channeld.base.units import TICKS_PER_SECOND
from channeld.ts.packet import SYNC_BYTE, carries_pcr, pids
from channeld.ts.timeline import WRAP_TICKS

SAMPLES = 64
SAMPLE_BYTES = 1 << 18
STRIDES = (188, 192, 204)
"""Bytes from one transport packet to the next: plain, with a time stamp before each (M2TS), with a checksum behind each."""
IN_A_ROW = 5
"""So many sync bytes in a row are no accident."""
BACK_TICKS = TICKS_PER_SECOND // 10
AHEAD_TICKS = 10 * TICKS_PER_SECOND
"""From how much on FFmpeg takes a step back, and one ahead, for a jump (`dts_delta_threshold`)."""
FASTER = 4
"""So many times the usual speed is no change of the bit rate."""
PACK_BYTES = 12
"""The shortest pack header (MPEG-1's)."""
MAX_TICKS = 500
"""Of one sample; clocks stand each 0.1 s or, in a program stream, 2048 bytes."""
_PACK = b"\x00\x00\x01\xba"


class Tick(NamedTuple):
    """What a clock (a PID, or 0 of a program stream) showed at a place in the file."""

    clock: int
    at: int
    ticks: int


def shortest_jump_s(path: Path) -> float | None:
    """About how far the shortest step goes that a clock in the file makes back, or ahead by more than the bytes between would take.

    None: there is no such step. Raises OSError.
    """
    found = [jump_s for ticks in _by_clock(_samples(path)).values() for jump_s in _jumps_s(ticks)]
    return min(found, default=None)


def _samples(path: Path) -> list[Tick]:
    found: list[Tick] = []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        count = min(SAMPLES, -(-size // SAMPLE_BYTES))
        for number in range(count):
            at = max(0, size - SAMPLE_BYTES) * number // max(1, count - 1)
            file.seek(at)
            found += ticks_of(file.read(SAMPLE_BYTES), at)
    return found


def ticks_of(piece: bytes, at: int) -> list[Tick]:
    """All clock references in a piece of a file that begins at byte `at` of it, in their order; none where it is neither kind of stream."""
    framing = _framing(np.frombuffer(piece, dtype=np.uint8))
    return _of_packs(piece, at) if framing is None else _of_packets(piece, at, *framing)


def _framing(values: npt.NDArray[np.uint8]) -> tuple[int, int] | None:
    """Where the first packet begins, and from one to the next."""
    for stride in STRIDES:
        starts = len(values) - stride * (IN_A_ROW - 1)
        if starts <= 0:
            continue
        is_sync = values == SYNC_BYTE
        hits = np.logical_and.reduce([is_sync[n * stride : n * stride + starts] for n in range(IN_A_ROW)])
        if hits.any():
            return int(hits.argmax()), stride
    return None


def _of_packets(piece: bytes, at: int, first: int, stride: int) -> list[Tick]:
    count = (len(piece) - first) // stride
    rows = np.frombuffer(piece, np.uint8, count * stride, first).reshape(count, stride)
    found = np.flatnonzero((rows[:, 0] == SYNC_BYTE) & carries_pcr(rows))[:MAX_TICKS]
    clocks = pids(rows[found])
    wide = rows[found].astype(np.int64)
    ticks = wide[:, 6] << 25 | wide[:, 7] << 17 | wide[:, 8] << 9 | wide[:, 9] << 1 | wide[:, 10] >> 7
    places = at + first + found * stride
    return [Tick(int(clock), int(place), int(tick)) for clock, place, tick in zip(clocks, places, ticks, strict=True)]


def _of_packs(piece: bytes, at: int) -> list[Tick]:
    """SCRs of pack headers, as MPEG-2 (2.5.3.3) and MPEG-1 have them."""
    found = []
    place = piece.find(_PACK)
    while place >= 0:
        field = piece[place + 4 : place + 10]
        if len(field) == 6:  # both kinds need so many
            value = int.from_bytes(field, "big")
            if field[0] >> 6 == 0b01:
                found.append(Tick(0, at + place, (value >> 43 & 7) << 30 | (value >> 27 & 0x7FFF) << 15 | (value >> 11 & 0x7FFF)))
            elif field[0] >> 4 == 0b0010:
                value >>= 8  # one byte shorter
                found.append(Tick(0, at + place, (value >> 33 & 7) << 30 | (value >> 17 & 0x7FFF) << 15 | (value >> 1 & 0x7FFF)))
        place = piece.find(_PACK, place + PACK_BYTES) if len(found) < MAX_TICKS else -1
    return found


def _by_clock(found: list[Tick]) -> dict[int, list[Tick]]:
    clocks: dict[int, dict[int, Tick]] = {}
    for tick in found:
        clocks.setdefault(tick.clock, {})[tick.at] = tick  # samples of a short file overlap
    return {clock: [ticks[at] for at in sorted(ticks)] for clock, ticks in clocks.items()}


def _jumps_s(found: list[Tick]) -> list[float]:
    steps = [
        (later.at - earlier.at, (later.ticks - earlier.ticks + WRAP_TICKS // 2) % WRAP_TICKS - WRAP_TICKS // 2)
        for earlier, later in pairwise(found)
    ]
    if not steps:
        return []
    usual = median(ticks / distance for distance, ticks in steps)
    return [
        abs(ticks - usual * distance) / TICKS_PER_SECOND
        for distance, ticks in steps
        if ticks < -BACK_TICKS or ticks > max(AHEAD_TICKS, FASTER * usual * distance)
    ]
