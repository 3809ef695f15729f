"""A real media worker process, fed by a real ring with a real stream."""

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from media_process import FPS, SLICE_FRAMES, Air, MediaProcess

STREAM_S = 24


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> list[bytes]:
    """A transport stream as slices of 5 frames (0.2 s), each from its PAT on; every fifth begins a GOP of 1 s."""
    path = tmp_path_factory.mktemp("stream") / "stream.ts"
    source = ["-f", "lavfi", "-i", f"testsrc2=size=160x90:rate={FPS}", "-f", "lavfi", "-i", "sine=sample_rate=48000"]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-g", str(FPS), "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-threads", "1"]
    audio = ["-c:a", "aac", "-b:a", "64k", "-pes_payload_size", "0"]
    muxer = ["-muxdelay", "0", "-muxpreload", "0", "-mpegts_flags", "pat_pmt_at_frames", "-f", "mpegts"]
    line = [ffmpeg, "-nostdin", "-v", "error", *source, "-t", str(STREAM_S), *video, *audio, *muxer, str(path)]
    subprocess.run(line, check=True, timeout=60)
    data = path.read_bytes()
    # Each video frame is preceded by PAT and PMT; audio that follows belongs to the slice that is open.
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    frames = [at for at, packet in enumerate(packets) if packet[1] & 0x5F == 0x41 and packet[2] == 0]
    tables = [max(at for at in range(frame) if packets[at][1] & 0x1F == 0 and packets[at][2] == 0) for frame in frames]
    assert len(tables) == STREAM_S * FPS
    bounds = [*tables[::SLICE_FRAMES], len(packets)]
    return [b"".join(packets[start:end]) for start, end in pairwise(bounds)]


@pytest.fixture
def air(stream: list[bytes]) -> Iterator[Air]:
    made = Air(stream)
    yield made
    made.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[MediaProcess]:
    made = MediaProcess(tmp_path / "hls")
    yield made
    made.close()
