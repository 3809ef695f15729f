"""Each side's part of the conversation of a far reader with the proxy: bytes in, what was said out.

Rule: nothing is delivered that was not checked, and nothing at all after the first thing that was wrong. Sans-I/O; one object for each
connection. What is to be sent is taken by `to_send` whenever there is some, also after an error: the other side is told why.
"""

from channeld.far import wire
from channeld.far.compression import Squeezer, Unsqueezer
from channeld.far.seal import Seal, SealBroken, seals_of
from channeld.far.wire import Hello, Kind, Option, Reason, WireError


class Denied(Exception):
    """A reader that gets nothing, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(wire.SAID[reason])
        self.reason = reason


class _Side:
    """What came and what goes. `allowed`: the frames that the other side may send."""

    def __init__(self, allowed: dict[Kind, tuple[int, int]]) -> None:
        self._allowed = allowed
        self._came = bytearray()
        self._goes = bytearray()
        self._opens: Seal | None = None
        self._closes: Seal | None = None
        self._is_over = False

    def feed(self, data: bytes) -> None:
        """What was received. The caller takes all that it says before it feeds more, so that no more than a frame waits."""
        self._came += data

    def to_send(self) -> bytes:
        """What is to be sent now; taken."""
        data = bytes(self._goes)
        self._goes.clear()
        return data

    def _take(self, length: int) -> bytes:
        data = bytes(self._came[:length])
        del self._came[:length]
        return data

    def _frame(self) -> tuple[Kind, bytes] | None:
        """The next whole one, opened. Raises WireError, SealBroken."""
        if len(self._came) < wire.HEADER_BYTES:
            return None
        header = bytes(self._came[: wire.HEADER_BYTES])
        kind, length = wire.unpack_header(header, self._allowed, wire.TAG_BYTES if self._opens else 0)
        if len(self._came) < wire.HEADER_BYTES + length:
            return None
        payload = self._take(wire.HEADER_BYTES + length)[wire.HEADER_BYTES :]
        return kind, self._opens.open(header, payload) if self._opens else payload

    def _say(self, kind: Kind, payload: bytes) -> None:
        header = wire.pack_header(kind, len(payload) + (wire.TAG_BYTES if self._closes else 0))
        self._goes += header
        self._goes += self._closes.close(header, payload) if self._closes else payload


class ReaderSide(_Side):
    """Asks for a channel. Raises Unusable where a package is missing, WireError at a name that no channel can have."""

    def __init__(self, request: wire.Request, *, key: bytes | None = None, is_compressed: bool = False) -> None:
        super().__init__(wire.FROM_PROXY)
        self._request = wire.pack_request(request)
        self._key = key
        self._unsqueezer = Unsqueezer() if is_compressed else None
        self._options = (Option.SEALED if key else Option(0)) | (Option.COMPRESSED if is_compressed else Option(0))
        self._hello = wire.pack_hello(Hello(self._options, wire.new_nonce()))
        self._is_greeted = False
        self._goes += self._hello

    def next(self) -> wire.Told | None:
        """What the proxy says next; None until more came, and once it is over. Raises WireError, SealBroken: it is over."""
        if self._is_over:
            return None
        try:
            told = self._next()
        except (WireError, SealBroken):
            self._is_over = True
            raise
        self._is_over = isinstance(told, wire.Closed | wire.Refused)
        return told

    def _next(self) -> wire.Told | None:
        if not self._is_greeted:
            if len(self._came) < wire.HELLO_BYTES:
                return None
            refused = self._greet(self._take(wire.HELLO_BYTES))
            if refused is not None:
                return refused
        frame = self._frame()
        if frame is None:
            return None
        kind, payload = frame
        if kind is not Kind.PIECE:
            return wire.unpack_told(kind, payload)
        piece = self._unsqueezer.unsqueeze(payload) if self._unsqueezer else payload
        if len(piece) > wire.MAX_PIECE_BYTES:
            raise WireError(f"a piece of {len(piece)} bytes")
        return wire.Piece(piece)

    def _greet(self, raw: bytes) -> wire.Refused | None:
        hello = wire.unpack_hello(raw)
        if hello.refusal is not None:
            return wire.Refused(hello.refusal, wire.SAID[hello.refusal])
        if hello.options != self._options:
            raise WireError("another connection is offered than was asked for")
        if self._key is not None:
            self._closes, self._opens = seals_of(self._key, self._hello, raw)
        self._is_greeted = True
        self._say(Kind.REQUEST, self._request)
        return None


class ProxySide(_Side):
    """Hears one reader out, and then tells it. With a key nobody is served who does not have it, too."""

    def __init__(self, *, key: bytes | None = None, compresses: bool = False) -> None:
        super().__init__(wire.FROM_READER)
        self._key, self._compresses = key, compresses
        self._squeezer: Squeezer | None = None
        self._is_greeted = False

    def next(self) -> wire.Request | None:
        """What the reader wants, once; None until more came. Raises Denied: say what is there to be said, and hang up."""
        try:
            return self._next()
        except WireError as error:
            raise self._deny(Reason.MALFORMED) from error
        except SealBroken as error:
            raise self._deny(Reason.NOT_PERMITTED) from error

    def _next(self) -> wire.Request | None:
        if not self._is_greeted:
            if len(self._came) < wire.HELLO_BYTES:
                return None
            self._greet(self._take(wire.HELLO_BYTES))
        frame = self._frame()
        if frame is None:
            return None
        if self._came:
            raise WireError("a reader asks once, and is silent then")
        return wire.unpack_request(frame[1])

    def _greet(self, raw: bytes) -> None:
        hello = wire.unpack_hello(raw)
        if hello.version != wire.VERSION:
            raise self._deny(Reason.VERSION)
        if hello.refusal is not None:
            raise WireError("a reader refuses nothing")
        if (self._key is not None) != bool(hello.options & Option.SEALED):
            raise self._deny(Reason.SEAL_WANTED if self._key else Reason.NO_SEAL)
        if hello.options & Option.COMPRESSED:
            if not self._compresses:
                raise self._deny(Reason.NO_COMPRESSION)
            self._squeezer = Squeezer()
        answer = wire.pack_hello(Hello(hello.options, wire.new_nonce()))
        self._goes += answer
        self._is_greeted = True
        if self._key is not None:
            self._opens, self._closes = seals_of(self._key, raw, answer)

    def _deny(self, reason: Reason) -> Denied:
        self.refuse(reason)
        return Denied(reason)

    def refuse(self, reason: Reason, text: str = "") -> None:
        """By a frame, once there was a hello; else by the hello."""
        if self._is_greeted:
            self.tell(wire.Refused(reason, text or wire.SAID[reason]))
        else:
            self._goes += wire.pack_hello(Hello(Option(0), wire.new_nonce(), refusal=reason))

    def tell(self, told: wire.Begin | wire.Overran | wire.State | wire.Closed | wire.Refused) -> None:
        self._say(*wire.pack_told(told))

    def tell_piece(self, piece: bytes) -> None:
        """MAX_PIECE_BYTES at most."""
        self._say(Kind.PIECE, self._squeezer.squeeze(piece) if self._squeezer else piece)
