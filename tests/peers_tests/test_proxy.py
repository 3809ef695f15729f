"""The bad lines are as bad as they are told to be, and the same each time."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from random import Random

import pytest
from nginx_origin import wait_until
from peers.look import watch
from peers.mock_peer import MockPeer
from peers.proxy import RtspProxy, TcpProxy, UdpProxy, Weather, fate

BAD = Weather(loss=0.1, reorder=0.1, duplicate=0.1)


@pytest.fixture
def target() -> Iterator[socket.socket]:
    """A UDP port of ours with room for all that a test sends."""
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A TCP port that listens."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(10)
        yield made


def send_through(proxy: UdpProxy, target: socket.socket, count: int) -> list[int]:
    """Numbered datagrams sent one after the other, and what arrived, in order."""
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for number in range(count):
            sender.sendto(number.to_bytes(4, "big"), ("127.0.0.1", proxy.port))
        # So few fit into the proxy's buffer, however late it reads.
        wait_until(lambda: proxy.counts["came"] == count, what="the proxy to take all")
        expected = count - proxy.counts["lost"] + proxy.counts["duplicated"]
        return [int.from_bytes(target.recv(64), "big") for _ in range(expected)]


@pytest.mark.parametrize("weather", [Weather(), Weather(loss=0.3), Weather(duplicate=0.3), Weather(reorder=0.3), BAD])
def test_shares_of_datagrams_meet_what_was_told(weather: Weather):
    random = Random(5)
    drawn = [fate(random, weather) for _ in range(20_000)]
    shares = [sum(each.copies == copies for each in drawn) / len(drawn) for copies in (0, 2)]
    assert shares[0] == pytest.approx(weather.loss, abs=0.02)
    assert shares[1] == pytest.approx(weather.duplicate * (1 - weather.loss), abs=0.02)
    assert sum(each.is_passed for each in drawn) / len(drawn) == pytest.approx(weather.reorder, abs=0.02)


def test_a_change_of_weather_does_not_change_the_fates_that_follow():
    one, other = Random(5), Random(5)
    for _ in range(10):
        fate(one, Weather())
        fate(other, BAD)
    assert [fate(one, BAD) for _ in range(50)] == [fate(other, BAD) for _ in range(50)]


def test_good_weather_changes_nothing_and_answers_come_back(target: socket.socket):
    with UdpProxy(target.getsockname()) as proxy, socket.socket(type=socket.SOCK_DGRAM) as client:
        assert send_through(proxy, target, 50) == list(range(50))
        client.settimeout(10)
        client.sendto(b"question", ("127.0.0.1", proxy.port))
        question, address = target.recvfrom(64)
        target.sendto(b"answer to " + question, address)
        assert client.recv(64) == b"answer to question"


def test_the_same_seed_loses_and_doubles_the_same_datagrams(target: socket.socket):
    arrived = []
    for _ in range(2):
        with UdpProxy(target.getsockname(), seed=11, weather=BAD) as proxy:
            arrived.append(send_through(proxy, target, 200))
    assert sorted(arrived[0]) == sorted(arrived[1])
    assert 120 < len(set(arrived[0])) < 200 and len(arrived[0]) > len(set(arrived[0]))


def test_reordered_datagrams_come_late_and_jitter_keeps_the_order(target: socket.socket):
    with UdpProxy(target.getsockname(), weather=Weather(reorder=0.2)) as proxy:
        arrived = send_through(proxy, target, 100)
        assert arrived != sorted(arrived) and set(arrived) == set(range(100))
    with UdpProxy(target.getsockname(), weather=Weather(delay_s=0.05, jitter_s=0.05)) as proxy:
        begun = time.monotonic()
        assert send_through(proxy, target, 20) == list(range(20))
        assert time.monotonic() - begun >= 0.05


def connected(proxy: TcpProxy, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A client through the proxy, and the server's end of it."""
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    there, _ = server.accept()
    there.settimeout(10)
    # Through for sure, both ways, before anything befalls it.
    for one, other in ((client, there), (there, client)):
        one.sendall(b".")
        assert other.recv(1) == b"."
    return client, there


def test_a_stalled_line_holds_everything_back_and_resumed_it_passes(server: socket.socket):
    with TcpProxy(server.getsockname()) as proxy:
        client, there = connected(proxy, server)
        with closing(client), closing(there):
            client.sendall(b"before")
            assert there.recv(64) == b"before"
            proxy.stall()
            client.sendall(b"after")
            there.settimeout(0.3)
            with pytest.raises(TimeoutError):
                there.recv(64)
            proxy.resume()
            there.settimeout(10)
            assert there.recv(64) == b"after"


def test_a_delayed_line_delivers_whole_and_later(server: socket.socket):
    with TcpProxy(server.getsockname()) as proxy:
        proxy.delay_s = 0.2
        client, there = connected(proxy, server)
        with closing(client), closing(there):
            begun = time.monotonic()
            client.sendall(b"x" * 10)
            assert there.recv(64) == b"x" * 10
            assert time.monotonic() - begun >= 0.2


def test_a_cut_line_ends_both_ends_and_takes_the_next_client(server: socket.socket):
    with TcpProxy(server.getsockname()) as proxy:
        client, there = connected(proxy, server)
        with closing(client), closing(there):
            proxy.cut()
            for each in (client, there):
                with pytest.raises(ConnectionResetError):
                    each.recv(64)
            again, back = connected(proxy, server)
            again.close()
            back.close()
            assert proxy.connections == 2


def test_a_refusing_line_takes_nobody_until_it_accepts(server: socket.socket):
    with TcpProxy(server.getsockname()) as proxy:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        proxy.accept()
        for each in connected(proxy, server):
            each.close()


def test_the_end_of_one_side_is_the_end_of_the_other(server: socket.socket):
    with TcpProxy(server.getsockname()) as proxy:
        client, there = connected(proxy, server)
        with closing(client):
            there.sendall(b"last words")
            there.close()
            assert client.recv(64) == b"last words" and client.recv(64) == b""


def test_a_reset_of_the_server_ends_the_client(server: socket.socket):
    with TcpProxy(server.getsockname()) as line, socket.create_connection(("127.0.0.1", line.port), timeout=10) as client:
        there, _ = server.accept()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_rtp_over_udp_goes_through_the_bad_line(rtsp_server: Callable[..., MockPeer]):
    peer = rtsp_server()
    with RtspProxy(("127.0.0.1", peer.port), weather=Weather(loss=0.02, reorder=0.02, jitter_s=0.01)) as proxy:
        seen = watch(f"rtsp://127.0.0.1:{proxy.port}/live", frames=15, transport="udp")
        assert len(seen.pictures) == 15 and seen.changes >= 5
        assert proxy.counts["came"] > 30
        proxy.weather = Weather(loss=1.0)
        lost = proxy.counts["lost"]
        assert watch(f"rtsp://127.0.0.1:{proxy.port}/live", frames=5, transport="udp", wait_s=3).pictures == ()
        assert proxy.counts["lost"] > lost
