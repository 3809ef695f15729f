"""How soon a source that was lost is tried again, from a real web server that goes away."""

import http.server
import subprocess
import threading
from pathlib import Path

import pytest
from live_sets import reference_of, sets_of
from nginx_origin import wait_until
from prepared import TINY, PreparedShelf, blocks_of

from channeld.media.reference import Reference
from channeld.process.backoff import Backoff
from channeld.sources import ingest
from channeld.sources.ingest import Intake
from channeld.sources.spec import SourceSpec
from channeld.ts.conform import audio_unit_packets

SECONDS = 4


class _Told(Backoff):
    """A real one, that keeps what it was asked."""

    waits: list[tuple[float, float]]

    def next_s(self, *, healthy_for_s: float) -> float:
        wait_s = super().next_s(healthy_for_s=healthy_for_s)
        self.waits.append((healthy_for_s, wait_s))
        return wait_s


class _Encoder(http.server.BaseHTTPRequestHandler):
    """Sends a few seconds, and is gone."""

    stream: Path

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.stream.read_bytes())

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    made = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=160x90:r=25:d={SECONDS}", "-c:v", "mpeg2video", "-f", "mpegts"]
    subprocess.run([*made, str(tmp_path / "up.ts")], check=True, timeout=60)
    return tmp_path


def test_a_source_that_gave_pictures_is_tried_again_soon_and_one_that_is_away_ever_later(
    prepared: PreparedShelf, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _Told(first_s=0.1, healthy_s=ingest.HEALTHY_S, growth=ingest.RETRY_GROWTH)
    told.waits = []
    monkeypatch.setattr(ingest, "Backoff", lambda **settings: told)
    monkeypatch.setattr(_Encoder, "stream", upstream / "up.ts", raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Encoder)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    folder = upstream / "live"
    folder.mkdir()
    spec = SourceSpec("up", f"http://127.0.0.1:{server.server_port}/up.ts", str(folder), TINY, mode="transcode")
    slate = blocks_of(prepared.filler(TINY))
    intake = Intake(spec, Reference(reference_of(sets_of(slate)), audio_unit_packets(slate[0], 3)), lambda kind, **values: None)
    intake.start()
    try:
        wait_until(lambda: len(told.waits) >= 3, what="three connections", timeout_s=60)
        server.shutdown()
        server.server_close()
        gone = len(told.waits) + 1
        wait_until(lambda: len(told.waits) >= gone + 4, what="four that are refused", timeout_s=60)
    finally:
        intake.close()
        serving.join(10)
    there, away = told.waits[:3], told.waits[gone : gone + 4]
    assert all(healthy_s > SECONDS - 1 and wait_s <= 0.1 for healthy_s, wait_s in there), "each gave its seconds"
    assert [healthy_s for healthy_s, _ in away] == [0.0] * 4
    assert away[-1][1] > 0.1
