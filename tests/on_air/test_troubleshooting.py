"""The commands of docs/troubleshooting.md, run as they stand against a daemon on air; what it and docs/security.md name exists."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import RunningDaemon
from timeline import DECK

ROOT = Path(__file__).resolve().parent.parent.parent
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
SETTINGS, *BLOCKS = re.findall(r"^```sh\n(.*?)^```", TROUBLE, re.MULTILINE | re.DOTALL)
COMMANDS = [SETTINGS[SETTINGS.index("channeld check") :], *BLOCKS]
VARIABLES = SETTINGS[: SETTINGS.index("channeld check")]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("troubled")
    (folder / "list.txt").write_text("".join(f"{deck / name}\n" for name in DECK))
    channels = {"live1": {"playlist": str(folder / "list.txt"), "media_roots": [str(deck)], "outputs": [{"hls": {"segment_seconds": 1}}]}}
    made = RunningDaemon(folder / "daemon", channels, cache=prepared)
    try:
        made.start()
        yield made
    finally:
        assert made.stop() == []


@pytest.fixture(scope="module")
def shell(daemon: RunningDaemon, deck: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a reader who set the variables to this daemon's."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "channeld").write_text(f'#!/bin/sh\nexec {sys.executable} -m channeld "$@"\n')
    (programs / "channeld").chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CHANNELD_CONFIG": str(daemon.config_path),
        "CHANNELD": daemon.admin_url,
        "MEDIA": f"http://127.0.0.1:{daemon.media_port}",
        "TOKEN": (daemon.folder / "state" / "admin.token").read_text().strip(),
        "FILE": str(deck / "d0.mp4"),
        "COLUMNS": "200",
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("\n")[0][:40])
def test_every_command_shown_works(shell: dict[str, str], daemon: RunningDaemon, command: str) -> None:
    daemon.wait_for("live1", lambda channel: channel["outputs"][0].get("media_sequence") is not None, what="a manifest")
    done = subprocess.run(["sh", "-ec", VARIABLES + command], env=shell, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    assert done.stdout.strip() or "-X POST" in command
    assert "Traceback" not in done.stderr
    assert shell["TOKEN"] not in done.stdout + done.stderr


def test_there_is_a_cause_and_a_remedy_for_thirty_symptoms_and_more() -> None:
    symptoms = re.split(r"^### ", TROUBLE, flags=re.MULTILINE)[1:]
    assert len(symptoms) >= 30
    assert [each.partition("\n")[0] for each in symptoms if len(each.partition("\n")[2].strip()) < 60] == []


def test_every_event_of_the_log_that_is_named_is_written_somewhere() -> None:
    source = "".join(path.read_text() for path in (ROOT / "channeld").rglob("*.py"))
    named = set(re.findall(r"\(`([a-z]+(?:_[a-z]+)+)`", TROUBLE)) | {"position_not_restored", "playlist_watch_limited", "logins_limited"}
    assert {"clip_refused", "playlist_refused", "entry_passed_over"} <= named
    assert [event for event in named if f'"{event}"' not in source] == []


def test_every_test_that_a_row_of_the_security_table_names_is_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)?test_\w+\.py)`", SECURITY))
    assert len(named) >= 15
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []
