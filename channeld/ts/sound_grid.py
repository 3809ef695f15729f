"""Sound of a live encoder, put on a grid of whole units: one behind the other, whatever the source's own sound does.

Rule: a source may change its sample rate or channels, and then FFmpeg begins its filters anew, loses some samples and knows no count any
more; so each unit's own time is looked at here. A hole gets silent units, what stands in another's place is left out, and a unit that is
nearly in its place is put there. Sans-I/O; not thread-safe; used by one attempt at a source.
"""

import numpy as np

from channeld.base.errors import StreamError
from channeld.base.units import AAC_FRAME_TICKS, TICKS_PER_SECOND, Ticks90k
from channeld.ts import packet as tsp
from channeld.ts.conform import find_units
from channeld.ts.packet import AUDIO_PID, Packets
from channeld.ts.timeline import read_timestamps, unwrap, write_timestamps

NEAR_TICKS = AAC_FRAME_TICKS * 3 // 4
"""A unit so near to its place is in it; more than half, so that one that lies between two places does not change them all the time."""
MAX_UNITS = 1000
"""Of one hole: 21 s. A source that is silent for so long is taken anew."""
_PTS_ALONE = 2


class SoundGrid:
    """Takes whole packets of pictures and sound, gives them with the sound in its places. `silent_unit`: packets of one silent unit."""

    def __init__(self, silent_unit: bytes) -> None:
        self._unit = tsp.as_packets(silent_unit)
        self._begin: int | None = None
        self._next: Ticks90k | None = None
        self._is_left_out = False
        """What comes of the newest unit of sound is not wanted."""

    def place(self, packets: Packets) -> Packets:
        """The same packets, but for units of sound that are left out, and with silent ones where some are missing."""
        is_sound = tsp.pids(packets) == AUDIO_PID
        rows = np.flatnonzero(tsp.starts_unit(packets))
        at = tsp.payload_offsets(packets[rows]) + 9
        fits = at <= tsp.PACKET_BYTES - 5  # what is no PES header is refused later, with its reason
        rows, at = rows[fits], at[fits]
        if not rows.size and not self._is_left_out:
            return packets
        packets = packets.copy()
        parts, begin = [], 0
        keeps = np.ones(len(packets), dtype=bool)
        keeps[is_sound] = not self._is_left_out
        for row, column, pts in zip(rows.tolist(), at.tolist(), read_timestamps(packets, rows, at).tolist(), strict=True):
            if not is_sound[row]:
                self._begin = pts if self._begin is None else self._begin
                continue
            missing = self._missing(pts)
            self._is_left_out = missing < 0
            keeps[row:][is_sound[row:]] = not self._is_left_out
            if self._is_left_out:
                continue
            parts += [packets[begin:row][keeps[begin:row]], self._silence(missing)]
            begin = row
            write_timestamps(packets, np.array([row]), np.array([column]), np.array([self._take()]), prefix=_PTS_ALONE)
        return np.concatenate([*parts, packets[begin:][keeps[begin:]]])

    def _missing(self, pts: int) -> int:
        """How many units are missing before one with this timestamp of 33 bits; fewer than none: its place is taken."""
        if self._next is None:
            before = 0 if self._begin is None else max(0, unwrap(pts, near=Ticks90k(self._begin)) - self._begin)
            missing = -(-before // AAC_FRAME_TICKS)
            self._next = Ticks90k(pts - missing * AAC_FRAME_TICKS)
        else:
            off = unwrap(pts, near=self._next) - self._next
            missing = 0 if abs(off) < NEAR_TICKS else round(off / AAC_FRAME_TICKS)
        if missing > MAX_UNITS:
            raise StreamError(f"{missing * AAC_FRAME_TICKS / TICKS_PER_SECOND:.0f} s of sound are missing", pid=AUDIO_PID)
        return missing

    def _take(self) -> int:
        """The next place, which is taken by that."""
        assert self._next is not None
        place, self._next = self._next, Ticks90k(self._next + AAC_FRAME_TICKS)
        return place

    def _silence(self, count: int) -> Packets:
        units = np.tile(self._unit, (count, 1))
        if count:
            pts_at = find_units(self._unit)[1].pts_at
            ticks = np.array([self._take() for _ in range(count)], dtype=np.int64)
            write_timestamps(units, np.arange(count) * len(self._unit), np.repeat(pts_at, count), ticks, prefix=_PTS_ALONE)
        return units
