"""Row 16: the disk under state and cache is full."""

import contextlib
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from clips import numbered_clip
from judge.ts import Allowances, read_ts
from nginx_origin import wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon
from solo import channel_of, solo, write_list
from stage import Row, record
from tight_disks import Balloon, memory_disk

SIZE_KB = 40 * 1024
FULL = "state, cache"


class Tight:
    """A daemon whose state, cache and one of two lists lie on a small disk."""

    def __init__(self, daemon: RunningDaemon, disk: Path, lists: dict[str, Path]) -> None:
        self.daemon, self.disk, self.lists = daemon, disk, lists
        self.balloon = Balloon(disk)

    def alarms(self) -> dict[str, str]:
        return {each["subject"]: each["level"] for each in self.daemon.get("/api/v1/status")["alarms"] if each["alarm"] == "disk"}

    def fill(self) -> None:
        """Until the disk is told to be full."""

        def is_told() -> bool:
            self.balloon.inflate()
            return self.alarms().get(FULL) == "critical"

        wait_until(is_told, what="the alarm", timeout_s=20)
        self.balloon.inflate()

    def put(self, text: str) -> int:
        """Replace the list on the small disk; gives the status."""
        with self.daemon.client() as client:
            tag = client.get("/api/v1/channels/two/playlist").headers["ETag"]
            answer = client.put("/api/v1/channels/two/playlist", content=text, headers={"If-Match": tag, "Content-Type": "text/plain"})
        if answer.status_code == 507:
            assert "No space left" in answer.json()["detail"] and "as it was" in answer.json()["detail"]
        return answer.status_code


@pytest.fixture
def tight(tmp_path: Path, solo_clips: list[Path], solo_cache: Path) -> Iterator[Tight]:
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(memory_disk(tmp_path / "disk", kilobytes=SIZE_KB))
        lists = {"one": write_list(tmp_path / "one.txt", solo_clips), "two": write_list(disk / "two.txt", solo_clips)}
        (tmp_path / "daemon").mkdir()
        (tmp_path / "daemon" / "state").symlink_to(disk / "state")
        (disk / "state").mkdir()
        daemon = solo(tmp_path / "daemon", lists["one"], solo_cache, tmp_path, {"ts": {}})
        daemon.config["channels"]["two"] = channel_of(lists["two"])
        daemon.config["media_roots"] += [str(solo_clips[0].parent), str(disk)]
        daemon.start()
        try:
            yield Tight(daemon, disk, lists)
        finally:
            Balloon(disk).burst()
            faults = daemon.stop()
    assert faults == []


def test_the_air_goes_on_edits_are_refused_with_a_reason_and_nothing_is_prepared(tight: Tight, tmp_path: Path) -> None:
    """With room again the same edit counts, and what waited is prepared and airs."""
    daemon, row = tight.daemon, Row(16, time.monotonic(), {})
    fresh = numbered_clip(tmp_path / "fresh.mp4", frames=50, base=900, size=(320, 180))
    with TsRecorder(daemon.ts_url("one"), tmp_path / "seen.ts") as viewer:
        for channel in ("one", "two"):
            daemon.wait_for(channel, lambda found: found["state"] == "on_air", what="both on air")
        began_s = time.monotonic()
        tight.fill()
        row.measured["alarm_s"] = round(time.monotonic() - began_s, 1)

        before = tight.lists["two"].read_bytes()
        assert tight.put(before.decode() * 500) == 507
        assert tight.lists["two"].read_bytes() == before
        assert [path.name for path in tight.disk.iterdir() if path.name.startswith(".")] == []

        write_list(tight.lists["one"], [*map(Path, tight.lists["one"].read_text().split()), fresh])
        daemon.wait_for("one", lambda found: found["revision"] == 2, what="the edit on a disk with room")
        aired = len(daemon.aired("one"))
        wait_until(lambda: len(daemon.aired("one")) > aired + 2, what="more airings")
        assert not any(path and path.endswith("fresh.mp4") for path in daemon.aired("one"))
        assert daemon.channel("one")["state"] == "on_air" and daemon.answers("/readyz") and daemon.answers("/healthz")

        tight.balloon.burst()
        assert tight.put(before.decode() + before.decode()) == 202
        began_s = time.monotonic()
        wait_until(
            lambda: any(path and path.endswith("fresh.mp4") for path in daemon.aired("one")), what="the new clip to air", timeout_s=60
        )
        row.measured["prepares_again_s"] = round(time.monotonic() - began_s, 1)
        wait_until(lambda: FULL not in tight.alarms(), what="the alarm to be cleared")
    record(row)
    assert viewer.trouble == []
    assert read_ts(tmp_path / "seen.ts", fps=Fraction(FPS), allowances=Allowances(open_start=True, open_end=True)).faults() == []
    assert [path for path in daemon.aired("one") if path is None] == []
