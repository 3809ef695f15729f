"""The embedded origin is looked at as its viewers must: with their token, over TLS, by its own certificate and no other."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A running media worker is written for its own tests, and shared.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "api"))

from media_process import FPS, SLICE_FRAMES, Air, MediaProcess
from test_readback import Watched

from channeld.readback.judge import Condition
from channeld.readback.subject import Subject, WatchSettings
from channeld.readback.viewer import Unreadable, Viewer


def certificate(folder: Path, name: str) -> dict[str, str]:
    """A self-signed one, for a name that is not the address."""
    files = {"cert": str(folder / f"{name}.pem"), "key": str(folder / f"{name}.key")}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}.example"]
    subprocess.run([*command, "-keyout", files["key"], "-out", files["cert"]], check=True, capture_output=True, timeout=60)
    return files


@pytest.fixture
def air(make_segment: object, good_segment: bytes) -> Iterator[Air]:
    """A channel whose slices are seconds of a real stream; only delivery is judged here."""
    packets = [good_segment[at : at + 188] for at in range(0, len(good_segment), 188)]
    made = Air([b"".join(packets)] * (FPS // SLICE_FRAMES))
    yield made
    made.close()


def test_own_origin_is_looked_at_with_token_and_by_its_own_certificate(tmp_path: Path, ffmpeg: str, air: Air) -> None:
    """Another certificate at the same address is nobody we know: the token is not sent to it."""
    tls, other = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    worker = MediaProcess(tmp_path / "hls", access="token", token="seen by viewers", tls=tls)
    watched = Watched(ffmpeg, WatchSettings(cpu_budget=0.0, timeout_s=5.0))
    try:
        worker.watch(air, segment_seconds=1)
        air.publish(0, 40)
        worker.wait_for("progress", channel="one", output="hls")
        url = f"https://127.0.0.1:{worker.port}/hls/one/index.m3u8"
        watched.readback.watch(
            [
                Subject("one", "hls", "hls", f"{url}?token=seen%20by%20viewers", 1.0, Path(tls["cert"])),
                Subject("one", "untrusted", "hls", f"{url}?token=seen%20by%20viewers", 1.0, Path(other["cert"])),
                Subject("one", "refused", "hls", url, 1.0, Path(tls["cert"])),
            ]
        )
        seen = watched.wait(lambda reading: reading.media_sequence is not None, "a listing")
        assert seen.verdict is not None
        assert seen.verdict.condition is not Condition.UNREACHABLE
        for output in ("untrusted", "refused"):
            assert watched.wait(lambda reading: True, "a look", output=output).media_sequence is None
    finally:
        watched.readback.close()
        worker.close()


def test_a_file_that_became_no_good_does_not_hide_a_listener_that_goes_on_with_the_old_one(tmp_path: Path) -> None:
    tls, other = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    worker = MediaProcess(tmp_path / "hls", tls=tls)
    kept, url = Path(tls["cert"]), f"https://127.0.0.1:{worker.port}/healthz"

    async def look() -> None:
        viewer = Viewer()
        assert b"ok" in await viewer.fetch(url, max_bytes=999, timeout_s=20, trusted=kept)
        for content in (b"no certificate", Path(other["cert"]).read_bytes()):
            kept.write_bytes(content)
            with pytest.raises(Unreadable):
                await viewer.fetch("https://127.0.0.1:1/", max_bytes=999, timeout_s=20, trusted=kept)  # it begins anew after this
            assert b"ok" in await viewer.fetch(url, max_bytes=999, timeout_s=20, trusted=kept)
        stranger = Viewer()
        with pytest.raises(Unreadable, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.fetch(url, max_bytes=999, timeout_s=20, trusted=kept)
        for each in (viewer, stranger):
            await each.close()

    asyncio.run(look())
    assert worker.close() == 0
