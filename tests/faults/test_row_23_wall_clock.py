"""Row 23: the wall clock jumps by 400 days, back by a day, and by an hour as a wrongly set zone does."""

import os
import signal
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from clocks import WallClock
from judge.hls import history_faults
from judge.hls_recorder import HlsRecorder
from judge.ts import Allowances, read_ts
from nginx_origin import wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon
from stage import Row, record

DAY_S = 86_400
JUMPS = (400 * DAY_S, -DAY_S, 3600, -3600)
CUT_OUT = Allowances(open_start=True, open_end=True)


def test_jumps_of_the_wall_clock_move_labels_and_nothing_else(solo_daemon: Callable[..., RunningDaemon], tmp_path: Path) -> None:
    """Pictures, both outputs and PROGRAM-DATE-TIME go on; each jump is told; the as-run log shows the clock of its day."""
    clock, daemon, row = WallClock(tmp_path / "clock"), solo_daemon({"ts": {}}), Row(23, time.monotonic(), {})
    daemon.command, daemon.environment = clock.command, clock.environment
    daemon.start()
    with (
        HlsRecorder(daemon.hls_url("one"), tmp_path / "seen", poll_s=0.2, recheck=False) as viewer,
        TsRecorder(daemon.ts_url("one"), tmp_path / "seen.ts") as other,
    ):
        assert viewer.wait_for_segments(2, 30)
        before_s = 0
        for offset_s in JUMPS:
            told, seen = len(daemon.log("clock_jumped")), len(viewer.fetched)
            clock.set_to(offset_s)
            wait_until(lambda told=told: len(daemon.log("clock_jumped")) > told, what="the jump to be told")  # type: ignore[misc]
            assert daemon.log("clock_jumped")[-1]["by_s"] == pytest.approx(offset_s - before_s, abs=0.5)
            before_s = offset_s
            assert viewer.wait_for_segments(seen + 2, 30)
        other.close()
        # A worker that begins anew goes on with the anchor of the manifest, whatever the clock says by now.
        worker = daemon.child("channeld.api.media_worker")
        assert worker is not None
        seen = len(viewer.fetched)
        os.kill(worker.pid, signal.SIGKILL)
        assert viewer.wait_for_segments(seen + 3, 30)
        airings = daemon.airings("one")
        assert daemon.answers("/healthz") and daemon.answers("/readyz")
        fillers = [path for path in daemon.aired("one") if path is None]
    years = {airing["started_at"][:4] for airing in airings}
    row.measured["labels_in_years"] = len(years)
    manifests = [poll.manifest for poll in viewer.polls if poll.manifest is not None]
    row.measured["discontinuities"] = sum(each.segment.discontinuity for each in viewer.fetched.values())
    record(row)
    assert len(years) >= 2, "the as-run log follows the new clock"
    assert history_faults(manifests) == [] and row.measured["discontinuities"] == 0
    assert not [each for each in viewer.trouble if "manifest answers" not in each]
    pieces = [viewer.fetched[number].path.read_bytes() for number in sorted(viewer.fetched)]
    assert read_ts(b"".join(pieces), fps=Fraction(FPS), allowances=CUT_OUT, segment_bytes=tuple(map(len, pieces))).faults() == []
    assert read_ts(tmp_path / "seen.ts", fps=Fraction(FPS), allowances=CUT_OUT).faults() == [] and other.trouble == []
    assert fillers == []
