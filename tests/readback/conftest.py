"""Segments as FFmpeg cuts them, and origins that misbehave, for the tests of the read-back."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wayward_origin import WaywardOrigin

MakeSegment = Callable[..., bytes]


@pytest.fixture(scope="session")
def make_segment(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> MakeSegment:
    """Segments, each made once: `seconds`, FFmpeg's sources for picture and sound (None: no such track), and what makes the picture."""
    folder = tmp_path_factory.mktemp("segments")

    def make(
        seconds: float = 2.0,
        *,
        video: str | None = "testsrc=s=320x180:r=25",
        audio: str | None = "sine=r=48000",
        coder: tuple[str, ...] = ("libx264",),
    ) -> bytes:
        path = folder / f"{seconds}-{video}-{audio}-{coder[0]}.ts".replace("/", "_").replace(":", "_")
        if not path.exists():
            sources = [word for source in (video, audio) if source for word in ("-f", "lavfi", "-i", source)]
            # B-frames, as the house has them: timestamps of decoding and presentation differ.
            coding = ["-c:v", *coder, "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"]
            command = [ffmpeg, "-nostdin", "-v", "error", *sources, "-t", str(seconds), *coding, "-threads", "1", "-f", "mpegts", str(path)]
            subprocess.run(command, check=True, timeout=60)
        return path.read_bytes()

    return make


@pytest.fixture(scope="session")
def good_segment(make_segment: MakeSegment) -> bytes:
    """Two seconds that move and sound."""
    return make_segment()


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[WaywardOrigin]:
    """A server of manifests and segments that does what the test says."""
    server = WaywardOrigin()
    server.start()
    yield server
    server.close()
