"""The conversation of a far reader with the proxy, both sides of it without a socket between."""

from collections.abc import Callable

import pytest

from channeld.far import wire
from channeld.far.compression import Squeezer, Unsqueezer
from channeld.far.seal import SealBroken
from channeld.far.sides import Denied, ProxySide, ReaderSide
from channeld.far.wire import Hello, Kind, Option, Reason, Request, StartAt, Where, WireError

KEY, OTHER = bytes(range(32)), bytes(32)
PLACE = Where(3, 17, 188)
SAID = (
    wire.Begin(PLACE),
    wire.State(True, 1500, 10, 20, 5, 3),
    wire.Overran(376, 564),
    wire.Closed("one is off the air\x1b"),
)


def converse(
    *, key: bytes | None = None, others: bytes | None = None, compressed: bool = False, request: Request | None = None
) -> tuple[ReaderSide, ProxySide, Request | None]:
    """Until the proxy has heard the request. Raises Denied."""
    reader = ReaderSide(request or Request("one"), key=key, is_compressed=compressed)
    proxy = ProxySide(key=others, compresses=compressed)
    proxy.feed(reader.to_send())
    assert proxy.next() is None
    reader.feed(proxy.to_send())
    assert reader.next() is None
    proxy.feed(reader.to_send())
    return reader, proxy, proxy.next()


@pytest.mark.parametrize("key", [None, KEY], ids=["open", "sealed"])
@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
@pytest.mark.parametrize("bite", [1, 10_000])
def test_what_one_says_the_other_hears(key: bytes | None, compressed: bool, bite: int) -> None:
    wanted = Request("one", StartAt.PLACE, PLACE)
    reader, proxy, request = converse(key=key, others=key, compressed=compressed, request=wanted)
    assert request == wanted
    proxy.tell(SAID[0])
    for piece in (bytes(188), bytes(range(188)) * 7, b"\x47"):
        proxy.tell_piece(piece)
    for told in SAID[1:]:
        proxy.tell(told)
    said, heard = proxy.to_send(), []
    for at in range(0, len(said), bite):
        reader.feed(said[at : at + bite])
        while (told := reader.next()) is not None:
            heard.append(told)
    pieces = [wire.Piece(piece) for piece in (bytes(188), bytes(range(188)) * 7, b"\x47")]
    assert heard == [SAID[0], *pieces, *SAID[1:-1], wire.Closed("one is off the air?")]
    assert reader.next() is None


def test_another_key_opens_nothing_on_either_side() -> None:
    reader = ReaderSide(Request("one"), key=KEY)
    proxy = ProxySide(key=OTHER)
    proxy.feed(reader.to_send())
    assert proxy.next() is None
    reader.feed(proxy.to_send())
    assert reader.next() is None
    proxy.feed(reader.to_send())
    with pytest.raises(Denied) as denied:
        proxy.next()
    assert denied.value.reason is Reason.NOT_PERMITTED
    reader.feed(proxy.to_send())
    with pytest.raises(SealBroken):
        reader.next()
    assert reader.next() is None


@pytest.mark.parametrize(
    ("reader", "proxy", "reason"),
    [
        ({"key": KEY}, {}, Reason.NO_SEAL),
        ({}, {"key": KEY}, Reason.SEAL_WANTED),
        ({"is_compressed": True}, {}, Reason.NO_COMPRESSION),
    ],
)
def test_what_one_side_does_not_have_is_refused_by_name(reader: dict[str, object], proxy: dict[str, object], reason: Reason) -> None:
    asks, answers = ReaderSide(Request("one"), **reader), ProxySide(**proxy)  # type: ignore[arg-type]
    answers.feed(asks.to_send())
    with pytest.raises(Denied) as denied:
        answers.next()
    assert denied.value.reason is reason
    asks.feed(answers.to_send())
    assert asks.next() == wire.Refused(reason, wire.SAID[reason])


def sealed_frames() -> tuple[ReaderSide, list[bytes]]:
    reader, proxy, _ = converse(key=KEY, others=KEY)
    frames = []
    for number in range(4):
        proxy.tell_piece(bytes([number]) * 188)
        frames.append(proxy.to_send())
    return reader, frames


@pytest.mark.parametrize(
    "harm",
    [
        lambda frames: [frames[0], frames[0]],
        lambda frames: [frames[1], frames[0]],
        lambda frames: [frames[0], frames[2]],
        lambda frames: [frames[0], frames[1][:4] + bytes([Kind.CLOSED]) + frames[1][5:]],
        lambda frames: [frames[0], frames[1][:-1] + bytes([frames[1][-1] ^ 1])],
        lambda frames: [frames[0], frames[1][:20] + bytes([frames[1][20] ^ 1]) + frames[1][21:]],
        lambda frames: [frames[0], sealed_frames()[1][1]],
        lambda frames: [frames[0], (len(frames[1]) - 9).to_bytes(4, "little") + frames[1][4:-1] + frames[2]],
    ],
    ids=["twice", "in another order", "one left out", "another kind", "its tag", "its bytes", "of another connection", "cut short"],
)
def test_sealed_frames_open_as_they_were_said_or_not_at_all(harm: Callable[[list[bytes]], list[bytes]]) -> None:
    reader, frames = sealed_frames()
    reader.feed(b"".join(harm(frames)))
    heard = []
    with pytest.raises((SealBroken, WireError)):
        while True:
            heard.append(reader.next())
    assert heard in ([], [wire.Piece(bytes(188))])
    reader.feed(frames[3])
    assert reader.next() is None


def test_each_connection_and_direction_has_its_own_key() -> None:
    said = set()
    for _ in range(3):
        _, proxy, _ = converse(key=KEY, others=KEY)
        proxy.tell_piece(bytes(188))
        said.add(proxy.to_send())
    assert len(said) == 3


def test_a_reader_that_asks_twice_or_goes_on_is_malformed() -> None:
    for more in (b"!", wire.pack_header(Kind.REQUEST, 29) + bytes(29)):
        reader = ReaderSide(Request("one"))
        proxy = ProxySide()
        proxy.feed(reader.to_send())
        proxy.next()
        reader.feed(proxy.to_send())
        reader.next()
        proxy.feed(reader.to_send() + more)
        with pytest.raises(Denied, match="not spoken to"):
            proxy.next()
        reader.feed(proxy.to_send())
        assert isinstance(told := reader.next(), wire.Refused) and told.reason is Reason.MALFORMED


def hello(**values: object) -> bytes:
    return wire.pack_hello(Hello(**{"options": Option(0), "nonce": bytes(32), **values}))  # type: ignore[arg-type]


def header(kind: int, length: int, rest: bytes = bytes(2)) -> bytes:
    return length.to_bytes(4, "little") + bytes([kind]) + rest + bytes(1)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\nAccept: everything\r\n\r\n",
        hello(options=8),
        hello(refusal=Reason.TOO_MANY),
        hello() + header(Kind.PIECE, 5),
        hello() + header(99, 0),
        hello() + header(Kind.REQUEST, 0xFFFFFFFF),
        hello() + header(Kind.REQUEST, 1),
        hello() + header(Kind.REQUEST, 40, b"\1\0"),
        hello() + header(Kind.REQUEST, 35) + bytes(35),
        hello() + header(Kind.REQUEST, 35) + b"\1" + bytes(31) + b"\xff\xff\xff",
        hello() + header(Kind.REQUEST, 35) + b"\1" + bytes(31) + b"a\0b",
    ],
)
def test_what_is_no_request_is_denied(said: bytes) -> None:
    proxy = ProxySide()
    proxy.feed(said)
    with pytest.raises(Denied) as denied:
        proxy.next()
    assert denied.value.reason is Reason.MALFORMED
    assert proxy.to_send()


def test_another_version_is_told_by_name() -> None:
    proxy = ProxySide()
    proxy.feed(hello(version=2))
    with pytest.raises(Denied) as denied:
        proxy.next()
    assert denied.value.reason is Reason.VERSION
    reader = ReaderSide(Request("one"))
    reader.feed(hello(version=2))
    assert isinstance(told := reader.next(), wire.Refused) and told.reason is Reason.VERSION


@pytest.mark.parametrize(
    "said",
    [
        hello(options=Option.SEALED),
        hello(refusal=77),
        hello() + header(Kind.REQUEST, 40),
        hello() + header(Kind.BEGIN, 23),
        hello() + header(Kind.PIECE, 0),
        hello() + header(Kind.PIECE, wire.MAX_PIECE_BYTES + wire.EXPANSION_BYTES + 1),
        hello() + header(Kind.PIECE, wire.MAX_PIECE_BYTES + 1) + bytes(wire.MAX_PIECE_BYTES + 1),
        hello() + header(Kind.REFUSED, 4) + b"\xff\0\0\0",
    ],
)
def test_what_no_proxy_says_is_not_delivered(said: bytes) -> None:
    reader = ReaderSide(Request("one"))
    reader.feed(said)
    with pytest.raises(WireError):
        reader.next()
    assert reader.next() is None


def test_a_name_that_no_channel_can_have_is_not_asked_for() -> None:
    for name in ("", "x" * 129):
        with pytest.raises(WireError):
            ReaderSide(Request(name))


@pytest.mark.parametrize(
    "payload",
    [
        bytes(4),
        b"\xff\xff\xff\xff" + bytes(20),
        Squeezer().squeeze(bytes(1000))[:-1],
        (999).to_bytes(4, "little") + Squeezer().squeeze(bytes(1000))[4:],
        (1001).to_bytes(4, "little") + Squeezer().squeeze(bytes(1000))[4:],
        (1000).to_bytes(4, "little") + bytes(40),
        (4_000_000).to_bytes(4, "little") + Squeezer().squeeze(bytes(200_000_000))[4:],
    ],
    ids=["nothing", "too much", "cut", "more than it says", "less than it says", "no zstd", "a bomb"],
)
def test_what_unpacks_to_another_length_than_it_says_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        Unsqueezer().unsqueeze(payload)


def test_a_hello_that_comes_byte_by_byte_is_waited_for() -> None:
    reader, proxy = ReaderSide(Request("one")), ProxySide()
    for side, said in ((proxy, reader.to_send()), (reader, hello())):
        for byte in said:
            side.feed(bytes([byte]))
            assert side.next() is None
    assert len(proxy.to_send()) == wire.HELLO_BYTES
    assert reader.to_send()
