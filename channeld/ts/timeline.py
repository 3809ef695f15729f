"""33-bit clocks: wrapping, unwrapping, and the bytes they are written as.

Rule: ticks are unbounded integers everywhere else; only here do they become 33 bits.
Source: ISO/IEC 13818-1, 2.4.3.5 (PCR) and 2.4.3.7 (PTS, DTS).
"""

import numpy as np

from channeld.base.units import Ticks90k
from channeld.ts.packet import Ints, Packets

WRAP_TICKS = 1 << 33
_FIVE = np.arange(5)
_SIX = np.arange(6)


def unwrap(value: int, *, near: Ticks90k) -> Ticks90k:
    """The unbounded tick nearest to `near` that is written as `value`."""
    half = WRAP_TICKS // 2
    return Ticks90k(near + (value - near + half) % WRAP_TICKS - half)


def read_timestamps(packets: Packets, rows: Ints, at: Ints) -> Ints:
    """PTS or DTS fields: 33-bit values of the five bytes at column `at` of each row."""
    field = packets[rows[:, None], at[:, None] + _FIVE].astype(np.int64)
    result: Ints = (
        ((field[:, 0] & 0x0E) << 29) | (field[:, 1] << 22) | ((field[:, 2] & 0xFE) << 14) | (field[:, 3] << 7) | (field[:, 4] >> 1)
    )
    return result


def write_timestamps(packets: Packets, rows: Ints, at: Ints, ticks: Ints, *, prefix: Ints | int) -> None:
    """Write PTS or DTS fields; `prefix` is the four leading bits of each (2 alone, 3 and 1 for a PTS with its DTS)."""
    value = ticks % WRAP_TICKS
    field = np.empty((len(rows), 5), dtype=np.uint8)
    field[:, 0] = (prefix << 4) | ((value >> 29) & 0x0E) | 1
    field[:, 1] = (value >> 22) & 0xFF
    field[:, 2] = ((value >> 14) & 0xFE) | 1
    field[:, 3] = (value >> 7) & 0xFF
    field[:, 4] = ((value << 1) & 0xFE) | 1
    packets[rows[:, None], at[:, None] + _FIVE] = field


def write_pcrs(packets: Packets, rows: Ints, ticks: Ints) -> None:
    """Write the PCR field (byte 6) of each row; the 27 MHz extension is 0, as all our clocks are whole ticks."""
    value = ticks % WRAP_TICKS
    field = np.empty((len(rows), 6), dtype=np.uint8)
    field[:, 0] = (value >> 25) & 0xFF
    field[:, 1] = (value >> 17) & 0xFF
    field[:, 2] = (value >> 9) & 0xFF
    field[:, 3] = (value >> 1) & 0xFF
    field[:, 4] = ((value & 1) << 7) | 0x7E
    field[:, 5] = 0
    packets[rows[:, None], 6 + _SIX] = field
