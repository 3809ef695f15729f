"""Row 4: control, a playout host, the holder is killed."""

import os
import signal

from injection import processes_with
from running import still_there
from stage import CHANNELS, PUSHED, Stage, poll_s

EVERYBODY = ("calm", "side", "air")


def test_a_killed_control_is_followed_by_one_that_goes_on_and_no_viewer_sees_it(stage: Stage) -> None:
    daemon = stage.daemon
    with stage.row(4, neighbours=EVERYBODY) as row:
        pids = {channel: stage.push_pid(channel) for channel in PUSHED}
        hosts = {channel: stage.host_pid(channel) for channel in ("calm", "air")}
        daemon.kill()
        daemon.launch()
        row.measured["control_killed: answers_after_s"] = poll_s(lambda: daemon.answers("/readyz"), what="a new control")
        assert {channel: stage.push_pid(channel) for channel in PUSHED} == pids
        assert {channel: stage.host_pid(channel) for channel in hosts} == hosts
        stage.wait_for_news(["air@nginx", "hit"])
        nginx = stage.look("air@nginx", row.since["air@nginx"])
        row.measured["control_killed: gap_s"] = nginx.gap_s
    assert nginx.complaints() == []


def test_a_killed_host_is_followed_by_one_that_goes_on_with_the_next_picture(stage: Stage) -> None:
    with stage.row(4, neighbours=("calm",)) as row:
        pid, dead = stage.push_pid("air"), stage.host_pid("air")
        os.kill(dead, signal.SIGKILL)
        stage.wait_for_news(["air", "side", "air@nginx"], 4)
        assert stage.push_pid("air") == pid
        assert stage.host_pid("air") != dead
        seen = {name: stage.look(name, row.since[name]) for name in ("air", "side", "air@nginx")}
        row.measured["host_killed: gap_s"] = max(each.gap_s for each in seen.values())
    assert {name: each.complaints() for name, each in seen.items()} == {name: [] for name in seen}
    assert row.measured["host_killed: gap_s"] <= 6


def test_a_killed_holder_takes_all_its_children_along_and_all_come_back(stage: Stage) -> None:
    daemon = stage.daemon
    with stage.row(4, neighbours=()) as row:
        stage.push_pid("air")
        (holder,) = processes_with("channeld.process.hold", str(daemon.folder / "run"))
        children = holder.children(recursive=True)
        holder.kill()
        row.measured["holder_killed: orphans"] = len(still_there(children, within_s=5.0))
        back_s = poll_s(lambda: daemon.answers("/readyz"), what="control to be back", timeout_s=60)
        row.measured["holder_killed: ready_after_s"] = back_s
        back = [
            poll_s(lambda c=channel: daemon.channel(c)["state"] == "on_air", what=f"{channel} on air", timeout_s=60) for channel in CHANNELS
        ]  # type: ignore[misc]
        stage.wait_for_news(CHANNELS, 2, timeout_s=60)
        row.measured["holder_killed: late_s"] = max(stage.look(name, row.since[name]).late_s for name in ("calm", "air"))
        for channel in PUSHED:
            stage.push_pid(channel)
    assert row.measured["holder_killed: orphans"] == 0
    assert back_s + sum(back) <= 60
