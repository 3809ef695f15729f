"""A track of silence beside pictures that have no sound: of one encoded unit, again and again.

Rule: as long as the pictures, and ended by their end; made here, as FFmpeg's own silence goes on when the pictures are over, and would be
encoded all the time. Sans-I/O; not thread-safe; used by one attempt at a source.
"""

import numpy as np

from channeld.base.errors import StreamError
from channeld.base.units import AAC_FRAME_TICKS, TICKS_PER_SECOND, Ticks90k
from channeld.ts import packet as tsp
from channeld.ts.conform import find_units
from channeld.ts.packet import VIDEO_PID, Packets
from channeld.ts.timeline import read_timestamps, unwrap, write_timestamps

AHEAD_TICKS = Ticks90k(27_000)
"""So much sound comes before the picture with which it is heard: what waits for sound need not."""
MAX_UNITS = 1000
"""Before one picture: 21 s. Ours come at a constant rate."""
_PTS_ALONE = 2


class SilentTrack:
    """Adds the track to whole packets of the pictures. `silent_unit`: the packets of one silent audio unit."""

    def __init__(self, silent_unit: bytes) -> None:
        self._unit = tsp.as_packets(silent_unit)
        self._pts_at = int(find_units(self._unit)[1].pts_at[0])
        self._newest: Ticks90k | None = None
        self._next = Ticks90k(0)

    def beside(self, packets: Packets) -> Packets:
        """The same packets, with silence before each picture that begins in them."""
        rows = np.flatnonzero(tsp.starts_unit(packets))
        at = tsp.payload_offsets(packets[rows]) + 9
        fits = at <= tsp.PACKET_BYTES - 5  # what is no PES header is refused later, with its reason
        rows, at = rows[fits], at[fits]
        parts, begin = [], 0
        for row, pts in zip(rows.tolist(), read_timestamps(packets, rows, at).tolist(), strict=True):
            parts += [packets[begin:row], self._until(pts)]
            begin = row
        return np.concatenate([*parts, packets[begin:]])

    def _until(self, pts: int) -> Packets:
        """The units that are to come before a picture with this timestamp of 33 bits."""
        if self._newest is None:
            self._newest, self._next = Ticks90k(pts), Ticks90k(pts - AAC_FRAME_TICKS)
        self._newest = max(self._newest, unwrap(pts, near=self._newest))
        count = max(0, -(-(self._newest + AHEAD_TICKS - self._next) // AAC_FRAME_TICKS))
        if count > MAX_UNITS:
            raise StreamError(f"a picture is {count * AAC_FRAME_TICKS / TICKS_PER_SECOND:.0f} s behind those before it", pid=VIDEO_PID)
        units = np.tile(self._unit, (count, 1))
        first = np.arange(count) * len(self._unit)
        ticks = self._next + np.arange(count) * AAC_FRAME_TICKS
        write_timestamps(units, first, np.full(count, self._pts_at), ticks, prefix=_PTS_ALONE)
        self._next = Ticks90k(self._next + count * AAC_FRAME_TICKS)
        return units
