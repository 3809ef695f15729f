"""Both sides of the far readers' protocol under any bytes: what was said, up to there, or the one error; and bounded."""

import itertools

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from channeld.far import wire
from channeld.far.address import parse_address
from channeld.far.compression import Squeezer, Unsqueezer
from channeld.far.seal import SealBroken
from channeld.far.sides import Denied, ProxySide, ReaderSide
from channeld.far.wire import Hello, Kind, Option, Request, WireError

FUZZED = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KEY = bytes(range(32))
PIECES = [bytes([number]) * 188 * 3 for number in range(6)]

hellos = st.builds(
    lambda options, version, refusal, nonce: (
        wire.pack_hello(Hello(Option(0), nonce, version))[:10] + bytes([options, 0, refusal, 0, 0, 0]) + nonce
    ),
    st.integers(0, 5),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from([0, 0, 0, 1, 99]),
    st.binary(min_size=32, max_size=32),
)
frames = st.builds(
    lambda kind, payload, more: (len(payload) + more).to_bytes(4, "little") + bytes([kind, 0, 0, 0]) + payload,
    st.one_of(st.sampled_from([int(kind) for kind in Kind]), st.integers(0, 255)),
    st.one_of(st.binary(max_size=64), st.sampled_from([bytes(24), b"\1" + bytes(31) + b"one", Squeezer().squeeze(bytes(188))])),
    st.sampled_from([0, 0, 0, 0, 1, 100, 1 << 31]),
)
said = st.one_of(st.binary(max_size=400), st.builds(lambda hello, rest: hello + b"".join(rest), hellos, st.lists(frames, max_size=6)))
harms = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.sampled_from(["flip", "drop", "twice", "cut", "add"]), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def spoiled(stream: bytes, wrongs: list[tuple[int, str, int]]) -> bytes:
    for where, how, byte in wrongs:
        at = where % max(1, len(stream))
        before, here, after = stream[:at], stream[at : at + 1 + byte % 64], stream[at + 1 + byte % 64 :]
        stream = {
            "flip": before + bytes([(here[0] if here else 0) ^ (byte or 1)]) + here[1:] + after,
            "drop": before + after,
            "twice": before + here + here + after,
            "cut": before,
            "add": before + bytes([byte]) + here + after,
        }[how]
    return stream


def heard_of(reader: ReaderSide, stream: bytes, bite: int) -> list[wire.Told]:
    """Until the end, or until something is wrong."""
    heard: list[wire.Told] = []
    try:
        for at in range(0, len(stream), bite):
            reader.feed(stream[at : at + bite])
            while (told := reader.next()) is not None:
                heard.append(told)
    except (WireError, SealBroken):
        assert reader.next() is None
    return heard


@FUZZED
@given(said, st.sampled_from([None, KEY]), st.booleans(), st.integers(1, 500))
def test_anything_said_to_the_proxy_is_a_request_or_denied(data: bytes, key: bytes | None, compresses: bool, bite: int) -> None:
    proxy = ProxySide(key=key, compresses=compresses)
    try:
        for at in range(0, len(data), bite):
            proxy.feed(data[at : at + bite])
            request = proxy.next()
            if request is not None:
                assert key is None  # nobody without it gets so far
                assert request.channel.isprintable()
                break
    except Denied as denied:
        assert denied.reason in wire.SAID
    assert len(proxy.to_send()) <= 400


@FUZZED
@given(said, st.booleans(), st.integers(1, 500))
def test_anything_said_to_a_reader_is_the_stream_up_to_there_or_an_error(data: bytes, compressed: bool, bite: int) -> None:
    for told in heard_of(ReaderSide(Request("one"), is_compressed=compressed), data, bite):
        assert isinstance(told, wire.Told)
        assert not isinstance(told, wire.Piece) or 0 < len(told.data) <= wire.MAX_PIECE_BYTES


@FUZZED
@given(harms, st.booleans(), st.integers(1, 700))
@example([(60, "drop", 0)], True, 50)
def test_sealed_frames_that_were_changed_deliver_nothing(wrongs: list[tuple[int, str, int]], compressed: bool, bite: int) -> None:
    """Of what the proxy says behind its hello, any bytes are changed: what is delivered is what was said, up to there."""
    reader, proxy = ReaderSide(Request("one"), key=KEY, is_compressed=compressed), ProxySide(key=KEY, compresses=compressed)
    proxy.feed(reader.to_send())
    proxy.next()
    reader.feed(proxy.to_send())
    reader.next()
    proxy.feed(reader.to_send())
    assert proxy.next() == Request("one")
    for piece in PIECES:
        proxy.tell_piece(piece)
    right = proxy.to_send()
    wrong = spoiled(right, wrongs)
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(right, wrong, strict=False)))
    heard = heard_of(reader, wrong, bite)
    assert heard == [wire.Piece(piece) for piece in PIECES[: len(heard)]]
    whole, at = 0, 0
    while at < len(right) and at + 8 + int.from_bytes(right[at : at + 4], "little") <= same:
        whole, at = whole + 1, at + 8 + int.from_bytes(right[at : at + 4], "little")
    assert len(heard) == whole


@FUZZED
@given(harms)
def test_a_sealed_request_that_was_changed_is_denied_or_waited_for(wrongs: list[tuple[int, str, int]]) -> None:
    reader, proxy = ReaderSide(Request("one"), key=KEY), ProxySide(key=KEY)
    proxy.feed(reader.to_send())
    proxy.next()
    reader.feed(proxy.to_send())
    reader.next()
    right = reader.to_send()
    wrong = spoiled(right, wrongs)
    proxy.feed(wrong)
    try:
        request = proxy.next()
    except Denied:
        return
    assert request is None or wrong == right


@FUZZED
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda wrongs, size: spoiled(Squeezer().squeeze(bytes(size)), wrongs), harms, st.integers(1, 5000)),
    )
)
def test_anything_that_is_unpacked_is_as_long_as_announced_or_refused(payload: bytes) -> None:
    try:
        piece = Unsqueezer().unsqueeze(payload)
    except WireError:
        return
    assert len(piece) == int.from_bytes(payload[:4], "little")


@FUZZED
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(st.sampled_from(["tcp:", "unix:", "/", "[", "]", ":", "::1", "9000", "host", "..", "\0", "%lo"]), max_size=6).map("".join),
    )
)
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address


def test_a_length_that_is_announced_promises_no_memory() -> None:
    """Judged with the header: what is too long is refused before a byte of it is taken, by both sides."""
    huge = (0xFFFFFFFF).to_bytes(4, "little")
    hello = wire.pack_hello(Hello(Option(0), bytes(32)))
    proxy = ProxySide()
    proxy.feed(hello + huge + bytes([Kind.REQUEST, 0, 0, 0]))
    with pytest.raises(Denied):
        proxy.next()
    reader = ReaderSide(Request("one"))
    reader.feed(hello + huge + bytes([Kind.PIECE, 0, 0, 0]))
    with pytest.raises(WireError):
        reader.next()
