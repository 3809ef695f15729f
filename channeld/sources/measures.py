"""Figures of a connection as an engineer of cameras wants them: what was lost, how unevenly pictures come, at what rate.

Rule: only what is seen is counted. Losses are those that FFmpeg tells of; arrival is that at us, behind FFmpeg, which puts packets in order
first, and encodes where it transcodes. Sans-I/O; written by the attempt's thread, read by whoever reports.
"""

import re
from collections import deque
from enum import StrEnum

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import TICKS_PER_SECOND
from channeld.ts.timeline import WRAP_TICKS

GAIN = 16
"""RFC 3550, 6.4.1: each arrival counts for a sixteenth."""
JUMP_S = 5.0
"""Beyond this a timestamp is that of another timeline, not of a late picture."""
RATE_REPORTS = 6
_SEQUENCE_NUMBERS = 65_536


class Loss(StrEnum):
    """What can be lost on the way; also labels of a metric."""

    RTP_LOST = "rtp_lost"
    """RTP packets that never came, or too late to be waited for."""
    RTP_LATE = "rtp_late"
    """Those of them that came after all."""
    PACKET_DAMAGED = "packet_damaged"
    """Pictures or pieces of sound with a hole in them, by a transport stream's continuity counters."""
    PICTURE_DAMAGED = "picture_damaged"
    """Pictures of which the decoder had to invent a part; of a transcoded source only."""


# As FFmpeg 5.1 to 8 write them. Of a damaged packet the demuxer and the program both tell: the demuxer's line counts.
_TABLE = (
    (re.compile(r"RTP: missed (-?\d{1,9}) packets"), Loss.RTP_LOST),
    (re.compile(r"RTP: dropping old packet received too late"), Loss.RTP_LATE),
    (re.compile(r"Packet corrupt \(stream = "), Loss.PACKET_DAMAGED),
    (re.compile(r"corrupt decoded frame"), Loss.PICTURE_DAMAGED),
)


class Losses:
    """Counts them, from FFmpeg's lines."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Loss, 0)

    def feed(self, line: str) -> None:
        """Take one line of its stderr."""
        for pattern, loss in _TABLE:
            match = pattern.search(line)
            if match is not None:
                # Where sequence numbers wrapped within the hole, FFmpeg 5.1 tells a negative number.
                self.counts[loss] += int(match[1]) % _SEQUENCE_NUMBERS if pattern.groups else 1
                return


class Arrival:
    """How unevenly pictures come: the estimator of RFC 3550, 6.4.1, with pictures for packets."""

    def __init__(self) -> None:
        self._jitter_ns = 0.0
        self._before: tuple[int, int] | None = None
        self._count = 0

    @property
    def jitter_ms(self) -> float | None:
        """Mean deviation of the times between pictures from what their timestamps say; None before the third."""
        return round(self._jitter_ns / 1e6, 2) if self._count > 1 else None

    def feed(self, ticks: int, now_ns: int) -> None:
        """A picture with this timestamp (33 bits, as it is to be decoded or shown: one or the other for all) came."""
        before, self._before = self._before, (ticks, now_ns)
        if before is None:
            return
        half = WRAP_TICKS // 2
        step_ticks = (ticks - before[0] + half) % WRAP_TICKS - half
        deviation_ns = abs(now_ns - before[1] - step_ticks * NS_PER_SECOND // TICKS_PER_SECOND)
        if deviation_ns < JUMP_S * NS_PER_SECOND:
            self._jitter_ns += (deviation_ns - self._jitter_ns) / GAIN
            self._count += 1

    def restart(self) -> None:
        """What comes next is of another connection."""
        self._before = None


class Rate:
    """Bits per second over the newest reports."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=RATE_REPORTS)

    def bits_per_s(self, now_s: float, total_bytes: int) -> int | None:
        """Told the bytes so far; None the first time."""
        self._seen.append((now_s, total_bytes))
        first_s, first_bytes = self._seen[0]
        return round(8 * (total_bytes - first_bytes) / (now_s - first_s)) if now_s > first_s else None
