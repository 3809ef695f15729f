"""Row 25: the 33-bit timestamps wrap, for the first time and for the fourth; RTMP's clock sees nothing of it."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from judge.hls_recorder import HlsRecorder
from judge.ts import read_ts
from nginx_origin import NginxOrigin, wait_until
from running import FPS, RunningDaemon
from seen import CUT_OUT

pytestmark = pytest.mark.long

WRAP_TICKS = 1 << 33
BEFORE_S, AFTER_S = 6, 3


@pytest.mark.parametrize("wraps", [1, 2, 3, 4])
def test_a_wrap_is_seen_by_nobody(solo_daemon: Callable[..., RunningDaemon], nginx_rtmp: NginxOrigin, wraps: int) -> None:
    daemon = solo_daemon({"rtmp": nginx_rtmp.rtmp_url("one")})
    daemon.config["channels"]["one"]["timeline_start"] = wraps * WRAP_TICKS - BEFORE_S * 90_000
    daemon.start()
    with (
        HlsRecorder(daemon.hls_url("one"), daemon.folder / "seen") as viewer,
        HlsRecorder(nginx_rtmp.hls_url("one"), daemon.folder / "n") as nginx,
    ):
        late = wraps * WRAP_TICKS + AFTER_S * 90_000
        wait_until(lambda: daemon.channel("one")["timeline"]["ticks"] > late, what="the time after the wrap", timeout_s=60)
        assert daemon.channel("one")["timeline"]["wraps"] == wraps
        pid = next(output["pid"] for output in daemon.channel("one")["outputs"] if output["type"] == "rtmp")
        nginx.wait_for_segments(len(nginx.fetched) + 2, 20)
        assert pid == next(output["pid"] for output in daemon.channel("one")["outputs"] if output["type"] == "rtmp")
    assert viewer.faults(discontinuities=0) == []
    assert read_ts(viewer.concatenate(), fps=Fraction(FPS), allowances=CUT_OUT, segment_bytes=viewer.sizes()).faults() == []
    assert sum(fetched.segment.discontinuity for number, fetched in nginx.fetched.items() if number > min(nginx.fetched)) == 0
