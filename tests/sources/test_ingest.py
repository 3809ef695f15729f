"""How a source is tried again and again, from a real web server."""

import contextlib
import http.server
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_sets import reference_of, sets_of
from nginx_origin import wait_until
from prepared import TINY, PreparedShelf, blocks_of

from channeld.media.reference import Reference
from channeld.process.backoff import Backoff
from channeld.sources import attempt, ingest
from channeld.sources.ingest import Intake
from channeld.sources.spec import SourceSpec
from channeld.ts.conform import audio_unit_packets
from channeld.ts.packet import as_packets, pids

SECONDS = 4


class _Told(Backoff):
    """A real one, that keeps what it was asked."""

    waits: list[tuple[float, float]]

    def next_s(self, *, healthy_for_s: float) -> float:
        wait_s = super().next_s(healthy_for_s=healthy_for_s)
        self.waits.append((healthy_for_s, wait_s))
        return wait_s


class _Encoder(http.server.BaseHTTPRequestHandler):
    """Sends a few seconds, at once or as they pass, and is gone."""

    stream: Path
    is_real_time = False

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        data = self.stream.read_bytes()
        step = len(data) // (10 * SECONDS) // 188 * 188
        for at in range(0, len(data), step):
            self.wfile.write(data[at : at + step])
            if self.is_real_time:
                time.sleep(0.1)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., http.server.ThreadingHTTPServer]]:
    """Serves a file to whoever comes, by a handler of its own."""
    with contextlib.ExitStack() as parts:

        def start(stream: Path, *, is_real_time: bool) -> http.server.ThreadingHTTPServer:
            handler = type("Handler", (_Encoder,), {"stream": stream, "is_real_time": is_real_time})
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.block_on_close = False
            threading.Thread(target=server.serve_forever, daemon=True).start()
            parts.callback(server.server_close)
            parts.callback(server.shutdown)
            return server

        yield start


def intake_of(url: str, folder: Path, prepared: PreparedShelf, told: list[dict[str, Any]]) -> Intake:
    folder.mkdir()
    spec = SourceSpec("up", url, str(folder), TINY, mode="transcode")
    slate = blocks_of(prepared.filler(TINY))
    reference = Reference(reference_of(sets_of(slate)), audio_unit_packets(slate[0], 3))
    return Intake(spec, reference, lambda kind, **values: told.append(values))


def encoded(path: Path, *sound: str) -> Path:
    picture = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=160x90:r=25:d={SECONDS}", *sound]
    subprocess.run([*picture, "-c:v", "mpeg2video", "-f", "mpegts", str(path)], check=True, timeout=60)
    return path


def test_a_source_that_gave_pictures_is_tried_again_soon_and_one_that_is_away_ever_later(
    prepared: PreparedShelf, tmp_path: Path, serve: Callable[..., http.server.ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _Told(first_s=0.1, healthy_s=ingest.HEALTHY_S, growth=ingest.RETRY_GROWTH)
    told.waits, asked = [], []

    def backoff(**settings: float) -> Backoff:
        asked.append(settings)
        return told

    monkeypatch.setattr(ingest, "Backoff", backoff)
    server = serve(encoded(tmp_path / "up.ts"), is_real_time=True)
    intake = intake_of(f"http://127.0.0.1:{server.server_port}/up.ts", tmp_path / "live", prepared, [])
    intake.start()
    try:
        wait_until(lambda: len(told.waits) >= 3, what="three connections", timeout_s=90)
        server.shutdown()
        server.server_close()
        gone = len(told.waits) + 1
        wait_until(lambda: len(told.waits) >= gone + 4, what="four that are refused", timeout_s=60)
    finally:
        intake.close()
    assert asked == [{"first_s": 0.5, "healthy_s": ingest.HEALTHY_S, "growth": ingest.RETRY_GROWTH}]
    there, away = told.waits[:3], told.waits[gone : gone + 4]
    assert all(healthy_s > ingest.HEALTHY_S and wait_s <= 0.1 for healthy_s, wait_s in there), "each gave its seconds"
    assert [healthy_s for healthy_s, _ in away] == [0.0] * 4
    assert away[-1][1] > 0.1


def test_what_is_sent_in_a_burst_is_no_health(
    prepared: PreparedShelf, tmp_path: Path, serve: Callable[..., http.server.ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _Told(first_s=0.1, healthy_s=ingest.HEALTHY_S)
    told.waits = []
    monkeypatch.setattr(ingest, "Backoff", lambda **settings: told)
    server = serve(encoded(tmp_path / "up.ts"), is_real_time=False)
    intake = intake_of(f"http://127.0.0.1:{server.server_port}/up.ts", tmp_path / "live", prepared, [])
    intake.start()
    try:
        wait_until(lambda: len(told.waits) >= 2, what="two connections", timeout_s=60)
    finally:
        intake.close()
    assert all(healthy_s < ingest.HEALTHY_S for healthy_s, _ in told.waits)


def test_sound_that_is_announced_and_never_comes_is_done_without(
    prepared: PreparedShelf, tmp_path: Path, serve: Callable[..., http.server.ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "MUTE_S", 0.5)
    both = encoded(tmp_path / "both.ts", "-f", "lavfi", "-i", f"sine=r=48000:d={SECONDS}", "-c:a", "aac").read_bytes()
    packets = as_packets(both)
    (tmp_path / "mute.ts").write_bytes(packets[pids(packets) != 0x101].tobytes())
    server = serve(tmp_path / "mute.ts", is_real_time=True)
    told: list[dict[str, Any]] = []
    intake = intake_of(f"http://127.0.0.1:{server.server_port}/mute.ts", tmp_path / "live", prepared, told)
    intake.start()
    try:
        wait_until(lambda: any(each["state"] == "live" for each in told), what="its pictures", timeout_s=60)
        assert any("Audio" in stream for stream in intake.figures.streams), "it is announced all the while"
    finally:
        intake.close()
