"""Row 29: no more descriptors, no more processes, no memory for one child; and an ordinary user's pipes."""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil
import pytest
from clips import numbered_clip
from injection import cgroup, join, needs
from judge.ts import Allowances, read_ts
from nginx_origin import wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon
from solo import write_list
from stage import Stage

MEBIBYTE = 1 << 20

# FFmpeg, with little memory where it prepares or pushes what is called greedy, as long as there is a limit.
CONFINED = """#!/bin/sh
for word; do
    case $word in */proc/*) opened="$opened $(readlink "/proc/${{word#*/proc/}}")" ;; esac
done
case "$* $opened" in
    *libx264*greedy*|*/live/greedy*) limit=$(cat {limit} 2>/dev/null) && exec prlimit --as="$limit" {ffmpeg} "$@" ;;
esac
exec {ffmpeg} "$@"
"""


@pytest.mark.long
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


@pytest.mark.long
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


def _least_memory(ffmpeg: str) -> int:
    """So many bytes of address space that FFmpeg can load its libraries and do little else."""

    def loads(limit: int) -> bool:
        command = ["prlimit", f"--as={limit}", ffmpeg, "-version"]
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0

    few, many = 1, 2048
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if loads(middle * MEBIBYTE) else (middle, many)
    return many * MEBIBYTE


def test_children_without_memory_cost_their_clip_and_their_output_alone(
    stage: Stage, solo_daemon: Callable[..., RunningDaemon], solo_clips: list[Path], tmp_path: Path
) -> None:
    """One FFmpeg that prepares and one that pushes get hardly more than their libraries need; the push is up again when it gets more."""
    needs("prlimit", as_root=False)
    ffmpeg, limit = str(shutil.which("ffmpeg")), tmp_path / "limit"
    (tmp_path / "bin").mkdir()
    confined = tmp_path / "bin" / "ffmpeg"
    confined.write_text(CONFINED.format(limit=limit, ffmpeg=ffmpeg))
    confined.chmod(0o755)
    limit.write_text(str(_least_memory(ffmpeg)))
    daemon = solo_daemon(
        {"ts": {}}, {"rtmp": stage.origin.rtmp_url("greedy")}, {"rtmp": {"name": "modest", "url": stage.origin.rtmp_url("modest")}}
    )
    daemon.environment["PATH"] = f"{confined.parent}:{os.environ['PATH']}"
    greedy = numbered_clip(daemon.folder / "greedy.mp4", frames=50, base=730_000, size=(320, 180))

    def push(name: str) -> dict[str, Any]:
        return next(dict(output) for output in daemon.channel("one")["outputs"] if output["name"] == name)

    with stage.row(29) as row:
        daemon.start()
        with TsRecorder(daemon.ts_url("one"), tmp_path / "seen.ts") as viewer:
            write_list(daemon.folder / "one.txt", [*solo_clips, greedy])
            wait_until(lambda: daemon.log("clip_waits", "clip_refused"), what="the clip's trouble to be told", timeout_s=40)
            wait_until(lambda: push("rtmp")["restarts"] and push("modest")["state"] == "up", what="one push to fail, the other to be up")
            failed = push("rtmp")
            aired = len(daemon.aired("one"))
            wait_until(lambda: len(daemon.aired("one")) > aired + 2, what="more airings")
            limit.unlink()
            begun_s = time.monotonic()
            wait_until(lambda: push("rtmp")["state"] == "up", what="the push to be up")
            row.measured["child without memory: push_up_after_s"] = round(time.monotonic() - begun_s, 1)
    assert daemon.log("clip_waits", "clip_refused")[0]["reason"] == "FFmpeg got no more memory or threads"
    assert (failed["state"], push("modest")["restarts"]) == ("retrying", 0) and failed["last_error"]
    assert set(daemon.aired("one")) == set(map(str, solo_clips)), "neither the filler nor what could not be prepared"
    assert read_ts(tmp_path / "seen.ts", fps=Fraction(FPS), allowances=Allowances(open_start=True, open_end=True)).faults() == []
    assert viewer.trouble == []
