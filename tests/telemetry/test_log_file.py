"""Log files that are moved away, removed and full."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from channeld.base.errors import ConfigError
from channeld.telemetry.log import configure, get, relay
from channeld.telemetry.log_file import LogFile


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The root logger's handlers and level."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def events(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def test_lines_are_json_and_what_children_wrote_stands_between_them(tmp_path: Path) -> None:
    configure("info", file=tmp_path / "log")
    get("test").info("first")
    relay('{"event": "of a child"}')
    get("test").info("last")
    assert events(tmp_path / "log") == ["first", "of a child", "last"]


def test_the_next_line_after_a_rotation_begins_a_new_file(tmp_path: Path) -> None:
    configure("info", file=tmp_path / "log")
    get("test").info("old")
    (tmp_path / "log").rename(tmp_path / "log.1")
    get("test").info("new")
    (tmp_path / "log").unlink()
    get("test").info("newest")
    assert events(tmp_path / "log.1") == ["old"] and events(tmp_path / "log") == ["newest"]


def test_another_file_counts_at_once_and_the_old_one_is_closed(tmp_path: Path) -> None:
    configure("info", file=tmp_path / "one")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    configure("info", file=tmp_path / "two")
    get("test").info("moved")
    assert events(tmp_path / "two") == ["moved"] and events(tmp_path / "one") == []
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_the_file_does_not_take_goes_to_stderr(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    configure("info", file=tmp_path / "folder" / "log")
    (tmp_path / "folder" / "log").unlink()
    (tmp_path / "folder").rmdir()
    get("test").info("without a folder")
    assert "without a folder" in capfd.readouterr().err
    (tmp_path / "folder").mkdir()
    get("test").info("again")
    assert events(tmp_path / "folder" / "log") == ["again"]


def test_a_full_disk_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    full = LogFile(Path("/dev/full"))
    full.write_line("a line")
    full.close()
    assert "a line" in capfd.readouterr().err


def test_a_file_that_cannot_be_opened_is_told_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log\.file"):
        configure("info", file=tmp_path / "not" / "there")


def test_where_nothing_takes_a_line_whoever_logs_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr("sys.stderr", full)
        log = LogFile(Path("/dev/full"))
        log.write_line("a line")
        monkeypatch.setattr("sys.stderr", None)
        log.write_line("a line")
        log.close()
        with contextlib.suppress(OSError):
            full.close()
