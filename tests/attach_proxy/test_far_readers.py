"""Readers behind a proxy, against a real ring, real sockets and real TLS."""

import asyncio
import contextlib
import random
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Papers
from proxies import Forwarder, proxy_at
from small_air import SmallAir, chunk_of, open_descriptors, until

from channeld.attach_proxy.rules import ProxyRules, TlsFiles, server_context
from channeld.attach_proxy.server import _host_of, _is_elsewhere
from channeld.client import AttachError, Closed, Overrun, Refused, Start, TimedOut, UnknownChannel, Untrusted, far_line
from channeld.client.errors import Cut
from channeld.client.far import FarStream, Way, connect_far
from channeld.far.address import UnixAddress
from channeld.far.seal import read_key
from channeld.far.wire import Hello, Kind, Option, pack_header, pack_hello


def attach(where: str, way: Way | None = None, channel: str = "one", **options: object) -> FarStream:
    return connect_far(channel, where, way, **{"timeout": 20.0, **options})  # type: ignore[arg-type]


def nobody_reads(air: SmallAir) -> None:
    """Who went is noticed at the next publish."""
    until(lambda: air.publish(chunk_of(1000)) or air.feeder.readers.count("one") == 0, "they are forgotten")


def tls_of(papers: Papers, *, asks: bool = True) -> ssl.SSLContext:
    return server_context(TlsFiles(*papers.files("proxy"), papers.ca if asks else None))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
def test_every_byte_arrives_whatever_is_done_to_it_on_the_way(
    air: SmallAir, papers: Papers, key_file: Path, tls: bool, sealed: bool, compressed: bool
) -> None:
    ring = air.begin()
    rules = ProxyRules(air.folder, tls=tls_of(papers) if tls else None, key=read_key(key_file) if sealed else None, compresses=compressed)
    way = Way(key_file if sealed else None, compressed, papers.of_reader() if tls else None)
    noise = random.Random(1)
    with proxy_at(rules) as where, attach(where, way) as stream:
        published = b""
        for number in range(60):
            chunk = chunk_of(number) if number % 2 else noise.randbytes(188 * 40)
            air.publish(chunk)
            published += chunk
        got = b""
        while len(got) < len(published):
            got += next(stream)
        assert got == published
        assert stream.status().buffer_bytes in (0, ring.published_bytes, 1 << 20)


def test_a_unix_socket_is_ours_alone_and_goes_with_the_proxy(air: SmallAir, tmp_path: Path) -> None:
    air.begin()
    path = tmp_path / "deep" / ("d" * 120) / "far.sock"
    path.parent.mkdir(parents=True)
    with proxy_at(ProxyRules(air.folder), UnixAddress(path)) as where, attach(where) as stream:
        assert path.stat().st_mode & 0o777 == 0o600
        air.publish(chunk_of(1))
        assert next(stream) == chunk_of(1)
    assert not path.exists()


def test_it_reads_as_a_local_reader_does(air: SmallAir) -> None:
    air.begin()
    for number in range(10):
        air.publish(chunk_of(number), is_random_access=number in (2, 6))
    with proxy_at(ProxyRules(air.folder)) as where, attach(where) as stream, attach(where, start=Start.LIVE) as live:
        assert next(stream) == chunk_of(6)
        assert stream.read(100) == chunk_of(7)[:100]
        assert stream.read() == chunk_of(7)[100:]
        air.publish(chunk_of(10), is_random_access=False)
        assert next(live) == chunk_of(10)

        async def take() -> list[bytes]:
            return [chunk async for chunk, _ in _zip(stream, 3)]

        assert asyncio.run(take()) == [chunk_of(8), chunk_of(9), chunk_of(10)]
        stream.timeout = 0.05
        with pytest.raises(TimedOut):
            next(stream)
        until(lambda: stream.step() is None and stream.status().is_active, "it tells how it stands")
        assert stream.status().buffer_used_bytes == 11 * len(chunk_of(0))
        stream.timeout = 20
        air.end()
        assert stream.read() == b""
        with pytest.raises(Closed, match="off the air"):
            next(stream)


async def _zip(stream: FarStream, count: int):  # type: ignore[no-untyped-def]
    for number in range(count):
        yield await anext(stream), number


def test_what_is_not_there_is_told_by_name(air: SmallAir, tmp_path: Path) -> None:
    with proxy_at(ProxyRules(air.folder)) as where:
        with pytest.raises(UnknownChannel, match="no channel three"):
            attach(where, channel="three")
        with pytest.raises(UnknownChannel):
            attach(where, channel="three", reconnect=True, timeout=None)
        for name in ("", "../one", "x" * 200, "a\0b"):
            with pytest.raises((UnknownChannel, Refused)):
                attach(where, channel=name)
        with pytest.raises(Closed, match="not on air"):
            attach(where, channel="two")
        for way, words in ((Way(compress=True), "does not compress"),):
            with pytest.raises(Refused, match=words):
                attach(where, way)
    with pytest.raises(Closed, match=r"nobody listens|refused"):
        attach(where)
    with pytest.raises(AttachError, match="no address"):
        attach("tcp:9000")
    with proxy_at(ProxyRules(tmp_path / "elsewhere")) as where, pytest.raises(Closed, match="no daemon"):
        attach(where)


def test_no_more_readers_than_are_allowed(air: SmallAir) -> None:
    air.begin()
    with proxy_at(ProxyRules(air.folder, max_readers=2)) as where:
        with attach(where), attach(where), pytest.raises(Refused, match="as many readers"):
            attach(where)
        nobody_reads(air)
        before = open_descriptors()
        with attach(where):
            pass
        nobody_reads(air)
        until(lambda: open_descriptors() <= before, "nothing is left")


def test_another_key_or_none_gets_nothing(air: SmallAir, key_file: Path, tmp_path: Path) -> None:
    air.begin()
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_bytes(bytes(range(32)))
    with proxy_at(ProxyRules(air.folder, key=read_key(key_file))) as where:
        with pytest.raises(Untrusted, match="another key"):
            attach(where, Way(other))
        with pytest.raises(Refused, match="without its key"):
            attach(where)
    with proxy_at(ProxyRules(air.folder)) as where, pytest.raises(Refused, match="has no key"):
        attach(where, Way(key_file))
    assert air.feeder.readers.count("one") == 0
    other.chmod(0o640)
    with pytest.raises(AttachError, match="chmod 600"):
        attach(where, Way(other))


def test_another_certificate_or_none_gets_nothing(air: SmallAir, papers: Papers) -> None:
    air.begin()
    with proxy_at(ProxyRules(air.folder, tls=tls_of(papers))) as where:
        for context in (papers.of_reader(None), papers.of_reader("stranger")):
            with pytest.raises((Untrusted, Closed)):
                attach(where, Way(tls=context))
        with pytest.raises(Untrusted, match=r"self-signed|unable to get"):
            attach(where, Way(tls=ssl.create_default_context()))
        with pytest.raises(Untrusted, match="elsewhere"):
            attach(where, Way(tls=papers.of_reader(), tls_name="elsewhere.example"))
        with pytest.raises(Closed, match="does it want TLS"):
            attach(where)
        with attach(where, Way(tls=papers.of_reader(), tls_name="localhost")) as stream:
            air.publish(chunk_of(1))
            assert next(stream) == chunk_of(1)
    with proxy_at(ProxyRules(air.folder)) as where, pytest.raises((Untrusted, Closed)):
        attach(where, Way(tls=papers.of_reader()))


@pytest.fixture(params=["open", "sealed and compressed"])
def way(request: pytest.FixtureRequest, key_file: Path) -> Iterator[tuple[Way, bytes | None]]:
    yield (Way(), None) if request.param == "open" else (Way(key_file, True), read_key(key_file))


def test_a_line_that_is_cut_again_and_again_costs_not_a_byte(air: SmallAir, way: tuple[Way, bytes | None]) -> None:
    air.begin()
    rules = ProxyRules(air.folder, key=way[1], compresses=way[0].compress)
    noise = random.Random(2)
    chunks = [noise.randbytes(188 * noise.randrange(1, 50)) for _ in range(100)]
    with proxy_at(rules) as where, Forwarder(where) as between, attach(between.where, way[0]) as stream:
        got = b""
        for number, chunk in enumerate(chunks):
            air.publish(chunk, is_random_access=number % 10 == 0)
            if number % 20 == 10:
                between.cut()
            if number % 3 == 0:
                got += next(stream)
        while len(got) < sum(map(len, chunks)):
            got += next(stream)
        assert got == b"".join(chunks)
        assert between.connections >= 3
        assert stream.lost_bytes == 0


def test_one_that_is_too_slow_is_told_exactly_how_much_it_lost_and_others_lose_nothing(
    air: SmallAir, way: tuple[Way, bytes | None]
) -> None:
    ring = air.begin(capacity_bytes=1 << 20, slices=512)
    noise = random.Random(3)
    rules = ProxyRules(air.folder, key=way[1], compresses=way[0].compress)
    with proxy_at(rules) as where, Forwarder(where) as between, attach(between.where, way[0]) as slow, attach(where, way[0]) as other:
        between.passes.clear()
        got = lost = others = 0
        for number in range(2000):
            air.publish(noise.randbytes(188 * 70), is_random_access=number % 10 == 0)
            others += len(next(other))
        between.passes.set()
        while got + lost < ring.published_bytes:
            if not lost:  # heads that it was told long ago are lapped themselves
                air.publish(noise.randbytes(188 * 70))
                others += len(next(other))
            try:
                got += len(next(slow))
            except Overrun as overrun:
                lost += overrun.lost_bytes
        assert got + lost == others == ring.published_bytes
        assert lost > 0
        assert (slow.lost_bytes, other.lost_bytes) == (lost, 0)


def test_one_whose_place_was_written_over_while_the_line_was_down_is_told_how_much(air: SmallAir) -> None:
    ring = air.begin(capacity_bytes=64 * 1024, slices=64)
    with proxy_at(ProxyRules(air.folder)) as where, Forwarder(where) as between, attach(between.where) as stream:
        air.publish(chunk_of(0))
        got = len(next(stream))
        between.cut()
        nobody_reads(air)
        for number in range(1, 200):
            air.publish(chunk_of(number), is_random_access=number % 10 == 0)
        until(lambda: not air.feeder._published, "the feeder's turn")
        with pytest.raises(Overrun) as overrun:
            next(stream)
        assert next(stream) == chunk_of(190)
        assert got + overrun.value.lost_bytes + 10 * len(chunk_of(0)) == ring.published_bytes


def test_a_new_ring_is_followed_and_a_daemon_that_comes_again_waited_for(air: SmallAir) -> None:
    air.begin(generation=1)
    with proxy_at(ProxyRules(air.folder)) as where, attach(where, reconnect=True) as stream:
        for number in range(5):
            air.publish(chunk_of(number))
        air.end()
        air.begin(generation=2)
        for number in range(5, 9):
            air.publish(chunk_of(number))
        assert [next(stream) for _ in range(9)] == [chunk_of(number) for number in range(9)]
        assert stream.status().generation == 2
        air.end()
        stream.timeout = 0.5
        with pytest.raises(TimedOut):
            next(stream)
        air.desk.close()
        air.feeder.post(air.feeder.readers.close)
        stream.timeout = 30
        other = SmallAir(air.folder)
        try:
            other.begin(generation=3)
            for number in range(9, 12):
                other.publish(chunk_of(number))
            assert [next(stream) for _ in range(3)] == [chunk_of(number) for number in range(9, 12)]
        finally:
            other.close()


def test_a_ring_that_went_while_the_line_was_down_is_told_as_a_cut(air: SmallAir) -> None:
    air.begin(generation=1)
    with proxy_at(ProxyRules(air.folder)) as where, Forwarder(where) as between, attach(between.where) as stream:
        air.publish(chunk_of(0))
        assert next(stream) == chunk_of(0)
        between.cut()
        nobody_reads(air)
        air.end()
        air.begin(generation=2)
        air.publish(chunk_of(2))
        with pytest.raises(Cut, match="not known"):
            next(stream)
        assert next(stream) == chunk_of(2)


def test_addresses_that_refuse_or_say_nothing_are_left_for_the_next(air: SmallAir, monkeypatch: pytest.MonkeyPatch) -> None:
    air.begin()
    air.publish(chunk_of(0))
    monkeypatch.setattr(far_line, "ADDRESS_S", 0.3)
    with proxy_at(ProxyRules(air.folder)) as where, socket.socket() as full, socket.socket() as closed, contextlib.ExitStack() as callers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # nobody takes them: the next who comes hears nothing
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        closed.bind(("127.0.0.1", 0))
        port = int(where.rpartition(":")[2])
        targets = [closed.getsockname(), full.getsockname(), ("127.0.0.1", port)]
        monkeypatch.setattr(far_line, "_targets_of", lambda address: deque((socket.AF_INET, target) for target in targets))
        with attach(where) as stream:
            assert next(stream) == chunk_of(0)


def test_a_reader_that_waits_is_not_ended_by_its_own_dead_connection(air: SmallAir) -> None:
    """It still counts at a proxy that has room for one: no end of the connection came there."""
    air.begin(generation=1)
    with proxy_at(ProxyRules(air.folder, max_readers=1)) as where, attach(where, reconnect=True) as stream:
        air.publish(chunk_of(0))
        assert next(stream) == chunk_of(0)
        assert stream._line is not None
        dead, stream._line = stream._line, None  # nobody closes it
        air.publish(chunk_of(1))
        stream.timeout = 1.0
        with pytest.raises(TimedOut, match="reader"):
            next(stream)
        dead.close()
        stream.timeout = 20.0
        assert next(stream) == chunk_of(1)


def test_whatever_is_changed_on_a_sealed_line_delivers_nothing_after_it(air: SmallAir, key_file: Path) -> None:
    air.begin()
    rng = random.Random(4)
    for _ in range(10):
        passed = 0
        at = rng.randrange(1, 3000)

        def flip(data: bytes, at: int = at) -> bytes:
            nonlocal passed
            before, passed = passed, passed + len(data)
            if before <= at < passed:
                data = data[: at - before] + bytes([data[at - before] ^ 1 << rng.randrange(8)]) + data[at - before + 1 :]
            return data

        with proxy_at(ProxyRules(air.folder, key=read_key(key_file))) as where, Forwarder(where, flip) as between:
            published, got = [], []
            with pytest.raises(AttachError), attach(between.where, Way(key_file), start="live", timeout=3) as stream:
                for number in range(5):
                    published.append(chunk_of(number))
                    air.publish(published[-1])
                    got.append(next(stream))
            assert got == published[: len(got)]


def test_a_proxy_that_ends_tells_its_readers(air: SmallAir) -> None:
    air.begin()
    with proxy_at(ProxyRules(air.folder)) as where:
        stream = attach(where)
        air.publish(chunk_of(1))
        assert next(stream) == chunk_of(1)
    with pytest.raises(Closed, match="the proxy ends"):
        next(stream)
    stream.close()


def test_silence_and_floods_hold_up_nobody(air: SmallAir, monkeypatch: pytest.MonkeyPatch) -> None:
    air.begin()
    monkeypatch.setattr("channeld.attach_proxy.far_reader.ASK_S", 0.5)
    with proxy_at(ProxyRules(air.folder)) as where:
        host, port = where.split(":")[1:]
        silent = [socket.create_connection((host, int(port)), 20) for _ in range(100)]
        with attach(where) as stream:
            air.publish(chunk_of(1))
            assert next(stream) == chunk_of(1)
        for end in silent:
            end.settimeout(20)
            while end.recv(100):
                pass
            end.close()


def test_no_more_connections_of_an_address_elsewhere_than_are_allowed(air: SmallAir, monkeypatch: pytest.MonkeyPatch) -> None:
    air.begin()
    monkeypatch.setattr("channeld.attach_proxy.server._is_elsewhere", lambda host: host == "127.0.0.1")
    with proxy_at(ProxyRules(air.folder, most_per_address=2)) as where:
        with attach(where), attach(where), pytest.raises(Closed, match=r"hung up|reset"):
            attach(where)
        with attach(where, reconnect=True):  # those that went do not count
            pass


@pytest.mark.parametrize(
    ("host", "name", "is_elsewhere"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("2001:db8::1:2:3", "2001:db8::/64", True),
        ("fe80::1%lo", "fe80::/64", True),
    ],
)
def test_an_address_is_known_by_its_network(host: str, name: str, is_elsewhere: bool) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as end:
        assert _host_of(end, (host, 1)) == name
    assert _is_elsewhere(name) == is_elsewhere


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Closed),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 2, Refused),
        (pack_hello(Hello(Option(0), bytes(32))) + b"\xff" * 100, Refused),
        (pack_hello(Hello(Option(0), bytes(32))) + pack_header(Kind.PIECE, 188) + bytes(188), Refused),
        (pack_hello(Hello(Option.SEALED, bytes(32))), Refused),
        (b"C", Closed),
    ],
    ids=["nothing", "http", "noise", "a piece of nowhere", "other options", "silence"],
)
def test_what_is_no_proxy_is_told(answer: bytes, error: type[AttachError], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channeld.client.far_line.SILENT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopped = threading.Event()

        def serve() -> None:
            end, _ = server.accept()
            with end:
                end.recv(100)
                end.sendall(answer)
                if answer:
                    stopped.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(error):
            attach(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        stopped.set()
        thread.join(20)
