"""Row 3: the FFmpeg that prepares a clip is killed, hangs, or eats memory: retried once, else the clip is skipped."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clips import numbered_clip
from injection import cgroup, ffmpeg_of, join, stopped
from nginx_origin import wait_until
from stage import Stage

from channeld.base.errors import ChildStalled
from channeld.base.units import FrameRate
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_reference
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.profile import Profile
from channeld.media.tools import find_tools

FRAMES = 750


def _clip(stage: Stage, name: str, base: int) -> Path:
    """A clip that takes a while to prepare, listed after those that air; of another content than all before."""
    path = numbered_clip(stage.media / name, frames=FRAMES, size=(640, 360), base=base)
    stage.write_list("hit", [*stage.shorts, path])
    return path


def _is_ready(stage: Stage, path: Path) -> bool:
    return any(each["path"] == str(path) and each["ready"] for each in stage.daemon.channel("hit")["next"])


@pytest.mark.long
def test_a_clip_whose_ffmpeg_was_killed_once_is_prepared_all_the_same(stage: Stage) -> None:
    with stage.row(3):
        path = _clip(stage, "killed-once.mp4", 10_000)
        ffmpeg_of(path).kill()
        wait_until(lambda: _is_ready(stage, path), what="the clip to be ready", timeout_s=60)
    assert str(path) not in stage.daemon.refusals()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("how", "base"), [("killed", 20_000), pytest.param("short of memory", 30_000, marks=pytest.mark.long)])
def test_a_clip_whose_ffmpeg_dies_twice_is_skipped_and_told(stage: Stage, how: str, base: int) -> None:
    with stage.row(3), cgroup("memory", "prepare", memory__limit_in_bytes=256 << 10) as group:
        path = _clip(stage, f"{how}.mp4".replace(" ", "-"), base)
        act: Callable[[int], object] = _kill if how == "killed" else lambda pid: join(group, pid)
        first = ffmpeg_of(path)
        act(first.pid)
        wait_until(lambda: ffmpeg_of(path).pid != first.pid, what="a second FFmpeg")
        act(ffmpeg_of(path).pid)
        wait_until(lambda: str(path) in stage.daemon.refusals(), what="the refusal", timeout_s=60)
    assert "signal 9, twice" in stage.daemon.refusals()[str(path)]
    assert stage.daemon.channel("hit")["state"] == "on_air"


@pytest.mark.long
def test_an_ffmpeg_that_hangs_is_run_a_second_time_and_then_given_up_for_a_while(stage: Stage, tmp_path: Path) -> None:
    """With a patience of 2 s; the daemon's is 30 s, and its air needs neither."""
    path = numbered_clip(stage.media / "hangs.mp4", frames=FRAMES, size=(640, 360), base=40_000)
    profile = Profile("small", 640, 360, FrameRate(25, 1), 400_000, 64_000, gop_seconds=1.0)
    cache = ClipCache(tmp_path / "cache", 1 << 30)
    ensure_reference(cache, profile, find_tools())
    with stage.row(3), ThreadPoolExecutor(1) as pool:
        once = pool.submit(prepare, PrepareRequest(path, profile), cache, stall_s=2.0)
        with stopped(ffmpeg_of(path).pid):
            assert once.result(60).duration_s == FRAMES / 25
        cache.forget(once.result().key)
        twice = pool.submit(prepare, PrepareRequest(path, profile), cache, stall_s=2.0)
        first = ffmpeg_of(path)
        with stopped(first.pid):
            wait_until(lambda: ffmpeg_of(path).pid != first.pid, what="a second FFmpeg")
            with stopped(ffmpeg_of(path).pid), pytest.raises(ChildStalled):
                twice.result(60)
