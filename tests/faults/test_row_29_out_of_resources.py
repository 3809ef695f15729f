"""Row 29: no more descriptors, no more processes, no memory for one child; and an ordinary user's pipes."""

import resource
import time

import psutil
import pytest
from clips import numbered_clip
from injection import cgroup, join
from nginx_origin import wait_until
from stage import Stage

pytestmark = pytest.mark.long


def test_a_daemon_without_descriptors_keeps_its_channels_and_refuses_politely(stage: Stage) -> None:
    """Its limit is taken down to what it has open: every new connection and file fails."""
    daemon = stage.daemon
    with stage.row(29):
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (psutil.Process(daemon.pid).num_fds(), before[1]))
        try:
            path = numbered_clip(stage.media / "no-fds.mp4", frames=50, base=700_000, size=(320, 180))
            stage.write_list("hit", [*stage.shorts, path])
            stage.wait_for_news(["hit", "air", "side"], 4)
        finally:
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: daemon.answers("/readyz"), what="the admin interface to answer again")
        daemon.wait_for_airing("hit", str(path), timeout_s=60)
        airs_from = len(daemon.airings("hit"))
        wait_until(lambda: len(daemon.airings("hit")) > airs_from, what="clips to go on")
    assert [entry["event"] for entry in daemon.log() if "Traceback" in str(entry["event"])] == []


def test_a_daemon_that_may_start_no_process_keeps_its_channels_and_prepares_later(stage: Stage) -> None:
    daemon = stage.daemon
    family = [daemon.pid, *(child.pid for child in daemon.family())]
    with stage.row(29) as row, cgroup("pids", "full", pids__max=1) as group:
        for pid in family:
            join(group, pid)
        path = numbered_clip(stage.media / "no-pids.mp4", frames=50, base=710_000, size=(320, 180))
        stage.write_list("hit", [*stage.shorts, path])
        stage.wait_for_news(["hit", "air", "side"], 4)
        told = daemon.wait_for("hit", lambda found: found["state"] == "on_air", what="the channel to be on air")
        (group / "pids.max").write_text("max")
        begun = time.monotonic()
        daemon.wait_for_airing("hit", str(path), timeout_s=90)
        row.measured["prepared_after_s"] = round(time.monotonic() - begun, 1)
    assert told["state"] == "on_air"
