"""What a far reader and the proxy say to each other: a hello of fixed size each, then frames. docs/attach-proxy.md has it byte by byte.

Rule: little-endian; every length is judged before what it announces is waited for; what does not fit is refused, never guessed. Sans-I/O.
"""

import secrets
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

MAGIC = b"CHNLFAR1"
VERSION = 1
MAX_NAME_BYTES = 128
MAX_TEXT_BYTES = 200
MAX_PIECE_BYTES = 188 * 22_310
"""Of stream in one frame: whole packets, within 4 MiB. A slice is 0.2 s of stream as a rule; a longer one is sent in pieces."""
TAG_BYTES = 16
"""What a seal adds to a frame."""
EXPANSION_BYTES = 4 + 65_536
"""What the announced length, and compression of what cannot be compressed, may add."""

_HELLO = struct.Struct("<8sHHI32s")  # magic, version, options, refusal, nonce
_HEADER = struct.Struct("<IBBH")  # length of what follows, kind, 0, 0
_REQUEST = struct.Struct("<B7xQQQ")  # start, and of a place: generation, ring, position
_BEGIN = struct.Struct("<QQQ")  # generation, ring, position
_OVERRUN = struct.Struct("<QQ")  # lost bytes, position behind them
_STATE = struct.Struct("<B3xIQQQQ")  # is active, lag in ms, bytes used of the ring, its size, lag in bytes, local readers
_REFUSED = struct.Struct("<I")  # reason; a text follows
HELLO_BYTES = _HELLO.size
HEADER_BYTES = _HEADER.size
LAG_MAX_MS = 0xFFFFFFFF


class WireError(Exception):
    """What came is not of this protocol."""


class Option(IntFlag):
    """What a connection has besides; both hellos must name the same."""

    COMPRESSED = 1
    SEALED = 2


class Reason(IntEnum):
    """Why a reader gets nothing."""

    MALFORMED = 1
    VERSION = 2
    NOT_PERMITTED = 3
    TOO_MANY = 4
    OFF_AIR = 5
    TOO_SLOW = 6
    UNKNOWN_CHANNEL = 7
    SEAL_WANTED = 8
    NO_SEAL = 9
    NO_COMPRESSION = 10
    DAEMON_REFUSES = 11


SAID = {
    Reason.MALFORMED: "the proxy was not spoken to as it should be",
    Reason.VERSION: f"the proxy speaks another version than {VERSION}",
    Reason.NOT_PERMITTED: "the proxy does not know this key or certificate",
    Reason.TOO_MANY: "the proxy has as many readers as it may",
    Reason.OFF_AIR: "the channel is off the air",
    Reason.TOO_SLOW: "the proxy was not told in time what is wanted",
    Reason.UNKNOWN_CHANNEL: "the daemon has no such channel",
    Reason.SEAL_WANTED: "the proxy serves nobody without its key: give the key file",
    Reason.NO_SEAL: "the proxy has no key: leave the key file out, or give it one",
    Reason.NO_COMPRESSION: "the proxy does not compress: leave that out, or start it with --compress",
    Reason.DAEMON_REFUSES: "the daemon lets the proxy read nothing",
}


class Kind(IntEnum):
    """Of a frame. REQUEST is the one that a reader sends, once."""

    REQUEST = 1
    BEGIN = 16
    PIECE = 17
    OVERRUN = 18
    STATE = 19
    CLOSED = 20
    REFUSED = 21


FROM_READER = {Kind.REQUEST: (_REQUEST.size + 1, _REQUEST.size + MAX_NAME_BYTES)}
FROM_PROXY = {
    Kind.BEGIN: (_BEGIN.size, _BEGIN.size),
    Kind.PIECE: (1, MAX_PIECE_BYTES + EXPANSION_BYTES),
    Kind.OVERRUN: (_OVERRUN.size, _OVERRUN.size),
    Kind.STATE: (_STATE.size, _STATE.size),
    Kind.CLOSED: (0, MAX_TEXT_BYTES),
    Kind.REFUSED: (_REFUSED.size, _REFUSED.size + MAX_TEXT_BYTES),
}
"""Which kinds each side sends, and how many bytes one has, without the seal."""


class StartAt(IntEnum):
    """Where a reader wants to begin."""

    RANDOM_ACCESS = 1
    LIVE = 2
    PLACE = 3


@dataclass(frozen=True, slots=True)
class Hello:
    """What each side says first. `refusal` is the proxy's, and then the last that it says."""

    options: Option
    nonce: bytes
    version: int = VERSION
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """A byte of a channel's stream: in which of its rings, and how many were before it there."""

    generation: int
    ring: int
    position: int


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader wants. With a place it goes on there where the ring still has it."""

    channel: str
    start: StartAt = StartAt.RANDOM_ACCESS
    place: Where | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """The next piece begins there. Comes first, and with each new ring."""

    place: Where


@dataclass(frozen=True, slots=True)
class Piece:
    """Stream: whole packets."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Overran:
    """So many bytes were written over before they were sent, 0: not known how many; the next piece begins at `position`."""

    lost_bytes: int
    position: int


@dataclass(frozen=True, slots=True)
class State:
    """How the proxy's own reading stands; once a second, and so the sign of life."""

    is_active: bool
    lag_ms: int
    used_bytes: int
    capacity_bytes: int
    lag_bytes: int
    clients: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """The channel went off the air, or the proxy ends. The last that is said."""

    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is given. The last that is said."""

    reason: Reason
    text: str


Told = Begin | Piece | Overran | State | Closed | Refused


def new_nonce() -> bytes:
    return secrets.token_bytes(32)


def pack_hello(hello: Hello) -> bytes:
    return _HELLO.pack(MAGIC, hello.version, hello.options, hello.refusal or 0, hello.nonce)


def unpack_hello(data: bytes) -> Hello:
    """Exactly HELLO_BYTES. A version that is not ours is told, not judged; nothing else of its hello is. Raises WireError."""
    magic, version, options, refusal, nonce = _HELLO.unpack(data)
    if magic != MAGIC:
        raise WireError(f"a hello begins with {MAGIC.decode()}")
    if version != VERSION:
        return Hello(Option(0), nonce, version, Reason.VERSION)
    if options & ~int(Option.COMPRESSED | Option.SEALED):
        raise WireError(f"no such option: {options}")
    return Hello(Option(options), nonce, version, _reason(refusal) if refusal else None)


def pack_header(kind: Kind, length: int) -> bytes:
    return _HEADER.pack(length, kind, 0, 0)


def unpack_header(header: bytes, allowed: dict[Kind, tuple[int, int]], added: int) -> tuple[Kind, int]:
    """Kind and length of what follows, where that kind may be said and may be so long; `added`: the seal's. Raises WireError."""
    length, number, zero, nil = _HEADER.unpack(header)
    kind = next((kind for kind in allowed if kind == number), None)
    if kind is None or zero or nil:
        raise WireError(f"no frame of kind {number} is expected here")
    shortest, longest = allowed[kind]
    if not shortest + added <= length <= longest + added:
        raise WireError(f"a frame of kind {number} with {length} bytes")
    return kind, length


def pack_request(request: Request) -> bytes:
    """Raises WireError at a name that no channel can have."""
    name = request.channel.encode()
    if not 1 <= len(name) <= MAX_NAME_BYTES:
        raise WireError(f"a channel's name has 1 to {MAX_NAME_BYTES} bytes")
    place = request.place or Where(0, 0, 0)
    return _REQUEST.pack(request.start, place.generation, place.ring, place.position) + name


def unpack_request(payload: bytes) -> Request:
    """Raises WireError."""
    start, *place = _REQUEST.unpack_from(payload)
    try:
        name = payload[_REQUEST.size :].decode()
        wanted = StartAt(start)
    except ValueError as error:
        raise WireError(f"a request that cannot be read: {error}") from error
    if not name.isprintable():
        raise WireError("a channel's name is printable text")
    return Request(name, wanted, Where(*place) if wanted is StartAt.PLACE else None)


def pack_told(told: Begin | Overran | State | Closed | Refused) -> tuple[Kind, bytes]:
    """All but pieces, which may be compressed. Texts are cut to what fits."""
    match told:
        case Begin(place):
            return Kind.BEGIN, _BEGIN.pack(place.generation, place.ring, place.position)
        case Overran(lost_bytes, position):
            return Kind.OVERRUN, _OVERRUN.pack(lost_bytes, position)
        case State():
            lag_ms = min(told.lag_ms, LAG_MAX_MS)
            return Kind.STATE, _STATE.pack(told.is_active, lag_ms, told.used_bytes, told.capacity_bytes, told.lag_bytes, told.clients)
        case Closed(text):
            return Kind.CLOSED, text.encode()[:MAX_TEXT_BYTES]
        case Refused(reason, text):
            return Kind.REFUSED, _REFUSED.pack(reason) + text.encode()[:MAX_TEXT_BYTES]


def unpack_told(kind: Kind, payload: bytes) -> Begin | Overran | State | Closed | Refused:
    """A frame of the proxy's that is no piece, of a length that `unpack_header` took. Raises WireError."""
    if kind is Kind.BEGIN:
        return Begin(Where(*_BEGIN.unpack(payload)))
    if kind is Kind.OVERRUN:
        return Overran(*_OVERRUN.unpack(payload))
    if kind is Kind.STATE:
        is_active, *rest = _STATE.unpack(payload)
        return State(bool(is_active), *rest)
    if kind is Kind.CLOSED:
        return Closed(_text(payload))
    (number,) = _REFUSED.unpack_from(payload)
    return Refused(_reason(number), _text(payload[_REFUSED.size :]))


def _reason(number: int) -> Reason:
    try:
        return Reason(number)
    except ValueError as error:
        raise WireError(f"no such reason: {number}") from error


def _text(payload: bytes) -> str:
    """Of somebody else: only what a terminal shows."""
    return "".join(character if character.isprintable() else "?" for character in payload.decode(errors="replace"))
