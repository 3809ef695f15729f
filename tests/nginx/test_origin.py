"""The delivered RTMP origin, run for real: what it serves, and whom it refuses."""

import os
import re
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from nginx_origin import NginxOrigin, wait_until

Push = Callable[[str], "subprocess.Popen[bytes]"]


def discontinuities(origin: NginxOrigin, name: str) -> list[str]:
    """Segments that a discontinuity stands before; the muxer writes one at each beginning of a publisher, the first too."""
    return re.findall(r"#EXT-X-DISCONTINUITY\n(?:#.*\n)*([^#\n]+)", origin.manifest(name) or "")


def test_two_channels_pushed_to_one_application_come_out_as_two_playlists(nginx_rtmp: NginxOrigin, push: Push, ffmpeg: str) -> None:
    push(nginx_rtmp.rtmp_url("one"))
    push(nginx_rtmp.rtmp_url("two"))
    for name in ("one", "two"):
        segments = nginx_rtmp.wait_for_segments(name, 2)
        answer = httpx.get(nginx_rtmp.hls_url(name).replace("index.m3u8", segments[0]))
        decoded = subprocess.run(
            [ffmpeg, "-v", "error", "-f", "mpegts", "-i", "-", "-map", "0:v", "-map", "0:a", "-f", "null", "-"],
            input=answer.content,
            capture_output=True,
            check=True,
        )
        assert decoded.stderr == b""
        assert discontinuities(nginx_rtmp, name) == [segments[0]]


def test_manifest_and_segments_carry_their_types_and_what_caches_and_browsers_need(nginx_rtmp: NginxOrigin, push: Push) -> None:
    push(nginx_rtmp.rtmp_url("live1"))
    segment_name = nginx_rtmp.wait_for_segments("live1")[0]
    manifest = httpx.get(nginx_rtmp.hls_url("live1"))
    segment = httpx.get(nginx_rtmp.hls_url("live1").replace("index.m3u8", segment_name))
    assert manifest.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert manifest.headers["cache-control"] == "no-cache"
    assert segment.headers["content-type"] == "video/mp2t"
    assert segment.headers["cache-control"] == "public, max-age=60"
    assert {answer.headers["access-control-allow-origin"] for answer in (manifest, segment)} == {"*"}
    unchanged = httpx.get(str(segment.url), headers={"If-None-Match": segment.headers["etag"]})
    assert unchanged.status_code == 304


def test_segments_that_arrive_in_one_burst_have_each_its_own_name_and_content(
    nginx_rtmp: NginxOrigin, ffmpeg: str, house_clip: Path
) -> None:
    """A push begins with some seconds at once, and one that was stalled sends its backlog."""
    source = ["-nostdin", "-v", "error", "-stream_loop", "1", "-i", str(house_clip), "-c", "copy", "-f", "flv"]
    subprocess.run([ffmpeg, *source, nginx_rtmp.rtmp_url("live1")], check=True, timeout=30)
    names = nginx_rtmp.wait_for_segments("live1", 6)
    contents = {httpx.get(nginx_rtmp.hls_url("live1").replace("index.m3u8", name)).content for name in names}
    assert len(contents) == len(names) == len(set(names))


def test_no_answer_is_given_outside_of_the_manifest_and_its_segments(nginx_rtmp: NginxOrigin) -> None:
    nginx_rtmp.hls_dir("live1").mkdir()
    (nginx_rtmp.hls_dir("live1") / "1.ts").symlink_to(nginx_rtmp.config)
    (nginx_rtmp.hls_dir("live1") / "index.m3u8.bak").write_text("a partial manifest")
    base = f"http://127.0.0.1:{nginx_rtmp.http_port}"
    for path in ("/", "/hls/", "/hls/live1/", "/hls/live1/index.m3u8.bak", "/nginx.conf", "/stat", "/control/drop/publisher"):
        assert httpx.get(base + path).status_code == 404, path
    assert httpx.get(base + "/hls/%2e%2e/%2e%2e/nginx.conf").status_code in (400, 404)
    missing = httpx.get(base + "/hls/live1/99.ts")
    assert missing.status_code == 404
    assert "cache-control" not in missing.headers
    assert httpx.post(base + "/hls/live1/index.m3u8").status_code == 403


def test_a_manifest_that_is_a_link_to_another_owners_file_is_not_followed(nginx_rtmp: NginxOrigin) -> None:
    """disable_symlinks if_not_owner; only root can make the other owner, so others see it skipped."""
    target = nginx_rtmp.prefix / "elsewhere"
    target.write_text("not for viewers")
    folder = nginx_rtmp.hls_dir("live1")
    folder.mkdir()
    (folder / "7.ts").symlink_to(target)
    try:
        os.chown(target, 65534, 65534)
    except PermissionError:
        pytest.skip("needs root to give a file away")
    assert httpx.get(nginx_rtmp.hls_url("live1").replace("index.m3u8", "7.ts")).status_code == 403


def test_a_second_publisher_of_a_name_is_refused_and_the_first_goes_on(nginx_rtmp: NginxOrigin, push: Push) -> None:
    first = push(nginx_rtmp.rtmp_url("live1"))
    before = nginx_rtmp.wait_for_segments("live1", 2)
    second = push(nginx_rtmp.rtmp_url("live1"))
    _, complaint = second.communicate(timeout=20)
    assert second.returncode != 0
    assert b"Already publishing" in complaint
    wait_until(lambda: nginx_rtmp.segments("live1")[-1] not in before, what="a further segment of the first publisher")
    assert first.poll() is None
    assert discontinuities(nginx_rtmp, "live1") == [before[0]]


def test_dropping_a_publisher_by_control_frees_its_name_at_once(nginx_rtmp: NginxOrigin, push: Push) -> None:
    first = push(nginx_rtmp.rtmp_url("live1"))
    nginx_rtmp.wait_for_segments("live1")
    dropped = httpx.get(nginx_rtmp.control_url("control/drop/publisher?app=live&name=live1"))
    assert (dropped.status_code, dropped.text) == (200, "1")
    first.communicate(timeout=20)
    before = nginx_rtmp.segments("live1")
    second = push(nginx_rtmp.rtmp_url("live1"))
    wait_until(lambda: nginx_rtmp.segments("live1")[-1] not in before, what="a segment of the next publisher")
    assert second.poll() is None
    republished = nginx_rtmp.segments("live1")[len(before)]
    assert discontinuities(nginx_rtmp, "live1") == [before[0], republished]


def test_a_publisher_that_falls_silent_loses_its_name_within_seconds(nginx_rtmp: NginxOrigin, push: Push) -> None:
    """drop_idle_publisher: a publisher that hangs keeps its connection open, and yet the next one gets the name."""
    first = push(nginx_rtmp.rtmp_url("live1"))
    nginx_rtmp.wait_for_segments("live1")
    first.send_signal(signal.SIGSTOP)

    def is_free() -> bool:
        return b"<publishing/>" not in httpx.get(nginx_rtmp.control_url("stat")).content

    wait_until(is_free, what="the silent publisher to be dropped", timeout_s=20)
    before = nginx_rtmp.segments("live1")
    second = push(nginx_rtmp.rtmp_url("live1"))
    wait_until(lambda: nginx_rtmp.segments("live1")[-1] not in before, what="a segment of the next publisher")
    assert second.poll() is None


def test_statistics_and_control_refuse_foreign_names_and_foreign_pages(nginx_rtmp: NginxOrigin) -> None:
    assert httpx.get(nginx_rtmp.control_url("stat")).headers["content-type"] == "text/xml"
    assert httpx.get(nginx_rtmp.control_url("stat"), headers={"Host": "evil.example"}).status_code == 403
    cross = httpx.get(nginx_rtmp.control_url("control/drop/publisher?app=live&name=x"), headers={"Sec-Fetch-Site": "cross-site"})
    assert cross.status_code == 403


class Detour(threading.Thread):
    """Carries one TCP connection to a port of 127.0.0.1 from another source address, as a remote machine has one."""

    def __init__(self, port: int, source: str) -> None:
        super().__init__(name="detour", daemon=True)
        self._port, self._source = port, source
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def run(self) -> None:
        with self._listener, socket.socket() as onward:
            inward, _ = self._listener.accept()
            onward.bind((self._source, 0))
            onward.connect(("127.0.0.1", self._port))
            with inward:
                self._carry(inward, onward)

    @staticmethod
    def _carry(inward: socket.socket, onward: socket.socket) -> None:
        other = {inward: onward, onward: inward}
        while True:
            for end in select.select(list(other), [], [])[0]:
                try:
                    received = end.recv(65536)
                    other[end].sendall(received)
                except OSError:
                    return
                if not received:
                    return


@pytest.fixture
def detour(nginx_rtmp: NginxOrigin) -> Iterator[Detour]:
    """A way into RTMP from 127.0.0.2, an address that is not the publishers' one."""
    thread = Detour(nginx_rtmp.rtmp_port, "127.0.0.2")
    thread.start()
    yield thread
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_nobody_publishes_from_another_address(nginx_rtmp: NginxOrigin, detour: Detour, push: Push) -> None:
    refused = push(f"rtmp://127.0.0.1:{detour.port}/live/live1")
    refused.communicate(timeout=20)
    assert refused.returncode != 0
    assert nginx_rtmp.manifest("live1") is None
    assert "access forbidden by rule" in nginx_rtmp.error_log.read_text()


def test_an_origin_that_was_killed_goes_on_with_its_sequence(nginx_rtmp: NginxOrigin, push: Push) -> None:
    push(nginx_rtmp.rtmp_url("live1"))
    before = nginx_rtmp.wait_for_segments("live1", 3)
    nginx_rtmp.crash()
    nginx_rtmp.start()
    assert nginx_rtmp.segments("live1")[0] == before[0]
    push(nginx_rtmp.rtmp_url("live1"))
    wait_until(lambda: nginx_rtmp.segments("live1")[-1] not in before, what="a segment after the crash")
    assert nginx_rtmp.segments("live1")[: len(before)] == before


def test_a_reload_keeps_the_instance(nginx_rtmp: NginxOrigin) -> None:
    master, workers = nginx_rtmp.pid, set(nginx_rtmp.worker_pids())
    nginx_rtmp.reload()
    wait_until(lambda: not workers & set(nginx_rtmp.worker_pids()), what="new workers")
    assert nginx_rtmp.pid == master
    assert httpx.get(nginx_rtmp.control_url("stat")).status_code == 200


def test_every_directive_of_a_known_trap_is_set(repository: Path) -> None:
    text = (repository / "nginx" / "channeld-rtmp.conf").read_text()
    plain = re.sub(r"#.*", "", text)
    wanted = [
        "worker_processes 1;",
        "rtmp_auto_push off;",
        "drop_idle_publisher 6s;",
        "publish_time_fix on;",
        "hls_max_fragment",
        "deny publish all;",
    ]
    assert [directive for directive in wanted if directive not in plain] == []
    assert not re.search(r"\b(exec\w*|on_\w+|push|pull)\s", plain)
