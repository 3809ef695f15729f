"""The verb `hold`, as a service manager runs it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from channeld.process.child import ChildSpec
from channeld.process.hold_client import WAIT_VARIABLE, HolderClient, connect, start_holder


class Service:
    """A service manager's part: it starts the verb, and hears when it is ready."""

    def __init__(self, folder: Path) -> None:
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(folder / "notify"))
        self._notices.settimeout(30)
        self._environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "channeld", "hold", *arguments]
        return subprocess.Popen(line, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def notice(self) -> bytes:
        return self._notices.recv(100)

    def close(self) -> None:
        self._notices.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.close()


def test_a_holder_in_the_foreground_says_when_it_is_ready_and_ends_all_it_holds_on_sigterm(service: Service, tmp_path: Path) -> None:
    process = service.run("--runtime-dir", str(tmp_path / "run"))
    assert service.notice() == b"READY=1"
    client = connect(tmp_path / "run" / "hold.sock", lambda: None)
    assert isinstance(client, HolderClient)
    assert (client.pid, client.lingers) == (process.pid, False)
    child = client.spawn(ChildSpec("sleeper", ("sleep", "60")))
    process.send_signal(signal.SIGTERM)
    assert child.wait(20) == -signal.SIGINT
    assert service.notice() == b"STOPPING=1"
    assert process.wait(20) == 0
    client.close()


def test_its_folder_may_come_from_a_configuration_and_a_second_one_is_refused(service: Service, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    config = tmp_path / "channeld.yaml"
    config.write_text("runtime_dir: run\nstate_dir: state\nhls_dir: hls\nchannels:\n  a: {playlist: films}\n")
    first = service.run("--config", str(config))
    assert service.notice() == b"READY=1"
    second = service.run("--config", str(config))
    told, _ = second.communicate(timeout=30)
    assert second.returncode == 1 and f"pid {first.pid}" in told
    first.send_signal(signal.SIGINT)
    assert first.wait(20) == 0


def test_a_daemon_waits_for_the_holder_of_its_service_manager_instead_of_starting_one(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, "30")
    process = service.run("--runtime-dir", str(tmp_path / "run"))  # needs a while before it listens
    client = start_holder(tmp_path / "run", linger_s=1, on_lost=lambda: None)
    assert client.pid == process.pid
    client.end()
    assert process.wait(20) == 0
