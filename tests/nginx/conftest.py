"""Publishers for the tests of the nginx origin."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Push = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def push(ffmpeg: str, house_clip: Path) -> Iterator[Push]:
    """Starts an FFmpeg that pushes the house clip for ever in real time to a URL; all end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str) -> "subprocess.Popen[bytes]":
        source = ["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(house_clip), "-c", "copy", "-f", "flv", url]
        started.append(subprocess.Popen([ffmpeg, *source], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)
