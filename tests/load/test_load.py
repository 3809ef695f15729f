"""`channeld load` against real servers of real packets, right and wrong ones."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from channeld.base.errors import ConfigError
from channeld.load.continuity import Continuity
from channeld.load.run import LoadOrder, run_load

OK = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


def packet(pid: int, counter: int, *, payload: bool = True, discontinuity: bool = False) -> bytes:
    control = (0x10 if payload else 0) | (0x20 if discontinuity or not payload else 0) | counter & 0x0F
    field = bytes([183 if not payload else 1, 0x80 if discontinuity else 0]) if control & 0x20 else b""
    return (bytes([0x47, pid >> 8, pid & 0xFF, control]) + field).ljust(188, b"\xff")


def steady(count: int, *, without: int | None = None) -> bytes:
    """Two PIDs in turn, and null packets; without one packet of the first."""
    packets = [packet(pid, number) for number in range(count) for pid in (256, 257, 8191)]
    if without is not None:
        del packets[without * 3]
    return b"".join(packets)


@pytest.mark.parametrize("cut", [1, 187, 188, 189, 1000, 100_000])
def test_counters_are_followed_wherever_the_stream_was_cut(cut: int) -> None:
    for data, errors in ((steady(100), 0), (steady(100, without=50), 1)):
        judge = Continuity()
        for at in range(0, len(data), cut):
            judge.push(data[at : at + cut])
        assert (judge.errors, judge.unsynced, judge.packets) == (errors, 0, len(data) // 188)


def test_what_is_no_error_is_not_counted() -> None:
    """A repeated packet, one without payload, and a discontinuity that is told."""
    packets = [
        packet(256, 0),
        packet(256, 0),
        packet(256, 0, payload=False),
        packet(256, 1),
        packet(256, 9, discontinuity=True),
        packet(256, 10),
    ]
    for cut in (188, 188 * 6):
        judge = Continuity()
        data = b"".join(packets)
        for at in range(0, len(data), cut):
            judge.push(data[at : at + cut])
        assert judge.errors == 0
        judge.push(packet(256, 12) + b"x" * 188)
        assert (judge.errors, judge.unsynced) == (1, 1)


@contextmanager
def serving(head: bytes, pieces: list[bytes], *, pause_s: float = 0.05) -> Iterator[str]:
    """A server that gives everybody the same, piece by piece and again and again (an empty piece ends it)."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    over = threading.Event()

    def serve(end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            end.recv(4096)
            end.sendall(head)
            for piece in pieces:
                if not piece:
                    return
                end.sendall(piece)
                over.wait(pause_s)
            over.wait(30)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = listener.accept()
                threading.Thread(target=serve, args=(end,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/ts/one"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def whole(count: int, *, without: int | None = None, size: int = 5000) -> list[bytes]:
    data = steady(count, without=without)
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_honest_viewers_of_a_right_stream_are_good() -> None:
    with serving(OK, whole(160, size=3000)) as url:
        report = run_load(LoadOrder(url, clients=20, seconds=2))
    assert (report.connected, report.lost, report.refused, report.continuity_errors, report.unsynced_packets) == (20, 0, 0, 0, 0)
    assert report.bytes == 20 * 160 * 3 * 188
    assert report.first_byte_p50_s is not None and report.first_byte_max_s is not None
    assert 0 <= report.first_byte_p50_s <= report.first_byte_max_s
    assert report.reasons == {}


def test_a_packet_that_is_missing_is_seen_by_every_viewer() -> None:
    with serving(OK, whole(160, without=100)) as url:
        report = run_load(LoadOrder(url, clients=3, seconds=2))
    assert (report.continuity_errors, report.is_good) == (3, False)


def test_a_stream_that_pauses_stalls_and_one_that_ends_is_lost() -> None:
    with serving(OK, [steady(10), steady(6)], pause_s=1.5) as url:
        report = run_load(LoadOrder(url, clients=2, seconds=2))
    assert report.stalls >= 2 and not report.is_good
    with serving(OK, [steady(10), b""]) as url:
        report = run_load(LoadOrder(url, clients=2, seconds=1))
    assert (report.connected, report.lost, report.reasons) == (2, 2, {"the server ended the stream": 2})


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answers 503"),
        (b"HTTP/1.1 307 x\r\nLocation: /\r\n\r\n", "answers 307"),
        (b"\x47" * 20_000, "no HTTP answer"),
        (b"SSH-2.0-x\r\n\r\n", "no HTTP answer"),
    ],
)
def test_a_refusal_is_told_with_its_reason(head: bytes, reason: str) -> None:
    with serving(head, []) as url:
        report = run_load(LoadOrder(url, clients=2, seconds=1))
    assert (report.refused, report.connected, report.reasons, report.is_good) == (2, 0, {reason: 2}, False)


def test_slow_viewers_take_less_and_are_told_apart() -> None:
    with serving(OK, whole(2000, size=8000), pause_s=0.01) as url:
        report = run_load(LoadOrder(url, clients=4, slow=2, seconds=2))
    assert (report.connected, report.slow, report.continuity_errors) == (4, 2, 0)
    assert 0 < report.slow_bytes < (report.bytes - report.slow_bytes) / 2


@pytest.mark.parametrize("url", ["ftp://a/b", "http://", "a", "http://a:99999/", "http://a/ b", "http://a/\u00e9"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        run_load(LoadOrder(url, clients=1))


def load(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "channeld", "load", *arguments], check=False, capture_output=True, text=True, timeout=60)


def test_the_verb_tells_people_and_programs_what_came() -> None:
    with serving(OK, whole(60, size=500)) as url:
        done = load(url, "--clients", "3", "--slow", "1", "--seconds", "1", "--json")
        assert json.loads(done.stdout)["connected"] == 3, done.stderr
        done = load(url + "?token=secret", "--clients", "2", "--seconds", "1")
    assert "connected 2, refused 0, lost 0" in done.stdout and "first byte after" in done.stdout
    assert "secret" not in done.stdout
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = load(f"http://127.0.0.1:{port}/", "--clients", "1", "--seconds", "1")
    assert done.returncode == 1 and "lost 1" in done.stdout
    assert load("http://127.0.0.1/", "--clients", "1", "--slow", "2").returncode == 2
