"""A power loss: control, hosts, workers and holder die at one moment, and the channel goes on where its rules say."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judge.decode import gray_frames
from judge.hls_recorder import HlsRecorder
from judge.marks import read_number
from nginx_origin import wait_until
from running import FPS, RunningDaemon, still_there
from timeline import LONG, LONG_FRAMES

DaemonOf = Callable[..., RunningDaemon]
LONG_FIRST = 50_000
OTHER, OTHER_FIRST = "d0.mp4", 1_000
SAVED_S = 2.5
"""What was written down may be this old: a second between two saves, one for the batch, and the machine's own haste."""
GOP_FRAMES = FPS


def power_off(daemon: RunningDaemon) -> None:
    """Everything at once, as a cut of the mains does."""
    family = daemon.family()
    for process in (*family, *([daemon.process] if daemon.process else [])):
        os.kill(process.pid, signal.SIGKILL)
    daemon.kill()
    assert still_there(family, within_s=10) == []


def numbers(viewer: HlsRecorder, folder: Path, since: int) -> list[int]:
    """The number of every picture from a segment on; pictures without one, as the filler's, are left out."""
    joined = folder / f"joined-{since}.ts"
    joined.write_bytes(b"".join(each.path.read_bytes() for number, each in sorted(viewer.fetched.items()) if number >= since))
    read = [read_number(picture) for picture in gray_frames(joined, size=(160, 90))]
    return [number for number in read if number is not None]


def lose_power(daemon: RunningDaemon, folder: Path, *, off_s: float) -> tuple[int, list[int]]:
    """Cut the power some seconds into the long clip; gives the last number seen before, and all numbers after."""
    with HlsRecorder(daemon.hls_url("one"), folder / "before", poll_s=0.1) as before:
        wait_until(lambda: before.fetched and LONG_FIRST in numbers(before, folder, 0), what="the long clip", timeout_s=60)
        before.wait_for_segments(len(before.fetched) + 3, 30)
        power_off(daemon)
    last = numbers(before, folder, 0)[-1]
    time.sleep(off_s)
    daemon.start()
    with HlsRecorder(daemon.hls_url("one"), folder / "after", poll_s=0.1) as after:
        wait_until(lambda: any(each.segment.discontinuity for each in after.fetched.values()), what="the joint", timeout_s=40)
        joint = next(number for number, each in sorted(after.fetched.items()) if each.segment.discontinuity)
        wait_until(lambda: max(after.fetched) >= joint + 4, what="segments behind it", timeout_s=40)
    return last, numbers(after, folder, joint)


@pytest.mark.parametrize(
    ("resume", "on_outage"),
    [
        ("exact", "hold"),
        pytest.param("exact", "continue", marks=pytest.mark.long),
        pytest.param("entry", "hold", marks=pytest.mark.long),
        pytest.param("start", "hold", marks=pytest.mark.long),
    ],
)
def test_a_channel_resumes_by_its_rules_after_a_power_loss(
    resume: str, on_outage: str, daemon_of: DaemonOf, tmp_path: Path, deck: Path, prepared: Path
) -> None:
    playlist = tmp_path / "list.txt"
    playlist.write_text(f"{deck / OTHER}\n{deck / LONG}\n")
    channel: dict[str, Any] = {"playlist": str(playlist), "media_roots": [str(deck)], "resume": resume, "on_outage": on_outage}
    channel["outputs"] = [{"hls": {"segment_seconds": 1, "window": 10}}]
    daemon = daemon_of({"one": channel}, cache=prepared)
    daemon.start()
    off_s = 1.0
    begun = time.monotonic()
    last, after = lose_power(daemon, tmp_path, off_s=off_s)
    away_frames = (time.monotonic() - begun) * FPS
    first, spent = after[0], last - LONG_FIRST
    if (resume, on_outage) == ("exact", "hold"):
        assert -(SAVED_S * FPS + GOP_FRAMES) <= first - last <= 3 * FPS
    elif (resume, on_outage) == ("exact", "continue"):
        # The clock went on: by the outage at least, and never by more than the whole test took; the clip may have ended.
        assert first == last + 1 or first > last or first < LONG_FIRST
        assert first - last <= away_frames
    elif resume == "entry":
        assert first == LONG_FIRST and spent > 0
    else:
        assert first != last and first < LONG_FIRST
    assert after == sorted(after) or min(after) < LONG_FIRST, "the pictures follow each other"
    assert spent < LONG_FRAMES
