"""The edge-cache example in front of a real HTTP origin that counts what reaches it."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from nginx_origin import listens, missing_parts, nginx_program, wait_until

FRAME = """daemon off; worker_processes 1; pid {prefix}/pid;
{user}
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {prefix}/t1; proxy_temp_path {prefix}/t2; fastcgi_temp_path {prefix}/t3;
    uwsgi_temp_path {prefix}/t4; scgi_temp_path {prefix}/t5;
    include {prefix}/edge-cache.conf;
}}
"""


class CountingOrigin(ThreadingHTTPServer):
    """An origin that answers with the path asked for, as channeld does for HLS, and keeps the list of requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OriginHandler)
        self.asked: list[str] = []
        self.named: list[tuple[str | None, str | None]] = []
        """Host and scheme by which each was asked."""
        self.may_answer = threading.Event()
        self.may_answer.set()


class OriginHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingOrigin

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.named.append((self.headers["Host"], self.headers["X-Forwarded-Proto"]))
        self.server.may_answer.wait(timeout=20)
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache" if self.path.endswith("m3u8") else "max-age=60")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: what was asked is in `asked`."""


@pytest.fixture
def origin() -> Iterator[CountingOrigin]:
    server = CountingOrigin()
    thread = threading.Thread(target=server.serve_forever, name="origin", daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


@pytest.fixture
def edge(repository: Path, tmp_path: Path, origin: CountingOrigin, free_port: Callable[[], int]) -> Iterator[str]:
    """An nginx with the example, pointed to the origin; gives its address."""
    program = nginx_program()
    if program is None:
        pytest.skip(f"missing on this machine: {missing_parts()}")
    port = free_port()
    example = (repository / "nginx" / "edge-cache.conf").read_text()
    example = example.replace("127.0.0.1:8090", f"127.0.0.1:{origin.server_port}").replace("listen 8081", f"listen 127.0.0.1:{port}")
    (tmp_path / "edge-cache.conf").write_text(example.replace("/var/cache/nginx/channeld", str(tmp_path / "cache")))
    user = "user root;" if tmp_path.stat().st_uid == 0 else ""
    (tmp_path / "nginx.conf").write_text(FRAME.format(prefix=tmp_path, user=user))
    command = [program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: listens(port), what="the edge to listen")
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=10)


def test_many_viewers_of_a_new_segment_cost_the_origin_one_request(edge: str, origin: CountingOrigin) -> None:
    origin.may_answer.clear()
    with ThreadPoolExecutor(16) as viewers:
        answers = [viewers.submit(httpx.get, f"{edge}/hls/live1/7.ts", timeout=20) for _ in range(16)]
        wait_until(lambda: origin.asked, what="the first request to reach the origin")
        origin.may_answer.set()
        assert {answer.result().text for answer in answers} == {"/hls/live1/7.ts"}
    assert origin.asked == ["/hls/live1/7.ts"]


def test_a_manifest_is_cached_for_a_moment_only(edge: str, origin: CountingOrigin) -> None:
    address = f"{edge}/hls/live1/index.m3u8"
    assert httpx.get(address).headers["x-cache"] == "MISS"
    wait_until(lambda: httpx.get(address).headers["x-cache"] == "HIT" or len(origin.asked) > 1, what="the cached manifest")
    wait_until(lambda: httpx.get(address) and len(origin.asked) >= 3, what="the manifest to be asked for again", timeout_s=20)


def test_one_viewers_token_opens_nothing_for_another(edge: str, origin: CountingOrigin) -> None:
    httpx.get(f"{edge}/hls/live1/7.ts?token=right")
    httpx.get(f"{edge}/hls/live1/7.ts?token=wrong")
    assert origin.asked == ["/hls/live1/7.ts?token=right", "/hls/live1/7.ts?token=wrong"]


def test_only_hls_and_the_guide_pass_the_edge(edge: str, origin: CountingOrigin) -> None:
    for path in ("/", "/api/v1/channels", "/metrics", "/ts/live1"):
        assert httpx.get(edge + path).status_code == 404
    assert origin.asked == []


def test_the_list_of_channels_is_asked_for_by_the_name_that_each_viewer_used(edge: str, origin: CountingOrigin) -> None:
    authority = edge.removeprefix("http://")
    assert httpx.get(f"{edge}/channels.m3u").text == "/channels.m3u"
    assert httpx.get(f"{edge}/channels.m3u", headers={"Host": "tv.example:81"}).text == "/channels.m3u"
    assert origin.named == [(authority, "http"), ("tv.example:81", "http")]


def test_a_guide_that_many_ask_for_is_loaded_once(edge: str, origin: CountingOrigin) -> None:
    for _ in range(5):
        assert httpx.get(f"{edge}/guide.xml").text == "/guide.xml"
    assert 1 <= len(origin.asked) <= 2  # two where this machine takes five seconds for it
