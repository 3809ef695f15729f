"""What the tests of pushes share: a real stream of house format, fed in real time."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from push_feeding import STREAM_S, Feeder, Until


@pytest.fixture(scope="session")
def house_ts(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str, house_clip: Path) -> Path:
    """A minute of continuous transport stream, as a splicer makes it: closed GOPs of 1 s, one AAC frame per PES."""
    path = tmp_path_factory.mktemp("push") / "stream.ts"
    muxing = ["-f", "mpegts", "-muxdelay", "0", "-muxpreload", "0", "-pes_payload_size", "0"]
    source = ["-nostdin", "-v", "error", "-stream_loop", "-1", "-i", str(house_clip), "-t", str(STREAM_S)]
    subprocess.run([ffmpeg, *source, "-c", "copy", *muxing, str(path)], check=True, timeout=60)
    return path


@pytest.fixture
def feeder(house_ts: Path) -> Feeder:
    return Feeder(house_ts.read_bytes())


@pytest.fixture
def until() -> Until:
    """Polls until a condition holds, for 40 s at most."""

    def poll(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 40
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.02)

    return poll
