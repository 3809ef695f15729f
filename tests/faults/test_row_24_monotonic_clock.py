"""Row 24: the monotonic clock passes 2^31 and 2^32 milliseconds, after 24.8 and 49.7 days."""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from clocks import monotonic_at
from judge.hls_recorder import HlsRecorder
from judge.ts import Allowances, read_ts
from running import FPS, RunningDaemon
from stage import Row, record

AHEAD_S = 6.0
"""A daemon is on air within this time, on a busy machine too: what comes later is seen all the same."""


@pytest.mark.parametrize("bits", [31, pytest.param(32, marks=pytest.mark.long)])
def test_nothing_is_seen_of_a_clock_that_outgrows_its_milliseconds(
    solo_daemon: Callable[..., RunningDaemon], tmp_path: Path, bits: int
) -> None:
    daemon, row = solo_daemon(), Row(24, time.monotonic(), {})
    with monotonic_at(2**bits / 1000 - AHEAD_S) as inside:
        passes_s = time.monotonic() + AHEAD_S
        daemon.command = [*inside, *daemon.command]
        daemon.start()
        with HlsRecorder(daemon.hls_url("one"), tmp_path / "seen", poll_s=0.2) as viewer:
            assert viewer.wait_for_segments(3, 30)
            left_s = max(0.0, passes_s - time.monotonic())
            assert viewer.wait_for_segments(len(viewer.fetched) + int(left_s) + 4, 60)
        assert daemon.complaints() == []
        assert daemon.stop() == []
    row.measured[f"began_before_{bits}_s"] = round(left_s, 1)
    record(row)
    pieces = [viewer.fetched[number].path.read_bytes() for number in sorted(viewer.fetched)]
    assert viewer.trouble == []
    report = read_ts(
        b"".join(pieces), fps=Fraction(FPS), allowances=Allowances(open_start=True, open_end=True), segment_bytes=tuple(map(len, pieces))
    )
    assert report.faults() == []
