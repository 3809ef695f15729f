"""Row 15: the disk under HLS is full, out of inodes, or mounted read-only."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from judge.hls_recorder import HlsRecorder
from judge.ts import Allowances, read_ts
from nginx_origin import wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon
from solo import solo, write_list
from stage import Row, record
from tight_disks import Balloon, memory_disk, set_read_only

OUTPUT = "output_not_written"
GENEROUS_S = 10.0
SIZE_KB, INODES = 3072, 100


class Tight:
    """A daemon whose HLS has three megabytes; its other output tells whether the air noticed."""

    def __init__(self, daemon: RunningDaemon, hls: Path) -> None:
        self.daemon, self.hls = daemon, hls
        self.balloon = Balloon(hls)

    def alarms(self) -> list[tuple[str, str]]:
        return [(each["alarm"], each["subject"]) for each in self.daemon.get("/api/v1/status")["alarms"]]

    def has_alarm(self) -> bool:
        return (OUTPUT, "one/hls") in self.alarms()

    def newest(self) -> tuple[int, float]:
        """Number and age of the newest segment on the disk."""
        path = max(self.hls.glob("one/segment-*.ts"))
        return int(path.stem.partition("-")[2]), time.time() - path.stat().st_mtime


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory, solo_clips: list[Path], solo_cache: Path) -> Iterator[Tight]:
    folder = tmp_path_factory.mktemp("tight")
    playlist = write_list(folder / "one.txt", solo_clips)
    with memory_disk(folder / "hls", kilobytes=SIZE_KB, inodes=INODES) as hls:
        daemon = solo(folder, playlist, solo_cache, solo_clips[0].parent, {"ts": {}})
        daemon.config["hls_max_bytes"] = "100%"
        daemon.start()
        try:
            wait_until(lambda: len(list(hls.glob("one/segment-*.ts"))) > 3, what="segments")
            yield Tight(daemon, hls)
        finally:
            Balloon(hls).burst()
            faults = daemon.stop()
    assert faults == []


def faults_of(tight: Tight, folder: Path, strike: Callable[[], None], heal: Callable[[], None], kind: str) -> list[str]:
    """Strike until the alarm, heal; what is wrong with what viewers of both outputs got."""
    row = Row(15, time.monotonic(), {})
    with (
        HlsRecorder(tight.daemon.hls_url("one"), folder / "seen", poll_s=0.2) as viewer,
        TsRecorder(tight.daemon.ts_url("one"), folder / "seen.ts") as other,
    ):
        assert viewer.wait_for_segments(3, GENEROUS_S)

        def is_told() -> bool:
            strike()
            return tight.has_alarm()

        wait_until(is_told, what="the alarm", timeout_s=30)
        number, age_s = tight.newest()
        row.measured[f"{kind}_alarm_s"] = round(age_s, 2)
        heal()
        healed_s = time.monotonic()
        wait_until(lambda: tight.newest()[0] > number, what="a segment after it was healed", timeout_s=GENEROUS_S)
        row.measured[f"{kind}_heals_s"] = round(time.monotonic() - healed_s, 2)
        wait_until(lambda: not tight.has_alarm(), what="the alarm to be cleared")
        seen = len(viewer.fetched)
        assert viewer.wait_for_segments(seen + 3, GENEROUS_S)
    record(row)
    assert row.measured[f"{kind}_alarm_s"] <= GENEROUS_S
    numbers = sorted(viewer.fetched)
    pieces = [viewer.fetched[number].path.read_bytes() for number in numbers]
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    torn = [number for number, piece in zip(numbers, pieces, strict=True) if len(piece) % 188]
    judged: dict[str, Any] = {"fps": Fraction(FPS), "allowances": Allowances(open_start=True, open_end=True)}
    faults = read_ts(b"".join(pieces), segment_bytes=tuple(map(len, pieces)), **judged).faults()
    faults += read_ts(folder / "seen.ts", **judged).faults()
    return [
        *(f"segment {each} is missing" for each in missing),
        *(f"segment {each} is torn" for each in torn),
        *faults,
        *viewer.trouble,
        *other.trouble,
    ]


def test_a_full_disk_is_told_and_no_torn_segment_is_ever_listed(tight: Tight, tmp_path: Path) -> None:
    assert faults_of(tight, tmp_path, tight.balloon.inflate, tight.balloon.burst, "bytes") == []


def test_a_disk_without_inodes_likewise(tight: Tight, tmp_path: Path) -> None:
    assert faults_of(tight, tmp_path, tight.balloon.scatter, tight.balloon.burst, "inodes") == []


def test_a_disk_mounted_read_only_likewise(tight: Tight, tmp_path: Path) -> None:
    def strike() -> None:
        if not is_struck:
            wait_until(lambda: _is_done(tight.hls), what="a moment in which no file is open for writing")
            is_struck.append(True)

    is_struck: list[bool] = []
    assert faults_of(tight, tmp_path, strike, lambda: set_read_only(tight.hls, False), "read_only") == []


def _is_done(folder: Path) -> bool:
    try:
        set_read_only(folder, True)
    except subprocess.CalledProcessError:
        return False
    return True


@pytest.mark.long
def test_little_room_is_an_alarm_before_anything_fails(tight: Tight) -> None:
    """The disk itself is named, with what is free; it clears when there is room again."""
    wait_until(lambda: ("disk", "hls") not in tight.alarms(), what="the disk to be well", timeout_s=20)
    room = os.statvfs(tight.hls)  # half of what counts as little is left, however much the segments take by now
    (tight.hls / "filler").write_bytes(b"\0" * (room.f_bavail * room.f_frsize - SIZE_KB * 1024 // 10))
    wait_until(lambda: ("disk", "hls") in tight.alarms(), what="the alarm of the disk", timeout_s=20)
    (tight.hls / "filler").unlink()
    wait_until(lambda: ("disk", "hls") not in tight.alarms(), what="the alarm to be cleared", timeout_s=20)
    events = [each for each in tight.daemon.log("alarm_raised") if each["alarm"] == "disk"]
    assert events and "MiB are free" in events[-1]["message"]
