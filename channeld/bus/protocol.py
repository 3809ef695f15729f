"""What a local reader and the daemon say to each other on a channel's attach socket; docs/bus-format.md has it byte by byte.

Rule: every message has a fixed head, little-endian, and everything read is bounded; what does not fit is refused, never guessed.
Sans-I/O, and of the standard library alone: readers that have nothing of the daemon's import it.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"CHNLATT1"
VERSION = 1
WANT_HEADS = 1
"""The one thing that can be wanted: the ring, and from then on a head for each publish."""
SOCKET_SUFFIX = ".sock"
FOLDER = "bus"

_REQUEST = struct.Struct("<8sII")  # magic, version, wants
MESSAGE = struct.Struct("<IIQQ")  # kind, reason, generation, head
REQUEST_BYTES = _REQUEST.size
MAX_TEXT_BYTES = 200
MAX_MESSAGE_BYTES = MESSAGE.size + MAX_TEXT_BYTES


class Kind(IntEnum):
    """What the daemon says. RING comes with the ring's descriptor, opened read-only."""

    RING = 1
    HEAD = 2
    ENDED = 3
    CLOSED = 4
    REFUSED = 5


class Refusal(IntEnum):
    """Why a reader gets nothing."""

    MALFORMED = 1
    VERSION = 2
    NOT_PERMITTED = 3
    TOO_MANY = 4
    NOT_ON_AIR = 5
    TOO_SLOW = 6


class Told(NamedTuple):
    """One message of the daemon's. `generation` and `head` mean nothing in CLOSED and REFUSED, `refusal` and `text` only in REFUSED."""

    kind: Kind
    generation: int = 0
    head: int = 0
    refusal: Refusal | None = None
    text: str = ""


def pack_request(version: int = VERSION, wants: int = WANT_HEADS) -> bytes:
    """What a reader says first, and all that it ever says."""
    return _REQUEST.pack(MAGIC, version, wants)


def judge_request(datagram: bytes) -> tuple[Refusal, str] | None:
    """Why a request is refused, and a word on it; None when it is as it should be."""
    if len(datagram) != _REQUEST.size:
        return Refusal.MALFORMED, f"a request has {_REQUEST.size} bytes"
    magic, version, wants = _REQUEST.unpack(datagram)
    if magic != MAGIC:
        return Refusal.MALFORMED, f"a request begins with {MAGIC.decode()}"
    if version != VERSION:
        return Refusal.VERSION, f"this daemon speaks version {VERSION}"
    if wants != WANT_HEADS:
        return Refusal.MALFORMED, f"wants must be {WANT_HEADS}: the ring and its heads"
    return None


def pack_told(kind: Kind, generation: int = 0, head: int = 0) -> bytes:
    """RING, HEAD, ENDED or CLOSED."""
    return MESSAGE.pack(kind, 0, generation, head)


def pack_refusal(refusal: Refusal, text: str) -> bytes:
    """REFUSED; the text is cut to what fits."""
    return MESSAGE.pack(Kind.REFUSED, refusal, 0, 0) + text.encode()[:MAX_TEXT_BYTES]


def unpack_told(datagram: bytes) -> Told:
    """One message of the daemon's. Raises ValueError when it is none."""
    if not MESSAGE.size <= len(datagram) <= MAX_MESSAGE_BYTES:
        raise ValueError(f"message of {len(datagram)} bytes on the attach socket")
    kind, reason, generation, head = MESSAGE.unpack_from(datagram)
    refusal = Refusal(reason) if kind == Kind.REFUSED else None
    return Told(Kind(kind), generation, head, refusal, datagram[MESSAGE.size :].decode(errors="replace"))
