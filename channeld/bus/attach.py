"""Wake-ups: how far each ring has been written, sent to a reader over its own SEQPACKET socket.

Rule: the sender never blocks (MSG_DONTWAIT) and a lost datagram costs nothing, for each carries absolute heads.
Sans-I/O. Packed by a thread of the playout host beside the heap's, unpacked by every reader process.
"""

import struct
from collections.abc import Iterable

MAX_HEADS = 4096
_HEAD = struct.Struct("<QQ")
MAX_DATAGRAM_BYTES = MAX_HEADS * _HEAD.size


def pack_heads(heads: Iterable[tuple[int, int]]) -> bytes:
    """One datagram of (ring id, head sequence) pairs. Raises ValueError beyond 4096 pairs."""
    packed = b"".join(_HEAD.pack(ring_id, head_seq) for ring_id, head_seq in heads)
    if len(packed) > MAX_DATAGRAM_BYTES:
        raise ValueError(f"{len(packed) // _HEAD.size} heads do not fit a datagram of {MAX_HEADS}")
    return packed


def unpack_heads(datagram: bytes) -> list[tuple[int, int]]:
    """The pairs of one datagram. Raises ValueError when it is torn or too long."""
    if len(datagram) % _HEAD.size or len(datagram) > MAX_DATAGRAM_BYTES:
        raise ValueError(f"heads datagram of {len(datagram)} bytes")
    return list(_HEAD.iter_unpack(datagram))
