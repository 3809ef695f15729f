"""A real stream to spoil: one short clip as prepare has FFmpeg write it."""

import subprocess
from pathlib import Path

import pytest
from clips import numbered_clip
from prepared import TINY

from channeld.media.ffmpeg_args import Sound, Voice, prepare_args
from channeld.media.plan import Plan
from channeld.media.probe import probe
from channeld.media.tools import find_tools

FRAMES = 60


@pytest.fixture(scope="session")
def house_stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Before anything of ours reads it."""
    source = numbered_clip(tmp_path_factory.mktemp("parsers") / "source.mkv", frames=FRAMES, size=(320, 180))
    facts = probe(Path(source))
    assert facts.video is not None
    plan = Plan(0.0, 0.0, FRAMES, FRAMES)
    argv = prepare_args(source, facts.video, Voice(source, facts.audio[0].index, plan), plan, TINY, Sound(), find_tools())
    return subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
