"""Streams that the judges must find clean."""

from pathlib import Path

import pytest
from clips import numbered_clip

from .streams import remux

HOUSE = ("-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-sc_threshold", "0", "-bf", "2", "-b:v", "1M")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 25 fps with B-frames, closed GOPs of 50, in MP4."""
    return numbered_clip(tmp_path_factory.mktemp("judged") / "source.mp4", frames=100, size=(320, 180), base=7000, options=HOUSE)


@pytest.fixture(scope="session")
def good(source: Path) -> Path:
    """The same as a transport stream."""
    return remux(source, source.with_name("good.ts"), "-pes_payload_size", "0", "-muxdelay", "0.5", "-muxpreload", "0.5")
