"""Row 26: RTMP's clock of milliseconds wraps at 2**31 (24.86 days): the push is renewed before, at a boundary of clips."""

import shutil
import sys
from pathlib import Path

import pytest
from judge.hls_recorder import HlsRecorder
from seen import CLIP_FRAMES, FPS, look
from stage import POLL_S, START_SEGMENTS, Stage
from station import Station, settings, until

from channeld.channel.settings import PushedTarget
from channeld.outputs.push_plan import PushTiming

pytestmark = pytest.mark.long

WRAP_S = 2**31 / 1000
BEFORE_WRAP_S = 26.0
RECYCLE_S = 15.0
CLIP_S = CLIP_FRAMES / FPS

# An FFmpeg whose first life begins shortly before the wrap; those after it begin at 0, as every FFmpeg does.
NEAR_THE_WRAP = """#!{python}
import os, sys
from pathlib import Path
arguments = sys.argv[1:]
mark = Path({mark!r})
if not mark.exists():
    mark.touch()
    at = arguments.index("-map")
    arguments[at:at] = ["-output_ts_offset", {offset!r}]
os.execv({ffmpeg!r}, [{ffmpeg!r}, *arguments])
"""


def _ffmpeg_near_the_wrap(folder: Path, ffmpeg: str) -> str:
    script = folder / "ffmpeg-near-the-wrap"
    offset = f"{WRAP_S - BEFORE_WRAP_S:.3f}"
    script.write_text(NEAR_THE_WRAP.format(python=sys.executable, mark=str(folder / "mark"), offset=offset, ffmpeg=ffmpeg))
    script.chmod(0o755)
    return str(script)


def test_an_old_push_goes_over_to_its_successor_at_a_boundary_and_never_meets_the_wrap(stage: Stage, tmp_path: Path, ffmpeg: str) -> None:
    """A whole channel on a control and host of its own, beside the stage's; the wrap would come 26 s after its first byte."""
    playlist = shutil.copyfile(stage.playlist("calm"), stage.folder / "aging.txt")
    url = stage.origin.rtmp_url("aging")
    channel = settings(playlist, "aging", targets=(PushedTarget("rtmp", url, url),))
    timing = PushTiming(recycle_s=RECYCLE_S, recycle_jitter_s=0.0)
    egress = _ffmpeg_near_the_wrap(tmp_path, ffmpeg)

    with stage.row(26) as row, Station(tmp_path / "station", [channel], push_timing=timing, egress=egress) as station:

        def push() -> dict[str, object]:
            (shown,) = station.shown("aging")["outputs"]
            return dict(shown)

        until(lambda: push()["state"] == "up", "the push up")
        first = push()["pid"]
        with HlsRecorder(stage.origin.hls_url("aging"), tmp_path / "seen", poll_s=POLL_S, recheck=False) as viewer:
            assert viewer.wait_for_segments(START_SEGMENTS, 30)
            since = max(viewer.fetched)
            aired = len(station.aired("aging"))
            until(lambda: push()["pid"] not in (first, None) and push()["state"] == "up", "its successor up")
            assert viewer.wait_for_segments(int(BEFORE_WRAP_S) + START_SEGMENTS, 40), "the moment of the wrap was not reached"
        seen = look(viewer, since, tmp_path, allowances=None)
        row.measured |= {"gap_s": seen.gap_s, "lost": seen.lost, "discontinuities": seen.discontinuities}
        assert len(station.aired("aging")) > aired, "no boundary of clips was passed"
        assert (push()["restarts"], push()["last_error"]) == (0, None)
    assert seen.discontinuities == 1, "the successor's beginning; a wrap would be another"
    assert seen.lost == 0
    assert seen.gap_s <= CLIP_S
