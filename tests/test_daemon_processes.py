"""What processes take is counted for the channel that they work for, with all that they started."""

import os
import subprocess
import time
from collections import defaultdict

import psutil

from channeld.daemon_processes import ChannelWork, ProcessFigures
from channeld.telemetry import metric_table as table
from channeld.telemetry.metric_table import MetricSpec
from channeld.telemetry.metrics import Labels

Rows = defaultdict[MetricSpec, dict[Labels, float]]


def test_a_source_has_what_its_children_take_and_keeps_it_when_they_are_gone() -> None:
    figures = ProcessFigures(os.getpid())

    def look(*pids: int) -> tuple[float, float]:
        rows = Rows(dict)
        figures.measure(rows, {}, [ChannelWork("one", None, (), pids), ChannelWork("two", None, ())])
        assert rows[table.CHANNEL_CPU]["two", "source"] == 0
        return rows[table.CHANNEL_CPU]["one", "source"], rows[table.CHANNEL_BYTES][("one",)]

    with subprocess.Popen(["sh", "-c", "yes >/dev/null & wait"]) as parent:
        deadline, taken_s = time.monotonic() + 30, 0.0
        try:
            while taken_s < 0.2 and time.monotonic() < deadline:
                before_s, (taken_s, resident_bytes) = taken_s, look(parent.pid)
                assert taken_s >= before_s
                time.sleep(0.02)
            assert taken_s >= 0.2 and resident_bytes > 100_000
        finally:
            for child in psutil.Process(parent.pid).children():
                child.kill()
    assert look(parent.pid) == (taken_s, 0)
