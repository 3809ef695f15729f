"""Row 28: a playout host gets hardly any CPU for a while."""

import threading
import time

from injection import cgroup, join
from stage import Stage, poll_s

STARVED_S = 6.0
PERIOD_US, QUOTA_US = 1_000_000, 1000
TICKS = 90_000


def behind_s(stage: Stage) -> float:
    """How far the channel's timeline is behind the clock, but for a constant."""
    return time.monotonic() - float(stage.daemon.channel("air")["timeline"]["ticks"]) / TICKS


def test_a_starved_host_catches_up_and_its_timeline_does_not_shift(stage: Stage) -> None:
    """Its other channels are starved with it: the neighbour is the other host's. One that hardly turns may be replaced meanwhile."""
    with stage.row(28, neighbours=("calm",)) as row:
        before, told_before = behind_s(stage), len(stage.daemon.log("channel_late", "host_frozen"))
        with cgroup("cpu", "host", cpu__cfs_period_us=PERIOD_US, cpu__cfs_quota_us=QUOTA_US) as group:
            assert join(group, stage.host_pid("air"))
            threading.Event().wait(STARVED_S)  # the fault's own length
        row.measured["caught_up_s"] = poll_s(lambda: behind_s(stage) <= before + 1.5, what="the host to catch up")
        stage.wait_for_news(["air", "side"], 3)
        seen = {name: stage.look(name, row.since[name]) for name in ("air", "side")}
        row.measured["late_s"] = max(each.late_s for each in seen.values())
        told = stage.daemon.log("channel_late", "host_frozen")[told_before:]
    assert {name: each.complaints() for name, each in seen.items()} == {name: [] for name in seen}
    assert told, "nobody was told"
