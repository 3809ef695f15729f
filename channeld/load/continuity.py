"""Counts what is wrong in a transport stream that comes in pieces: lost sync, and continuity counters that do not go on.

Rule: shares no code with what writes streams here. Per client it keeps a counter for each PID and less than a packet. Sans-I/O.
"""

import numpy as np
import numpy.typing as npt

PACKET_BYTES = 188
SYNC_BYTE = 0x47
NULL_PID = 0x1FFF
_HAS_PAYLOAD, _HAS_ADAPTATION = 0x10, 0x20
_DISCONTINUITY = 0x80

Rows = npt.NDArray[np.uint8]


class Continuity:
    """One client's stream."""

    def __init__(self) -> None:
        self.errors = 0
        self.unsynced = 0
        self.packets = 0
        self._rest = b""
        self._last: dict[int, int] = {}

    def push(self, piece: bytes | memoryview) -> None:
        """The next bytes, wherever they were cut."""
        data = self._rest + bytes(piece) if self._rest else piece
        whole = len(data) // PACKET_BYTES * PACKET_BYTES
        self._rest = bytes(data[whole:])
        if whole:
            self._judge(np.frombuffer(data, dtype=np.uint8, count=whole).reshape(-1, PACKET_BYTES))

    def _judge(self, rows: Rows) -> None:
        self.packets += len(rows)
        self.unsynced += int(np.count_nonzero(rows[:, 0] != SYNC_BYTE))
        head = rows[:, 1:4].astype(np.int32)
        pids = (head[:, 0] & 0x1F) << 8 | head[:, 1]
        # Without payload the counter stands still (ISO/IEC 13818-1, 2.4.3.3); null packets have none that means anything.
        counted = (head[:, 2] & _HAS_PAYLOAD != 0) & (pids != NULL_PID)
        told = (head[:, 2] & _HAS_ADAPTATION != 0) & (rows[:, 4] != 0) & (rows[:, 5] & _DISCONTINUITY != 0)
        order = np.argsort(pids[counted], kind="stable")
        pids, counters, told = pids[counted][order], (head[counted, 2] & 0x0F)[order], told[counted][order]
        if not len(pids):
            return
        same = pids[1:] == pids[:-1]
        # A packet may come twice: the same counter again is no error.
        self.errors += int(np.count_nonzero(same & ((counters[1:] - counters[:-1]) & 0x0F > 1) & ~told[1:]))
        firsts = np.flatnonzero(np.concatenate(([True], ~same))).tolist()
        lasts = [*(first - 1 for first in firsts[1:]), len(pids) - 1]
        for first, last in zip(firsts, lasts, strict=True):
            pid, before = int(pids[first]), self._last.get(int(pids[first]))
            if before is not None and (int(counters[first]) - before) & 0x0F > 1 and not told[first]:
                self.errors += 1
            self._last[pid] = int(counters[last])
