"""How a channel's bytes come here: one contract for shared memory, named pipe and HTTP.

Rule: whole transport packets, and a place to begin that has PAT, PMT and a random access point. A way ends once, with the reason;
who wants to go on opens another. Used by one thread.
"""

from enum import Enum, StrEnum, auto
from typing import Protocol

from channeld.base.errors import ChannelError

PACKET_BYTES = 188


class Via(StrEnum):
    """How the bytes come."""

    SHM = "shm"
    PIPE = "pipe"
    HTTP = "http"


class Why(Enum):
    """What keeps a way from working; the later one says more of what to do."""

    ABSENT = auto()
    """Nobody is there."""
    FAILED = auto()
    OFF_AIR = auto()
    """Somebody is there, and the channel is not on air."""
    UNKNOWN = auto()
    """Somebody is there, and does not know the channel."""
    FORBIDDEN = auto()


class WayLost(ChannelError):
    """Nothing comes on this way, or nothing more."""

    def __init__(self, reason: str, why: Why = Why.FAILED) -> None:
        super().__init__(reason)
        self.why = why


class Way(Protocol):
    """An open way."""

    def receive(self, wait_s: float) -> bytes | None:
        """What came, or None when nothing did for so long. Raises WayLost, and Overrun when some was lost: ask again."""

    def facts(self) -> dict[str, object]:
        """How it stands, for those who look closely."""

    def close(self) -> None:
        """Let everything go; idempotent."""


class Packets:
    """Cuts what comes in pieces of any length into whole packets, so that the end of one way is no rubbish before the next."""

    def __init__(self) -> None:
        self._rest = b""

    def whole(self, piece: bytes) -> bytes | None:
        """All packets that are complete by now, or None."""
        held = self._rest + piece if self._rest else piece
        cut = len(held) // PACKET_BYTES * PACKET_BYTES
        self._rest = held[cut:]
        return held[:cut] or None
