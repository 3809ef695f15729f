"""What sources that are gone left is removed, and nothing else."""

import os
import subprocess
from pathlib import Path

from channeld.channel.source_folders import sweep


def gone_pid() -> int:
    """Of a process that was, and is reaped."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_files_of_processes_that_are_gone_go_with_their_empty_folders(tmp_path: Path) -> None:
    pid = gone_pid()
    for suffix in ("ts", "idx", "base", "ts.part"):
        put(tmp_path / "relay-1" / "upstream" / f"upstream-{pid}-3.{suffix}")
    assert sweep(tmp_path, ()) == 4
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_use_or_of_a_living_process_stays(tmp_path: Path) -> None:
    wanted = put(tmp_path / "one" / "camera" / f"camera-{gone_pid()}-1.ts")
    living = put(tmp_path / "two" / "camera" / f"camera-{os.getpid()}-1.ts")
    assert sweep(tmp_path, {"one/camera"}) == 0
    assert wanted.exists() and living.exists()


def test_files_of_other_people_stay(tmp_path: Path) -> None:
    pid = gone_pid()
    outside = put(tmp_path / "elsewhere" / f"camera-{pid}-1.ts")
    root = tmp_path / "channeld-live"
    theirs = [
        put(root / "notes.txt"),
        put(root / "photos" / "holiday.ts"),
        put(root / "photos" / "2024" / "camera-one.ts"),
        put(root / "photos" / "2024" / f"camera-{pid}-1.jpg"),
        put(root / "photos" / "2024" / f"camera-{pid}-1.ts" / "inside"),
    ]
    (root / "photos" / "linked").symlink_to(outside.parent)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "photos" / "2024" / f"link-{pid}-1.ts").symlink_to(outside)
    assert sweep(root, ()) == 0
    assert all(path.exists() for path in (*theirs, outside))


def test_a_folder_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none", ()) == 0
