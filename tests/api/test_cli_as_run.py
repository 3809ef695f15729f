"""`channeld as-run`, run as its users run it, against a real admin server."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import TOKEN, Site, running_site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def as_run(site: Site, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "channeld", "as-run", "--url", str(site.client.base_url), "--token", TOKEN, *options]
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_the_table_tells_frames_outcome_and_why(site: Site, tmp_path: Path) -> None:
    done = as_run(site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("100/250", "cut", "skip", "gone.mp4", "skipped", "there is no such file"))


def test_csv_and_json_hold_every_line(site: Site, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(as_run(site, "--csv", cwd=tmp_path).stdout)))
    lines = json.loads(as_run(site, "--json", cwd=tmp_path).stdout)
    assert [row["id"] for row in rows] == [str(line["id"]) for line in lines] == ["3", "2", "1"]


def test_filters_reach_the_daemon_and_an_answer_in_part_is_told(site: Site, tmp_path: Path) -> None:
    site.control.history_problem = "only what is in memory: the disk is full"
    done = as_run(site, "--channel", "live1", "--from", "2026-11-21T09:59", "--to", "2026-11-21T10:00:05", "--csv", cwd=tmp_path)
    site.control.history_problem = None
    assert [row["path"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["a.mp4"]
    assert "this is not all there is: only what is in memory: the disk is full" in done.stderr


def test_totals_count_what_aired(site: Site, tmp_path: Path) -> None:
    rows = json.loads(as_run(site, "--totals", "--json", cwd=tmp_path).stdout)
    assert [(row["channel"], row["path"], row["airings"]) for row in rows] == [("live1", "a.mp4", 1), ("live2", "c.mp4", 1)]
    assert "0:04" in as_run(site, "--totals", cwd=tmp_path).stdout


@pytest.mark.parametrize("options", [("--outcome", "good"), ("--channel", "nobody")])
def test_what_cannot_be_meant_is_bad_input(site: Site, options: tuple[str, str], tmp_path: Path) -> None:
    done = as_run(site, *options, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr
