"""Read a channel on the daemon's machine, through shared memory: `connect("live1")`.

Rule: it needs nothing but Python's standard library, and no daemon of the same version: what both agree on is the layout of the ring
and the attach protocol (docs/bus-format.md).
"""

from channeld.client.errors import AttachError, Closed, Cut, NotPermitted, OffAir, Overrun, Refused, TimedOut, UnknownChannel, Untrusted
from channeld.client.stream import Start, Status, Stream, connect

__all__ = [
    "AttachError",
    "Closed",
    "Cut",
    "NotPermitted",
    "OffAir",
    "Overrun",
    "Refused",
    "Start",
    "Status",
    "Stream",
    "TimedOut",
    "UnknownChannel",
    "Untrusted",
    "connect",
]
