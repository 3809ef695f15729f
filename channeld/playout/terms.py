"""What a feed's reader is granted: where it begins, how far it may lag, how long it may take nothing.

Rule: without terms a reader is a push's FFmpeg, which has the whole ring's length and is watched by others. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one reader. `serial`: which one of its FIFO's readers this is, told with whatever is told of it.

    `joins`: a new reader begins at the newest random access point, not with a burst. `lag_s`: how much stream it may be behind before it
    loses some (None: all that the ring holds). `stall_s`: how long it may take nothing of a full FIFO, then it is hung up on (None: never).
    """

    serial: int = 0
    joins: bool = False
    lag_s: float | None = None
    stall_s: float | None = None


PUSH = Terms()


def terms_of(values: Mapping[str, Any]) -> Terms:
    """Those of a `feed` message. Raises ValueError or TypeError for what is not."""
    lag_s, stall_s = values.get("lag_s"), values.get("stall_s")
    return Terms(
        serial=int(values.get("serial", 0)),
        joins=bool(values.get("joins", False)),
        lag_s=None if lag_s is None else float(lag_s),
        stall_s=None if stall_s is None else float(stall_s),
    )
