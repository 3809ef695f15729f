"""A source encoded by another encoder than the one that made the slates: taken in with its own parameter sets, and spliced with slates.

No machine of the project has such hardware: a program that gives `h264_nvenc` to libx264, with other reference frames, stands for it.
That shows what channeld does with other parameter sets, and nothing of a card.
"""

import stat
import subprocess
from pathlib import Path

import pytest
from live_sets import reference_of, sets_of
from prepared import TINY, PreparedShelf, air, blocks_of, feed_of, stream_format

from channeld.media.live_input import LiveInput
from channeld.media.reference import Reference
from channeld.media.tools import Tools
from channeld.media.treatment import Treatment
from channeld.sources.attempt import Attempt, Choice, Figures, Means
from channeld.sources.spec import SourceSpec, SourceState
from channeld.ts.splicer import Splicer

CARD = '''#!/usr/bin/env python3
"""FFmpeg whose card is the CPU."""
import os, sys
words, at = [], 1
while at < len(sys.argv):
    if sys.argv[at] in ("-no-scenecut", "-strict_gop", "-b_ref_mode", "-rc"):
        at += 2
        continue
    words.append("libx264" if sys.argv[at] == "h264_nvenc" else sys.argv[at])
    at += 1
words[-1:-1] = ["-refs", "4", "-preset", "ultrafast", "-sc_threshold", "0"]
os.execvp("ffmpeg", ["ffmpeg", *words])
'''
"""Everything as the card is told, but for what x264 does not know."""


@pytest.fixture
def card(tmp_path: Path) -> Tools:
    path = tmp_path / "ffmpeg-with-a-card"
    path.write_text(CARD)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Tools(str(path), None)


def upstream(path: Path) -> Path:
    """Three seconds of another size and codec."""
    made = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=r=48000", "-t", "3"]
    subprocess.run([*made, "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "mpegts", str(path)], check=True, timeout=60)
    return path


def test_another_encoders_pictures_are_taken_in_and_splice_with_slates(prepared: PreparedShelf, card: Tools, tmp_path: Path) -> None:
    slate = prepared.filler(TINY)
    slate_blocks = blocks_of(slate)
    sets = sets_of(slate_blocks)
    assert len(sets) == 2
    own = Treatment(encoder="h264_nvenc", encoding=(("no-scenecut", "1"), ("strict_gop", "1"), ("b_ref_mode", "disabled"), ("rc", "cbr")))
    folder = tmp_path / "live"
    folder.mkdir()
    spec = SourceSpec("camera", str(tmp_path / "up.ts"), str(folder), TINY, mode="transcode", treatment=own)
    told: list[SourceState] = []
    means = Means(
        spec,
        LiveInput(str(upstream(tmp_path / "up.ts"))),
        Reference(reference_of(sets), b""),
        card,
        lambda state, reason, detail, clip: told.append(state),
        lambda: False,
    )
    attempt = Attempt(means, Choice(copies=False), Figures(), "camera-1-1")
    reason = attempt.run()
    assert set(told) == {SourceState.LIVE} and attempt.clip is not None, reason
    for kind in ("ts", "idx"):  # as a reader that looks for a clip that is not whole yet finds them
        (folder / f"camera-1-1.{kind}.part").rename(folder / f"camera-1-1.{kind}")
    live_blocks = blocks_of(attempt.clip)  # type: ignore[arg-type]
    assert len(sets_of(live_blocks)) == 2 and sets_of(live_blocks) != sets
    stream = tmp_path / "air.ts"
    splicer = Splicer(stream_format())
    stream.write_bytes(b"".join(air(splicer, feed_of(blocks)) for blocks in (slate_blocks, live_blocks, slate_blocks)))
    decoded = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(stream), "-f", "null", "-"]
    found = subprocess.run(decoded, capture_output=True, timeout=60, check=False)
    assert (found.returncode, found.stderr.decode()) == (0, "")
