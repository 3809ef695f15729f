"""Row 22: inotify's queue overflows, its limits are reached, the watched folder is removed and made again."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from injection import needs
from nginx_origin import wait_until
from stage import Row, record

GENEROUS_S = 15.0
"""A rescan each 3.5 s, then a second in which the file must stand still; as much again for a busy machine."""


class Watching:
    """The child of watching.py, and what it told."""

    def __init__(self, playlist: Path, told: Path, *prefix: str) -> None:
        self._told = told
        with told.open("wb") as out:
            command = [*prefix, sys.executable, str(Path(__file__).with_name("watching.py")), str(playlist)]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out)

    def lines(self) -> list[str]:
        return self._told.read_text().splitlines()

    def seconds_until_told(self, size: int) -> float:
        """How long until it tells of a list of so many bytes."""
        began_s = time.monotonic()
        wait_until(lambda: any(line.endswith(f" {size}") for line in self.lines()), what="the change to be told", timeout_s=GENEROUS_S)
        return round(time.monotonic() - began_s, 2)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@contextlib.contextmanager
def watching(folder: Path, *prefix: str) -> Iterator[tuple[Watching, Path]]:
    (folder / "lists").mkdir()
    playlist = folder / "lists" / "one.txt"
    playlist.write_text("a.mp4\n")
    child = Watching(playlist, folder / "told", *prefix)
    try:
        wait_until(lambda: "ready" in child.lines() or child.process.poll() is not None, what="the watch")
        if child.process.poll() is not None:
            pytest.skip(f"cannot be made here: {' '.join(child.lines())[-200:]}")
        yield child, playlist
    finally:
        child.process.send_signal(signal.SIGCONT)
        child.close()


def test_an_edit_in_an_overflowing_queue_is_found_by_the_rescan(tmp_path: Path) -> None:
    """The watcher stands still while more happens than the kernel keeps for it; the edit itself is among what is lost."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    row = Row(22, time.monotonic(), {})
    with watching(tmp_path) as (child, playlist):
        child.process.send_signal(signal.SIGSTOP)
        noise = [playlist.with_name(name) for name in ("noise0", "noise1")]
        noise[0].touch()
        for number in range(limit):
            noise[number % 2].rename(noise[(number + 1) % 2])  # two events each; equal ones would be merged
        playlist.write_text("a.mp4\nb.mp4\n")
        child.process.send_signal(signal.SIGCONT)
        row.measured["overflow_s"] = child.seconds_until_told(12)
        # And it goes on as before.
        playlist.write_text("a.mp4\nb.mp4\nc.mp4\n")
        row.measured["after_overflow_s"] = child.seconds_until_told(18)
        told = child.lines()
    record(row)
    assert told[-1].endswith(" 18"), "the last list is the last one told"


@pytest.mark.parametrize("limit", ["max_inotify_watches", pytest.param("max_inotify_instances", marks=pytest.mark.long)])
def test_without_a_watch_the_rescan_does_the_work(tmp_path: Path, limit: str) -> None:
    """A user namespace of the child's own has none to give."""
    needs("unshare")
    starved = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    row = Row(22, time.monotonic(), {})
    with watching(tmp_path, "unshare", "--user", "--map-root-user", "sh", "-c", starved, "sh") as (child, playlist):
        playlist.write_text("a.mp4\nb.mp4\n")
        row.measured[f"{limit}_s"] = child.seconds_until_told(12)
        assert any("playlist_watch_limited" in line for line in child.lines()), "the operator is told that changes come late"
    record(row)


def test_a_folder_that_is_removed_and_made_again_is_watched_again(tmp_path: Path) -> None:
    row = Row(22, time.monotonic(), {})
    with watching(tmp_path) as (child, playlist):
        playlist.unlink()
        playlist.parent.rmdir()
        wait_until(lambda: "removed 0" in child.lines(), what="the removal to be told", timeout_s=GENEROUS_S)
        playlist.parent.mkdir()
        playlist.write_text("a.mp4\nb.mp4\n")
        row.measured["recreated_s"] = child.seconds_until_told(12)
        draft = playlist.with_name("draft")
        draft.write_text("a.mp4\nb.mp4\nc.mp4\n")
        os.replace(draft, playlist)  # noqa: PTH105
        row.measured["after_recreated_s"] = child.seconds_until_told(18)
        told = child.lines()
    record(row)
    assert told.index("removed 0") < next(number for number, line in enumerate(told) if line.endswith(" 12")), told
