"""Row 32: a second daemon with the same configuration."""

import subprocess
import sys
from collections.abc import Callable

from running import RunningDaemon


def test_the_second_daemon_refuses_to_start_and_names_the_first(solo_daemon: Callable[..., RunningDaemon]) -> None:
    """Exit 1, one sentence with the first one's pid; the first stays on air and loses nothing."""
    daemon = solo_daemon()
    daemon.start()
    before = len(daemon.log("daemon_started"))
    command = [sys.executable, "-m", "channeld", "run", "--config", str(daemon.config_path)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"a channeld daemon (pid {daemon.pid}, {daemon.config_path}) already uses" in second.stderr
    assert "Traceback" not in second.stderr
    assert daemon.answers("/readyz") and len(daemon.log("daemon_started")) == before
    assert (daemon.folder / "state" / "admin.token").exists() and (daemon.folder / "state" / "daemon.lock").exists()
