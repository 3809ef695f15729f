"""The endless stream over HTTP as players and control see it: a real worker process, a real ring, real connections."""

import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest
from judge.ts import FFMPEG_FILE, read_ts
from media_process import DEADLINE_S, Air, MediaProcess
from test_media_worker import make_certificate

from channeld.access.secret import digest_of


class Player:
    """A connection that asks for the stream of `one`, with what it answers."""

    def __init__(self, worker: MediaProcess, query: str = "", *, method: str = "GET", headers: str = "", version: str = "1.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", worker.port), DEADLINE_S)
        self._socket.sendall(f"{method} /ts/one{query} HTTP/{version}\r\nHost: x\r\nUser-Agent: test/1\r\n{headers}\r\n".encode())
        self.answer = http.client.HTTPResponse(self._socket, method=method)
        self.answer.begin()

    def read(self, count: int) -> bytes:
        """Exactly so many bytes of the body, fewer at its end."""
        return self.answer.read(count)

    def problem(self) -> dict[str, Any]:
        """The body of a refusal."""
        assert self.answer.headers["content-type"] == "application/problem+json"
        assert self.answer.headers["access-control-allow-origin"] == "*"
        told: dict[str, Any] = json.loads(self.answer.read())
        assert told["status"] == self.answer.status
        return told

    def close(self) -> None:
        """Leave."""
        self.answer.close()
        self._socket.close()


@contextmanager
def players(worker: MediaProcess, count: int) -> Iterator[list[Player]]:
    """So many, that leave at the end."""
    with ExitStack() as leaving:
        made = [Player(worker) for _ in range(count)]
        for each in made:
            leaving.callback(each.close)
        yield made


@pytest.fixture
def on_air(worker: MediaProcess, air: Air) -> MediaProcess:
    """A worker with a channel that is at slice 32; slice 30 begins a GOP."""
    worker.watch(air)
    air.publish(0, 33)
    worker.wait_for("audience", clients=0)
    return worker


@pytest.fixture(scope="module")
def standing(stream: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaProcess]:
    """The same for tests that leave it as it was: slices 0 to 60, the last begins a GOP."""
    air, worker = Air(stream), MediaProcess(tmp_path_factory.mktemp("standing") / "hls")
    worker.watch(air)
    air.publish(0, 61)
    worker.wait_for("audience", clients=0)
    yield worker
    worker.close()
    air.close()


def test_every_client_has_every_byte_from_where_it_joined(on_air: MediaProcess, air: Air, stream: list[bytes]) -> None:
    """Three join at different moments, one with a burst; none of them loses or repeats a byte, and an independent judge agrees."""
    first, behind = Player(on_air), Player(on_air, "?burst=3")
    air.publish(33, 47)
    second = Player(on_air)
    air.publish(47, 60)
    for player, begins in ((first, 30), (behind, 15), (second, 45)):
        wanted = b"".join(stream[begins:60])
        got = player.read(len(wanted))
        assert got == wanted
        report = read_ts(got, fps=Fraction(25), allowances=FFMPEG_FILE)
        assert report.counters[256].faults == report.counters[257].faults == ()
        player.close()


def test_ffmpeg_plays_the_stream_without_a_complaint(standing: MediaProcess, ffmpeg: str) -> None:
    source = ["-i", f"{standing.url}/ts/one?burst=12", "-t", "6"]
    done = subprocess.run([ffmpeg, "-nostdin", "-v", "warning", *source, "-f", "null", "-"], check=True, capture_output=True, timeout=60)
    assert done.stderr == b""


def test_the_answer_is_one_that_every_player_understands(standing: MediaProcess) -> None:
    """Neither chunked nor with a length, in both versions of HTTP."""
    for version in ("1.0", "1.1"):
        player = Player(standing, version=version)
        headers = {name.lower(): value for name, value in player.answer.getheaders()}
        assert (player.answer.status, headers["content-type"], headers["connection"]) == (200, "video/mp2t", "close")
        assert headers["access-control-allow-origin"] == "*" and "access-control-allow-credentials" not in headers
        assert not headers.keys() & {"transfer-encoding", "content-length", "accept-ranges"}
        assert headers["cache-control"] == "no-store" and headers["date"].endswith("GMT")
        assert player.read(188)[0] == 0x47
        player.close()


def test_head_gets_the_head_alone_and_takes_no_place(on_air: MediaProcess) -> None:
    player = Player(on_air, method="HEAD")
    assert (player.answer.status, player.answer.headers["content-type"]) == (200, "video/mp2t")
    assert player.answer.headers["content-length"] is None
    assert player.read(1) == b""
    assert [each.answer.status for each in (Player(on_air, "?burst=-1", method="HEAD"),)] == [400]
    assert list_clients(on_air) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Range: bytes=0-\r\n", 200),
        ("Range: BYTES = 0-\r\n", 200),
        ("Range: pictures=5-\r\n", 200),
        ('Range: bytes=5-\r\nIf-Range: "x"\r\n', 200),
        ("Range: bytes=188-\r\n", 416),
        ("Range: bytes=0-1\r\n", 416),
        ("Range: bytes=-188\r\n", 416),
        ("Range: bytes=0-,5-\r\n", 416),
        ("Range: bytes=\r\n", 416),
    ],
)
def test_only_a_range_that_is_all_of_the_stream_is_answered_with_it(standing: MediaProcess, headers: str, status: int) -> None:
    player = Player(standing, headers=headers)
    assert player.answer.status == status
    if status == 416:
        assert "bytes=0-" in player.problem()["detail"]
    player.close()


@pytest.mark.parametrize("burst", ["-1", "31", "nan", "inf", "x", "", "1e9"])
def test_a_burst_out_of_bounds_is_refused_with_the_bounds(standing: MediaProcess, burst: str) -> None:
    player = Player(standing, f"?burst={burst}")
    assert player.answer.status == 400 and "0 to 30" in player.problem()["detail"]
    player.close()


def test_a_page_of_any_origin_may_read_the_stream(standing: MediaProcess) -> None:
    asked = {"Origin": "https://player.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    answer = httpx.options(f"{standing.url}/ts/one", headers=asked)
    assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == "*"
    assert "GET" in answer.headers["access-control-allow-methods"]
    assert httpx.post(f"{standing.url}/ts/one").status_code == 405
    assert httpx.get(f"{standing.url}/ts/two").status_code == 404


def test_limits_are_told_kept_and_changed_without_a_restart(on_air: MediaProcess, air: Air) -> None:
    on_air.wire.send("configure", **on_air.settings, limits={"per_channel": 3, "per_address": 2, "stale_s": 30})
    on_air.wait_for("ready")
    with players(on_air, 2):
        third = Player(on_air)
        assert (third.answer.status, third.answer.headers["retry-after"]) == (429, "10")
        assert "media.max_clients_per_address" in third.problem()["detail"]
        on_air.wire.send("configure", **on_air.settings, limits={"per_channel": 2, "per_address": None, "stale_s": 30})
        on_air.wait_for("ready")
        fourth = Player(on_air)
        assert fourth.answer.status == 503 and "media.max_clients_per_channel" in fourth.problem()["detail"]
        # The same connection may ask for something else.
        assert on_air.wait_for("audience", refused=2).values["clients"] == 2
    on_air.wait_for("audience", clients=0)
    Player(on_air).close()


def test_a_connection_that_was_refused_may_ask_again(standing: MediaProcess, stream: list[bytes]) -> None:
    """HTTP goes on behind a problem document, and behind HLS: the stream takes over the connection that is there."""
    with socket.create_connection(("127.0.0.1", standing.port), DEADLINE_S) as connection:
        for path in ("/ts/one?burst=x", "/healthz", "/hls/one/none.ts"):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
        connection.sendall(b"GET /ts/one HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        wanted = b"".join(stream[60:61])
        assert answer.read(len(wanted)) == wanted


def list_clients(worker: MediaProcess, most: int = 1000, request: int = 7) -> list[dict[str, Any]]:
    worker.wire.send("clients", request=request, channel="one", most=most)
    found: list[dict[str, Any]] = []
    while True:
        told = worker.wait_for("clients", request=request).values
        found += told["clients"]
        if told["is_last"]:
            return found


def test_control_hears_how_many_how_much_and_who(on_air: MediaProcess, air: Air, stream: list[bytes]) -> None:
    wanted = b"".join(stream[30:40])
    with players(on_air, 60) as made:
        air.publish(33, 40)
        for each in made:
            assert each.read(len(wanted)) == wanted
        told = on_air.wait_for("audience", clients=60, output="ts").values
        assert told["bytes"] >= 60 * len(wanted) and told["skips"] == 0
        clients = list_clients(on_air)
        assert len(clients) == len({each["id"] for each in clients}) == 60
        assert {(each["address"], each["user_agent"], each["lag_bytes"], each["skips"]) for each in clients} == {
            ("127.0.0.1", "test/1", 0, 0)
        }
        assert all(each["bytes"] >= len(wanted) and time.time() - each["since_s"] < DEADLINE_S * 2 for each in clients)
        assert len(list_clients(on_air, most=5)) == 5
        made[0].close()
        gone = on_air.wait_for("audience", clients=59).values["gone"]
        assert [(each["ended"], each["address"]) for each in gone] == [("left", "127.0.0.1")]
    counted = on_air.wait_for("audience", clients=0).values
    assert sum(counted["connections"]) == 60 and counted["connection_seconds"] > 0
    on_air.wire.send("clients", request=9, channel="none", most=5)
    assert on_air.wait_for("clients", request=9).values["is_last"]


def test_a_client_over_a_host_replacement_goes_on_to_the_byte(on_air: MediaProcess, air: Air, stream: list[bytes]) -> None:
    player = Player(on_air)
    head = b"".join(stream[30:33])
    assert player.read(len(head)) == head
    successor = Air(stream, ring_id=2)
    successor.publish(20, 36)
    on_air.watch(successor)
    successor.publish(36, 60)
    wanted = b"".join(stream[33:60])
    assert player.read(len(wanted)) == wanted
    player.close()
    successor.close()


def test_a_client_that_stalls_is_dropped_and_the_others_stay(stream: list[bytes], tmp_path: Path) -> None:
    air, worker = Air(stream, capacity_bytes=2 << 20), MediaProcess(tmp_path / "hls", limits={"stale_s": 1})
    worker.watch(air)
    air.publish(0, 31)
    stalled, honest = Player(worker), Player(worker)
    at, deadline = 31, time.monotonic() + DEADLINE_S
    assert honest.read(len(stream[30])) == stream[30]
    while not (gone := worker.wait_for("audience").values["gone"]):
        air.publish(at, at + 40)
        wanted = b"".join(stream[number % len(stream)] for number in range(at, at + 40))
        assert honest.read(len(wanted)) == wanted
        at += 40
        assert time.monotonic() < deadline
    assert [each["ended"] for each in gone] == ["stale"]
    assert [each["skips"] for each in list_clients(worker)] == [0]
    stalled.close()
    honest.close()
    assert worker.close() == 0
    air.close()


def test_the_token_opens_the_stream_and_its_end_ends_it(air: Air, tmp_path: Path) -> None:
    worker = MediaProcess(tmp_path / "hls", access="token", token="the-daemons-own")
    worker.watch(air)
    worker.wire.send("viewers", keys=[[digest_of("guest"), None]])
    air.publish(0, 31)
    worker.wait_for("audience", clients=0)
    assert [Player(worker, query, method=method).answer.status for query in ("", "?token=x") for method in ("GET", "HEAD")] == [403] * 4
    by_header = Player(worker, headers="Authorization: Bearer the-daemons-own\r\n")
    by_query = Player(worker, "?token=guest")
    assert by_header.read(188)[0] == by_query.read(188)[0] == 0x47
    worker.wire.send("viewers", keys=[])
    gone = worker.wait_for("audience", clients=1).values["gone"]
    assert [each["ended"] for each in gone] == ["denied"]
    by_query.read(1 << 30)  # to its end
    air.publish(31, 32)
    assert by_header.read(188)[0] == 0x47
    by_header.close()
    assert worker.close() == 0


def test_the_stream_behind_tls_is_the_same(air: Air, stream: list[bytes], tmp_path: Path) -> None:
    """With one that stalls beside it: what a transport holds for it is bounded, and it is dropped."""
    worker = MediaProcess(tmp_path / "hls", tls=make_certificate(tmp_path / "tls", "one"), limits={"stale_s": 1})
    worker.watch(air)
    air.publish(0, 33)
    worker.wait_for("audience", clients=0)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ends = [context.wrap_socket(socket.create_connection(("127.0.0.1", worker.port), DEADLINE_S)) for _ in range(2)]
    for end in ends:
        end.sendall(b"GET /ts/one HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = http.client.HTTPResponse(ends[0])
    answer.begin()
    at, wanted = 33, b"".join(stream[30:33])
    assert answer.read(len(wanted)) == wanted
    deadline = time.monotonic() + DEADLINE_S
    while not (gone := worker.wait_for("audience").values["gone"]):
        air.publish(at, at + 40)
        wanted = b"".join(stream[number % len(stream)] for number in range(at, at + 40))
        assert answer.read(len(wanted)) == wanted
        at += 40
        assert time.monotonic() < deadline
    assert [each["ended"] for each in gone] == ["stale"]
    answer.close()
    for end in ends:
        end.close()
    worker.wait_for("audience", clients=0)
    assert worker.close() == 0
