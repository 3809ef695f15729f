"""What a service manager hears, at a socket of the test's own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from channeld.daemon_notify import HANDOVER_S, ServiceManager


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_a_new_control_gets_time_to_come_up_and_the_units_watchdog_again(inbox: socket.socket) -> None:
    manager = ServiceManager({"WATCHDOG_USEC": "5000000"})
    manager.handing_over()
    assert inbox.recv(4096).decode().split() == ["WATCHDOG=1", f"WATCHDOG_USEC={HANDOVER_S}000000"]
    manager.ready()
    assert inbox.recv(4096).decode().split() == ["READY=1", "WATCHDOG_USEC=5000000"]


def test_without_a_watchdog_none_is_set(inbox: socket.socket) -> None:
    manager = ServiceManager({})
    manager.ready()
    manager.alive()
    manager.handing_over()
    manager.stopping()
    assert [inbox.recv(4096) for _ in range(4)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_where_nobody_listens_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ServiceManager({"WATCHDOG_USEC": "5000000"}).ready()
