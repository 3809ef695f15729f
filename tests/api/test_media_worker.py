"""The media worker as its viewers and control see it: a real process, real rings, real HTTP, judged by ffprobe."""

import http.client
import signal
import socket
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import httpx
import pytest
from judge.hls import Manifest, manifest_faults, parse_manifest
from judge.ts import FFMPEG_FILE, read_ts
from media_process import DEADLINE_S, Air, MediaProcess

from channeld.access.secret import digest_of

MANIFEST = "/hls/one/index.m3u8"


def manifest_of(worker: MediaProcess, query: str = "") -> Manifest:
    return parse_manifest(httpx.get(worker.url + MANIFEST + query).text)


def segments_of(worker: MediaProcess, manifest: Manifest) -> list[bytes]:
    answers = [httpx.get(f"{worker.url}/hls/one/{segment.uri}") for segment in manifest.segments]
    assert {answer.status_code for answer in answers} <= {200}
    return [answer.content for answer in answers]


def decode_errors(content: bytes, path: Path, ffmpeg: str) -> str:
    path.write_bytes(content)
    line = [ffmpeg, "-nostdin", "-v", "warning", "-i", str(path), "-f", "null", "-"]
    return subprocess.run(line, check=True, capture_output=True, text=True, timeout=60).stderr


def test_what_is_published_is_served_whole_and_decodes(
    worker: MediaProcess, air: Air, stream: list[bytes], tmp_path: Path, ffmpeg: str
) -> None:
    """12 s on air, cut into 2 s: the three listed segments are the ring's bytes, and no judge finds fault with them."""
    worker.watch(air)
    air.publish(0, 61)
    progress = worker.wait_for("progress", output="hls", media_sequence=5)
    assert progress.values["channel"] == "one"
    manifest = manifest_of(worker)
    assert manifest_faults(manifest) == []
    assert [segment.sequence for segment in manifest.segments] == [3, 4, 5]
    assert {segment.duration_s for segment in manifest.segments} == {Fraction(2)}
    segments = segments_of(worker, manifest)
    assert b"".join(segments) == b"".join(stream[30:60])
    report = read_ts(b"".join(segments), fps=Fraction(25), allowances=FFMPEG_FILE)
    assert report.counters[256].faults == report.counters[257].faults == ()
    assert decode_errors(b"".join(segments), tmp_path / "joined.ts", ffmpeg) == ""
    assert decode_errors(segments[1], tmp_path / "alone.ts", ffmpeg) == ""


def test_another_cap_counts_from_the_next_segment_on(worker: MediaProcess, air: Air) -> None:
    worker.watch(air)
    air.publish(0, 61)
    worker.wait_for("progress", media_sequence=5)
    worker.wire.send("cap", max_bytes=1000)
    air.publish(61, 75)
    told = worker.wait_for("cap", is_over=True).values
    assert told["max_bytes"] == 1000 < told["total_bytes"]


def test_ffprobe_reads_the_manifest_over_http(worker: MediaProcess, air: Air) -> None:
    worker.watch(air)
    air.publish(0, 61)
    worker.wait_for("progress", media_sequence=5)
    line = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", worker.url + MANIFEST]
    found = subprocess.run(line, check=True, capture_output=True, text=True, timeout=60)
    assert sorted(set(found.stdout.split())) == ["aac", "h264"]


def test_a_killed_worker_goes_on_without_a_joint_or_a_loss(air: Air, stream: list[bytes], tmp_path: Path) -> None:
    """SIGKILL in the middle of a segment; the channel goes on; the ring still holds what was missed."""
    first = MediaProcess(tmp_path / "hls")
    first.watch(air)
    air.publish(0, 37)
    first.wait_for("progress", media_sequence=2)
    first.kill()
    air.publish(37, 58)
    second = MediaProcess(tmp_path / "hls")
    second.watch(air)
    air.publish(58, 61)
    second.wait_for("progress", media_sequence=5)
    manifest = manifest_of(second)
    assert manifest_faults(manifest) == []
    assert [segment.discontinuity for segment in manifest.segments] == [False, False, False]
    assert b"".join(segments_of(second, manifest)) == b"".join(stream[30:60])
    assert second.close() == 0


def test_a_new_generation_of_the_ring_goes_on_without_a_joint(worker: MediaProcess, air: Air, stream: list[bytes]) -> None:
    worker.watch(air)
    air.publish(0, 37)
    worker.wait_for("progress", media_sequence=2)
    successor = Air(stream, ring_id=2)
    successor.publish(20, 40)  # the new host's copy of the tail, and more
    worker.watch(successor)
    successor.publish(40, 61)
    worker.wait_for("progress", media_sequence=5)
    manifest = manifest_of(worker)
    assert not any(segment.discontinuity for segment in manifest.segments)
    assert b"".join(segments_of(worker, manifest)) == b"".join(stream[30:60])
    successor.close()


def test_another_timeline_is_one_discontinuity_and_the_sequence_goes_on(worker: MediaProcess, air: Air, stream: list[bytes]) -> None:
    worker.watch(air)
    air.publish(0, 31)
    worker.wait_for("progress", media_sequence=2)
    restarted = Air(stream, ring_id=2, timeline="t2")
    restarted.publish(0, 21)
    worker.watch(restarted)
    worker.wait_for("progress", media_sequence=5)
    manifest = manifest_of(worker)
    assert manifest.syntax == ()
    assert [segment.sequence for segment in manifest.segments if segment.discontinuity] == [4]
    restarted.close()


def test_a_file_in_place_of_the_folder_fails_that_output_until_the_folder_is_back(
    worker: MediaProcess, air: Air, stream: list[bytes], tmp_path: Path
) -> None:
    worker.watch(air)
    air.publish(0, 31)
    worker.wait_for("progress", media_sequence=2)
    folder = tmp_path / "hls" / "one"
    folder.rename(tmp_path / "aside")
    folder.touch()
    air.publish(31, 45)
    assert worker.wait_for("failed", channel="one", output="hls").values["error"] == "Not a directory"
    folder.unlink()
    (tmp_path / "aside").rename(folder)
    worker.wait_for("recovered", channel="one", output="hls")
    air.publish(45, 61)
    worker.wait_for("progress", media_sequence=5)
    manifest = manifest_of(worker)
    assert not any(segment.discontinuity for segment in manifest.segments)
    assert b"".join(segments_of(worker, manifest)) == b"".join(stream[30:60])


def test_the_endless_stream_begins_at_a_random_access_point_and_goes_on(worker: MediaProcess, air: Air, stream: list[bytes]) -> None:
    worker.watch(air)
    air.publish(0, 33)
    worker.wait_for("progress", media_sequence=2)
    wanted = b"".join(stream[30:50])
    received = b""
    with httpx.stream("GET", f"{worker.url}/ts/one", timeout=DEADLINE_S) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp2t")
        for chunk in answer.iter_raw():
            received += chunk
            if len(received) == len(b"".join(stream[30:33])):
                air.publish(33, 50)
            if len(received) >= len(wanted):
                break
    assert received == wanted


def test_viewers_of_the_endless_stream_are_counted(worker: MediaProcess, air: Air) -> None:
    worker.watch(air)
    air.publish(0, 33)
    with httpx.stream("GET", f"{worker.url}/ts/one", timeout=DEADLINE_S) as answer:
        chunks = answer.iter_raw()
        assert next(chunks)
        assert worker.wait_for("audience", output="ts", clients=1).values["bytes"] > 0
    worker.wait_for("audience", output="ts", clients=0)


def test_a_viewer_that_reads_nothing_holds_up_nobody(worker: MediaProcess, stream: list[bytes]) -> None:
    """Its socket stays full while the ring laps several times; HLS goes on, and so does the viewer, in whole packets, to the end."""
    air = Air(stream, capacity_bytes=2 << 20)
    worker.watch(air)
    air.publish(0, 11)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(DEADLINE_S)
        slow.connect(("127.0.0.1", worker.port))
        slow.sendall(b"GET /ts/one HTTP/1.1\r\nHost: x\r\n\r\n")
        for turn in range(1, 31):
            air.publish(turn * 40 - 29, turn * 40 + 11)
            worker.wait_for("progress", output="hls", media_sequence=turn * 4)
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        body = b""
        while not body.endswith(stream[1210 % len(stream)]):
            body += answer.read1(65536)
    assert len(body) % 188 == 0
    assert {body[at] for at in range(0, len(body), 188)} == {0x47}
    air.close()


def test_control_hears_that_the_worker_lives(worker: MediaProcess) -> None:
    worker.wait_for("alive")
    assert httpx.get(f"{worker.url}/healthz").json() == {"status": "ok", "channels": 0}


def test_a_removed_channel_is_published_no_more_and_its_files_stay(worker: MediaProcess, air: Air) -> None:
    worker.watch(air)
    air.publish(0, 31)
    worker.wait_for("progress", media_sequence=2)
    worker.wire.send("remove", channel="one")
    deadline = time.monotonic() + DEADLINE_S
    while httpx.get(f"{worker.url}/ts/one", timeout=DEADLINE_S).status_code != 404:
        assert time.monotonic() < deadline
    assert len(manifest_of(worker).segments) == 3


def test_wrong_messages_are_answered_and_change_nothing(worker: MediaProcess, air: Air, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as no_ring:
        outputs = [{"name": "hls", "type": "hls", "segment_seconds": 2, "window": 3}]
        worker.wire.send("channel", (no_ring.fileno(),), channel="one", ring_id=1, host=0, outputs=outputs)
    worker.wait_for("failed", channel="one", output=None)
    worker.wire.send("channel", channel="../one", ring_id=1, host=0, outputs=[])
    assert "channel id" in worker.wait_for("failed", channel="../one").values["error"]
    worker.wire.send("nonsense")
    worker.wait_for("failed")
    worker.watch(air)
    air.publish(0, 31)
    worker.wait_for("progress", media_sequence=2)


def test_the_end_of_the_wire_ends_the_worker(worker: MediaProcess) -> None:
    worker.wire.close()
    assert worker.child.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_worker_cleanly_even_with_viewers(worker: MediaProcess, air: Air, number: signal.Signals) -> None:
    worker.watch(air)
    air.publish(0, 31)
    with httpx.stream("GET", f"{worker.url}/ts/one", timeout=DEADLINE_S) as answer:
        chunks = answer.iter_raw()
        assert next(chunks)
        worker.child.send_signal(number)
        assert worker.child.wait(DEADLINE_S) == 0


def test_an_address_in_use_ends_the_worker_with_a_reason(worker: MediaProcess, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with 1"):
        MediaProcess(tmp_path / "hls", listen=f"127.0.0.1:{worker.port}")


def test_two_workers_share_a_port_when_asked_to(tmp_path: Path) -> None:
    first = MediaProcess(tmp_path / "hls", reuse_port=True)
    second = MediaProcess(tmp_path / "hls", listen=f"127.0.0.1:{first.port}", reuse_port=True)
    assert second.port == first.port
    assert (first.close(), second.close()) == (0, 0)


def test_the_token_guards_everything_and_follows_the_segments(air: Air, tmp_path: Path) -> None:
    worker = MediaProcess(tmp_path / "hls", access="token", token="s e/cret")
    worker.watch(air)
    air.publish(0, 31)
    worker.wait_for("progress", media_sequence=2)
    query = "?token=s%20e%2Fcret"
    for path in (MANIFEST, "/hls/one/segment-0000000002.ts", "/ts/one"):
        assert [httpx.get(worker.url + path + wrong).status_code for wrong in ("", "?token=", "?token=secret")] == [403] * 3
    manifest = manifest_of(worker, query)
    assert all(segment.uri.endswith(query) for segment in manifest.segments)
    assert len(segments_of(worker, manifest)) == 3
    assert httpx.get(f"{worker.url}/healthz").status_code == 200
    assert worker.close() == 0


def test_viewers_show_a_key_of_their_own_and_the_addresses_they_get_carry_it(air: Air, tmp_path: Path) -> None:
    worker = MediaProcess(tmp_path / "hls", access="token", token="the-daemons-own")
    worker.watch(air)
    air.publish(0, 31)
    worker.wait_for("progress", media_sequence=2)
    assert httpx.get(worker.url + MANIFEST, params={"token": "guest"}).status_code == 403
    now_s = time.time()
    worker.wire.send("viewers", keys=[[digest_of("guest"), now_s + 3600], [digest_of("past"), now_s - 1], [digest_of("wall"), None]])
    worker.wire.send("configure", **worker.settings)
    worker.wait_for("ready")
    manifest = manifest_of(worker, "?token=guest")
    assert all(segment.uri.endswith("?token=guest") for segment in manifest.segments)
    assert len(segments_of(worker, manifest)) == 3
    for path in (MANIFEST, "/hls/one/segment-0000000002.ts"):
        assert httpx.get(worker.url + path, headers={"Authorization": "Bearer wall"}).status_code == 200
        for wrong in ("past", digest_of("guest"), "x", "the-daemons-ow"):
            assert httpx.get(worker.url + path, headers={"Authorization": f"Bearer {wrong}"}).status_code == 403
    assert "the-daemons-own" not in httpx.get(worker.url + MANIFEST, params={"token": "wall"}).text
    worker.wire.send("viewers", keys=[])
    worker.wire.send("configure", **worker.settings)
    worker.wait_for("ready")
    assert httpx.get(worker.url + MANIFEST, params={"token": "guest"}).status_code == 403
    assert worker.close() == 0


def test_a_stream_that_is_watched_ends_when_its_key_is_taken_away(air: Air, tmp_path: Path) -> None:
    worker = MediaProcess(tmp_path / "hls", access="token", token="the-daemons-own")
    worker.watch(air)
    worker.wire.send("viewers", keys=[[digest_of("guest"), None], [digest_of("wall"), None]])
    air.publish(0, 31)
    with (
        httpx.stream("GET", f"{worker.url}/ts/one?token=guest", timeout=DEADLINE_S) as guest,
        httpx.stream("GET", f"{worker.url}/ts/one?token=wall", timeout=DEADLINE_S) as wall,
    ):
        pieces, others = guest.iter_raw(), wall.iter_raw()
        assert next(pieces) and next(others)
        worker.wire.send("viewers", keys=[[digest_of("wall"), None]])
        worker.wire.send("configure", **worker.settings)
        worker.wait_for("ready")
        air.publish(31, 40)
        assert len(b"".join(pieces)) < 1 << 20  # it ends
        assert next(others)
    assert worker.close() == 0


def make_certificate(folder: Path, name: str) -> dict[str, str]:
    """A key and a certificate of this name; the paths as the configuration has them."""
    folder.mkdir(exist_ok=True)
    files = {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    names = ["-keyout", files["key"], "-out", files["cert"], "-subj", f"/CN={name}"]
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", *names]
    subprocess.run(line, check=True, capture_output=True, timeout=60)
    return files


def served_name(port: int) -> str:
    """The name in the certificate that a new handshake gets, as openssl's own client sees it."""
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
    shown = subprocess.run(line, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout
    return shown.partition("subject=")[2].partition("\n")[0].rpartition("=")[2].strip()


def test_https_follows_a_renewed_certificate_and_keeps_it_when_the_next_is_broken(tmp_path: Path) -> None:
    files = make_certificate(tmp_path / "now", "first")
    make_certificate(tmp_path / "new", "second")
    worker = MediaProcess(tmp_path / "hls", tls=files)
    with httpx.Client(base_url=f"https://127.0.0.1:{worker.port}", verify=False) as viewer:
        assert viewer.get("/healthz").status_code == 200
        assert served_name(worker.port) == "first"
        for name in ("cert.pem", "key.pem"):
            (tmp_path / "new" / name).replace(tmp_path / "now" / name)
        worker.wait_for("certificate", error=None)
        assert served_name(worker.port) == "second"
        (tmp_path / "now" / "key.pem").write_text("no key")
        assert "cannot be used" in worker.wait_for("certificate").values["error"]
        assert served_name(worker.port) == "second"
        assert viewer.get("/healthz").status_code == 200, "who was there before is served on"
    assert worker.close() == 0


def test_a_worker_without_a_certificate_that_can_be_used_does_not_listen(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(AssertionError, match="the worker ended with 1"):
        MediaProcess(tmp_path / "hls", tls={"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "cert.pem")})
