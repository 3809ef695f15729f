"""The origin as it is rendered: who may publish, who may ask for statistics, and what it never does by itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def rendered(repository: Path, tmp_path: Path) -> str:
    """The configuration of an origin that listens on every address; without comments."""
    everywhere = ("--rtmp-listen=0.0.0.0", "--http-listen=0.0.0.0", "--control-port=18089")
    command = [sys.executable, str(repository / "nginx" / "render.py"), str(tmp_path / "origin"), *everywhere]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return re.sub(r"#.*", "", (tmp_path / "origin" / "nginx.conf").read_text())


def test_control_and_statistics_listen_on_loopback_whatever_else_listens_where(rendered: str) -> None:
    assert set(re.findall(r"listen\s+(\S+):18089\b", rendered)) == {"127.0.0.1"}
    for server in re.findall(r"server \{.*?\n    \}", rendered, re.DOTALL):
        if "rtmp_control" in server or "rtmp_stat" in server:
            assert "127.0.0.1:18089" in server and "0.0.0.0" not in server


def test_only_this_machine_publishes(rendered: str) -> None:
    rules = re.findall(r"(allow|deny)\s+publish\s+(\S+);", rendered)
    assert rules == [("allow", "127.0.0.1"), ("deny", "all")]


def test_nothing_is_run_asked_or_forwarded_by_the_origin(rendered: str) -> None:
    assert not re.search(r"\b(exec\w*|on_\w+|push|pull|dav_methods|perl\w*|lua\w*|proxy_pass)\s+[^;]*;", rendered)
