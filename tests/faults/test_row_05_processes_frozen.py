"""Row 5: control, a playout host is frozen."""

import threading

import pytest
from injection import stopped
from stage import PUSHED, Stage, poll_s


@pytest.mark.parametrize("frozen_s", [pytest.param(30, marks=pytest.mark.long)])
def test_a_frozen_control_is_seen_by_no_viewer(stage: Stage, frozen_s: int) -> None:
    """That it is noticed is its service's part: no WATCHDOG=1 comes any more, see tests/systemd."""
    with stage.row(5, neighbours=("calm", "side", "air")):
        pids = {channel: stage.push_pid(channel) for channel in PUSHED}
        with stopped(stage.daemon.pid):
            threading.Event().wait(frozen_s)  # the fault's own length
        assert {channel: stage.push_pid(channel) for channel in PUSHED} == pids


def test_a_frozen_host_is_noticed_and_followed_by_one_that_goes_on(stage: Stage) -> None:
    with stage.row(5, neighbours=("calm",)) as row:
        pid, frozen = stage.push_pid("air"), stage.settled_host_pid("air")
        ended = len(stage.daemon.log("host_ended"))
        with stopped(frozen):
            row.measured["host: noticed_s"] = poll_s(
                lambda: len(stage.daemon.log("host_ended")) > ended, what="the frozen host to be noticed"
            )
        stage.wait_for_news(["air", "side", "air@nginx"], 4)
        assert stage.push_pid("air") == pid
        seen = {name: stage.look(name, row.since[name]) for name in ("air", "side", "air@nginx")}
        row.measured["host: gap_s"] = max(each.gap_s for each in seen.values())
    assert {name: each.complaints() for name, each in seen.items() if "@" not in name} == {"air": [], "side": []}
    assert row.measured["host: noticed_s"] <= 15
