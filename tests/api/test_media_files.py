"""What a viewer may fetch, how caches are served, and that there is no way out of the folder: over real sockets."""

import asyncio
import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import httpx
import pytest

from channeld.api import media_server
from channeld.api.media_app import Access, MediaRoutes, Nobody
from channeld.api.media_files import Folder
from channeld.api.media_server import MediaServer, listen, server_config
from channeld.outputs.http_ts import Limits

DEADLINE_S = 30
SEGMENT = "/hls/one/segment-0000000001.ts"
BODY = os.urandom(188 * 4000)


class Listening(Nobody):
    """Keeps what is watched."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def watched(self, channel: str) -> None:
        self.heard.append(channel)


class Site:
    """The routes on a port, served by a loop in a thread."""

    def __init__(self, hls_dir: Path) -> None:
        self._folder = Folder(hls_dir)
        self._listener = listen("127.0.0.1", 0, reuse_port=False)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        ready: Future[None] = Future()
        self.witness = Listening()
        application = MediaRoutes(self._folder, {}, Access(), Limits(), self.witness).application()
        self._server = MediaServer(server_config(application, None), lambda: ready.set_result(None))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([self._listener])))
        self._thread.start()
        ready.result(DEADLINE_S)

    def raw(self, request: bytes) -> bytes:
        """The whole answer to bytes as they are, until the server closes; empty where it resets the connection, at whatever point."""
        answer = b""
        with (
            contextlib.suppress(ConnectionResetError, BrokenPipeError),
            socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as end,
        ):
            end.sendall(request)
            while chunk := end.recv(65536):
                answer += chunk
        return answer

    def status(self, path: bytes) -> bytes:
        """Status of a GET for a path that no client library would send."""
        return self.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[9:12]

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(DEADLINE_S)
        self._listener.close()
        self._folder.close()


@pytest.fixture
def hls_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "hls"
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "segment-0000000001.ts").write_bytes(BODY)
    (folder / "one" / "index.m3u8").write_text("#EXTM3U\nsegment-0000000001.ts\n")
    return folder


@pytest.fixture
def site(hls_dir: Path) -> Iterator[Site]:
    made = Site(hls_dir)
    yield made
    made.close()


def test_a_manifest_is_typed_and_briefly_cached(site: Site) -> None:
    answer = httpx.get(f"{site.url}/hls/one/index.m3u8")
    assert (answer.status_code, answer.text) == (200, "#EXTM3U\nsegment-0000000001.ts\n")
    assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert answer.headers["cache-control"] == "max-age=1"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_segment_is_typed_and_immutable(site: Site) -> None:
    answer = httpx.get(site.url + SEGMENT)
    assert answer.content == BODY
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("video/mp2t", "max-age=3600, immutable")
    assert answer.headers["content-length"] == str(len(BODY))
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/hls/one/index.m3u8", SEGMENT])
def test_conditional_requests_save_the_body(site: Site, path: str) -> None:
    first = httpx.get(site.url + path)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    for known in ({"if-none-match": etag}, {"if-none-match": f'"x", W/{etag}'}, {"if-none-match": "*"}, {"if-modified-since": modified}):
        answer = httpx.get(site.url + path, headers=known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    for stale in (
        {"if-none-match": '"x"'},
        {"if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"if-modified-since": "soon"},
        {"if-none-match": '"x"', "if-modified-since": modified},
    ):
        assert httpx.get(site.url + path, headers=stale).status_code == 200


def test_head_says_what_get_would(site: Site) -> None:
    for path in ("/hls/one/index.m3u8", SEGMENT, "/healthz"):
        head, get = httpx.head(site.url + path), httpx.get(site.url + path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type"):
            assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-187", 0, 188), ("bytes=188-", 188, len(BODY)), ("bytes=-10", len(BODY) - 10, len(BODY)), ("bytes=5-99999999", 5, len(BODY))],
)
def test_a_range_is_answered_with_exactly_its_bytes(site: Site, wanted: str, start: int, end: int) -> None:
    answer = httpx.get(site.url + SEGMENT, headers={"range": wanted})
    assert (answer.status_code, answer.content) == (206, BODY[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BODY)}"


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=5-4", "bytes=-0"])
def test_a_range_outside_of_the_file_is_refused(site: Site, wanted: str) -> None:
    answer = httpx.get(site.url + SEGMENT, headers={"range": wanted})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(BODY)}")


@pytest.mark.parametrize("headers", [{"range": "bytes=0-1,5-6"}, {"range": "lines=1-2"}, {"range": "bytes=0-1", "if-range": '"old"'}])
def test_other_ranges_get_the_whole_file(site: Site, headers: dict[str, str]) -> None:
    answer = httpx.get(site.url + SEGMENT, headers=headers)
    assert (answer.status_code, answer.content) == (200, BODY)


def test_browsers_may_ask_from_anywhere(site: Site) -> None:
    for path in ("/hls/one/index.m3u8", SEGMENT, "/ts/one", "/healthz"):
        answer = httpx.options(site.url + path, headers={"origin": "https://x.example", "access-control-request-method": "GET"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")
        assert "Range" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    assert httpx.request(method, site.url + SEGMENT).status_code == 405


ESCAPES = [
    b"/hls/one/../../etc/passwd",
    b"/hls/../one/index.m3u8",
    b"/hls/one/%2e%2e/%2e%2e/secret.ts",
    b"/hls/%2e%2e/index.m3u8",
    b"/hls/one%2f..%2f../index.m3u8",
    b"/hls/one/..%2fsecret.ts",
    b"/hls/one/segment-0000000001.ts%00",
    b"/hls/one/segment-0000000001.ts%0a",
    b"/hls/one%00/index.m3u8",
    b"/hls//etc/passwd",
    b"/hls/one/",
    b"/hls/one",
    b"/hls/one/.",
    b"/hls/one/segment-1.ts",
    b"/hls/one/segment-0000000001.ts.tmp",
    b"/hls/one/segment-000000000\xd9\xa1.ts",
    b"/hls/two/index.m3u8",
    b"/etc/passwd",
    b"/",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_there_is_no_way_out_of_the_folder(site: Site, hls_dir: Path, path: bytes) -> None:
    (hls_dir.parent / "secret.ts").write_bytes(b"secret")
    (hls_dir.parent / "index.m3u8").write_bytes(b"secret")
    (hls_dir / "one" / "segment-0000000001.ts.tmp").write_bytes(b"secret")
    assert site.status(path) in (b"404", b"400")


def test_links_devices_and_folders_are_not_followed(site: Site, hls_dir: Path) -> None:
    secret = hls_dir.parent / "elsewhere"
    secret.mkdir()
    (secret / "index.m3u8").write_bytes(b"secret")
    (hls_dir / "linked").symlink_to(secret)
    (hls_dir / "one" / "segment-0000000002.ts").symlink_to(secret / "index.m3u8")
    (hls_dir / "one" / "segment-0000000003.ts").symlink_to("/dev/zero")
    (hls_dir / "one" / "segment-0000000004.ts").mkdir()
    os.mkfifo(hls_dir / "one" / "segment-0000000005.ts")
    paths = ["/hls/linked/index.m3u8", *(f"/hls/one/segment-{number:010d}.ts" for number in range(2, 6))]
    assert [httpx.get(site.url + path).status_code for path in paths] == [404] * 5


def test_a_head_that_grows_too_long_costs_the_connection(site: Site) -> None:
    assert site.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000) == b""
    assert site.raw(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n") == b""
    assert site.status(b"/healthz") == b"200"


def test_a_next_head_that_grows_while_an_answer_waits_costs_the_connection(site: Site, hls_dir: Path) -> None:
    """Else whoever takes nothing of a large answer could fill the worker's memory meanwhile."""
    (hls_dir / "one" / "segment-0000000001.ts").write_bytes(b"G" * 32_000_000)
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end.connect(("127.0.0.1", site.port))
        end.settimeout(DEADLINE_S)
        end.sendall(b"GET /hls/one/segment-0000000001.ts HTTP/1.1\r\nHost: x\r\n\r\n")
        assert end.recv(12) == b"HTTP/1.1 200"
        end.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(1000):
                end.sendall(b"a:b\r\n" * 1000)
    assert site.status(b"/healthz") == b"200"


def test_a_head_that_does_not_end_costs_the_connection(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_server, "HEAD_TIMEOUT_S", 0.05)
    assert site.raw(b"") == b""
    assert site.raw(b"GET /healthz HTTP/1.1\r\nHost:") == b""
    with socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE_S) as end:
        end.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert end.recv(4096).startswith(b"HTTP/1.1 200 OK")
        end.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        with pytest.raises(ConnectionResetError):
            while end.recv(4096):  # the rest of the first answer, then the reset
                pass


def test_whoever_only_looks_whether_it_is_there_watches_nothing(site: Site) -> None:
    assert httpx.head(site.url + SEGMENT).status_code == 200
    assert httpx.get(f"{site.url}/hls/one/segment-0000000002.ts").status_code == 404
    assert httpx.get(f"{site.url}/ts/one").status_code == 404
    assert site.witness.heard == []
    assert httpx.get(site.url + SEGMENT).status_code == 200
    assert site.witness.heard == ["one"]


def test_one_address_does_not_take_all_connections(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_server, "MAX_CONNECTIONS_EACH", 2)
    with socket.create_connection(("127.0.0.1", site.port)), socket.create_connection(("127.0.0.1", site.port)):
        assert site.status(b"/healthz") == b"200", "loopback has no limit"
    monkeypatch.setattr(media_server, "is_loopback", lambda address: False)
    ends = [socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE_S) for _ in range(2)]
    try:
        for end in ends:
            end.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert end.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert site.status(b"/healthz") == b""
    finally:
        for end in ends:
            end.close()
    deadline_s = time.monotonic() + DEADLINE_S
    while (answer := site.status(b"/healthz")) != b"200":
        assert time.monotonic() < deadline_s, answer


def test_a_viewer_that_takes_nothing_is_cut_off(site: Site, hls_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment larger than any socket buffer: the connection is reset instead of being held for ever."""
    monkeypatch.setattr(media_server, "STALL_TIMEOUT_S", 0.05)
    with (hls_dir / "one" / "segment-0000000009.ts").open("wb") as large:
        large.truncate(64 << 20)
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end.settimeout(DEADLINE_S)
        end.connect(("127.0.0.1", site.port))
        end.sendall(b"GET /hls/one/segment-0000000009.ts HTTP/1.1\r\nHost: x\r\n\r\n")
        poller = select.poll()
        poller.register(end, 0)  # POLLERR and POLLHUP only: what arrives is not read
        assert poller.poll(DEADLINE_S * 1000)


def test_a_relay_is_its_channel_under_an_address_of_its_own(site: Site, hls_dir: Path) -> None:
    (hls_dir / "one").rename(hls_dir / "relay-7")
    place = f"{site.url}/api/v1/relay/7"
    playlist = httpx.get(f"{place}/playlist.m3u8")
    assert (playlist.status_code, playlist.text) == (200, "#EXTM3U\nsegments/segment-0000000001.ts\n")
    assert playlist.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert httpx.get(f"{place}/segments/segment-0000000001.ts").content == BODY
    assert httpx.get(f"{place}/hls/index.m3u8").text == "#EXTM3U\nsegment-0000000001.ts\n"
    assert httpx.get(f"{place}/hls/segment-0000000001.ts", headers={"range": "bytes=0-187"}).content == BODY[:188]
    assert httpx.options(f"{place}/stream.ts").status_code == 204


@pytest.mark.parametrize("number", ["0", "07", "8", "x", "9" * 5000, "%2e%2e", "-7"])
def test_a_relay_that_is_not_there_is_not_found(site: Site, hls_dir: Path, number: str) -> None:
    (hls_dir / "one").rename(hls_dir / "relay-7")
    for name in ("playlist.m3u8", "segments/segment-0000000001.ts", "hls/index.m3u8", "stream.ts"):
        assert httpx.get(f"{site.url}/api/v1/relay/{number}/{name}").status_code == 404
    assert site.status(b"/api/v1/relay/7/segments/..%2f..%2fone") == b"404"
