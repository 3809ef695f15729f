"""`channeld soak` as its users run it."""

import json
import subprocess
import sys
from pathlib import Path


def soak(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "channeld", "soak", "--dir", str(folder), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_a_short_soak_tells_its_verdict_and_leaves_nothing_behind(tmp_path: Path):
    done = soak(tmp_path, "--hours", "0.01", "--seed", "2", "--channels", "1", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["is_good"], report["seed"], report["complaints"]) == (0, True, 2, [])
    assert list(tmp_path.iterdir()) == []


def test_a_speed_that_is_none_is_refused_before_anything_is_made(tmp_path: Path):
    done = soak(tmp_path, "--speed", "warp")
    assert done.returncode == 2 and "--speed warp" in done.stderr and list(tmp_path.iterdir()) == []
