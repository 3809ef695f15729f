"""One picture taken out of transport packets: the bytes that a decoder needs for a random access point.

Rule: pure; keeps no state and trusts no length. Used by control's picture desk, off the loop.
"""

import numpy as np

from channeld.ts.packet import VIDEO_PID, as_packets, is_random_access, payload_offsets, pids, starts_unit

_PES_HEADER_BYTES = 9
_HEADER_LENGTH_AT = 8


def first_random_access_unit(packets: bytes) -> bytes | None:
    """The first random access picture of whole packets as an elementary stream; None where they hold none to its end.

    A picture ends where the next one begins, or with the packets. Raises StreamError for what are no packets. Source: ISO/IEC
    13818-1, 2.4.3.
    """
    rows = as_packets(packets)
    rows = rows[pids(rows) == VIDEO_PID]
    starts = np.flatnonzero(starts_unit(rows))
    begins = np.flatnonzero(starts_unit(rows) & is_random_access(rows))
    if not begins.size:
        return None
    begin = int(begins[0])
    later = starts[starts > begin]
    end = int(later[0]) if later.size else len(rows)
    unit = b"".join(row[offset:].tobytes() for row, offset in zip(rows[begin:end], payload_offsets(rows[begin:end]), strict=True))
    if len(unit) < _PES_HEADER_BYTES or unit[:3] != b"\0\0\1":
        return None
    return unit[_PES_HEADER_BYTES + unit[_HEADER_LENGTH_AT] :] or None
