"""Row 26: RTMP's clock of milliseconds wraps at 2^31 (24.86 days): the egress is recycled before that, at a clip boundary."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from judge.hls_recorder import HlsRecorder
from nginx_origin import NginxOrigin, wait_until
from running import RunningDaemon
from stage import Row, record

DAYS_22_S = 22 * 86_400
# The egress FFmpeg's first life begins at 22 days, as `-output_ts_offset` has it.
SHIM = """#!{python}
import os, sys
from pathlib import Path
arguments, mark = sys.argv[1:], Path({mark!r})
if "-fifo_format" in arguments and not mark.exists():
    mark.touch()
    at = arguments.index("-map")
    arguments[at:at] = ["-output_ts_offset", "{offset}"]
os.execv({ffmpeg!r}, [{ffmpeg!r}, *arguments])
"""


@pytest.mark.long
def test_an_egress_is_recycled_before_its_clock_wraps_with_one_short_reconnect(
    solo_daemon: Callable[..., RunningDaemon], nginx_rtmp: NginxOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: str
) -> None:
    shim = tmp_path / "bin" / "ffmpeg"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(python=sys.executable, mark=str(tmp_path / "begun"), offset=DAYS_22_S, ffmpeg=shutil.which(ffmpeg)))
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    daemon = solo_daemon({"rtmp": nginx_rtmp.rtmp_url("one")})
    daemon.start()
    with (
        HlsRecorder(daemon.hls_url("one"), tmp_path / "embedded") as embedded,
        HlsRecorder(nginx_rtmp.hls_url("one"), tmp_path / "n") as nginx,
    ):
        daemon.wait_for("one", lambda found: _push(found)["state"] == "up", what="the push to be up")
        first = _push(daemon.channel("one"))["pid"]
        wait_until(lambda: _push(daemon.channel("one"))["pid"] not in (None, first), what="the recycle", timeout_s=60)
        daemon.wait_for("one", lambda found: _push(found)["state"] == "up", what="the successor to be up")
        nginx.wait_for_segments(len(nginx.fetched) + 3, 30)
    joints = sum(fetched.segment.discontinuity for number, fetched in nginx.fetched.items() if number > min(nginx.fetched))
    longest_s = max(nginx.stalls_s(0.0), default=0.0)
    record(Row(26, 0.0, {}, {"discontinuities": joints, "longest without a segment_s": round(longest_s, 1)}))
    assert joints == 1
    assert embedded.faults(discontinuities=0) == []


def _push(channel: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    return next(output for output in channel["outputs"] if output["type"] == "rtmp")
