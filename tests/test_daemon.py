"""The daemon as systemd sees it: told when it is ready, fed while it turns, gone with all its children."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from clips import numbered_clip
from station import until

WATCHDOG_S = 5.0
"""WatchdogSec of the unit."""

CONFIG = """
state_dir: state
runtime_dir: run
hls_dir: hls
admin: {{listen: "127.0.0.1:{admin}"}}
media: {{listen: "127.0.0.1:{media}"}}
profiles:
  small: {{width: 320, height: 180, fps: 25, video_bitrate: 400k, audio_bitrate: 64k, gop_seconds: 1}}
defaults: {{profile: small}}
channels:
  one: {{playlist: list.txt, outputs: [{{hls: {{segment_seconds: 2}}}}]}}
"""


def is_holder(process: psutil.Process, runtime_dir: Path) -> bool:
    """Of this runtime folder; its command line was asked for."""
    line = process.info["cmdline"] or []
    return "channeld.process.hold" in line and str(runtime_dir / "hold.sock") in line


def end_holders(runtime_dir: Path) -> None:
    """End what a killed daemon left with its holder."""
    for process in psutil.process_iter(["cmdline"]):
        if is_holder(process, runtime_dir):
            process.terminate()
            process.wait(20)


class Daemon:
    """`channeld run` with a socket where systemd would listen."""

    def __init__(self, folder: Path, notices: Path, admin_port: int = 0) -> None:
        self.admin_port, self.folder = admin_port, folder
        self._log = (folder / "log").open("ab")
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(str(notices))
        self._inbox.setblocking(False)
        self.notices: list[str] = []
        environment = {**os.environ, "NOTIFY_SOCKET": str(notices)}
        argv = [sys.executable, "-m", "channeld", "run", "--config", str(folder / "channeld.yaml")]
        self.process = subprocess.Popen(argv, stdout=self._log, stderr=self._log, env=environment, start_new_session=True)
        self.log = folder / "log"

    def told(self, notice: str) -> bool:
        """systemd has heard it."""
        try:
            while True:
                self.notices += self._inbox.recv(4096).decode().splitlines()
        except BlockingIOError:
            return notice in self.notices

    def hears(self, notice: str) -> bool:
        """It is told anew, since the last look."""
        before = len(self.notices)
        self.told("")
        return notice in self.notices[before:]

    def health(self) -> dict[str, Any]:
        """What /healthz says."""
        answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.admin_port}/healthz", timeout=10, trust_env=False).json()
        return answer

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        end_holders(self.folder / "run")
        self._inbox.close()
        self._log.close()


@pytest.fixture
def start(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[[], Daemon]]:
    admin = free_port()
    (tmp_path / "channeld.yaml").write_text(CONFIG.format(admin=admin, media=free_port()))
    running: list[Daemon] = []

    def run() -> Daemon:
        running.append(Daemon(tmp_path, tmp_path / f"notify{len(running)}", admin))
        return running[-1]

    yield run
    for daemon in running:
        daemon.close()


def heard_within(daemon: Daemon, wait_s: float) -> bool:
    """The watchdog was fed within that time."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if daemon.hears("WATCHDOG=1"):
            return True
        time.sleep(0.05)
    return False


def gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_systemd_is_told_ready_fed_and_told_the_end(start: Callable[[], Daemon], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    daemon = start()
    until(lambda: daemon.told("READY=1"), "READY")
    until(lambda: daemon.told("WATCHDOG=1"), "WATCHDOG")
    children = daemon.children()
    assert len(children) >= 2  # a playout host and a media worker
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert daemon.told("STOPPING=1")
    assert gone(children)


def test_the_watchdog_is_fed_twice_within_its_time_and_not_by_a_frozen_control(start: Callable[[], Daemon], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    daemon = start()
    until(lambda: daemon.told("READY=1"), "READY")
    meals: list[float] = []
    while len(meals) < 4:
        until(lambda: daemon.hears("WATCHDOG=1"), "WATCHDOG")
        meals.append(time.monotonic())
    assert max(after - before for before, after in pairwise(meals)) <= WATCHDOG_S / 2
    daemon.process.send_signal(signal.SIGSTOP)
    until(lambda: psutil.Process(daemon.process.pid).status() == psutil.STATUS_STOPPED, "the stop")
    daemon.told("")
    assert not heard_within(daemon, WATCHDOG_S / 2)
    daemon.process.send_signal(signal.SIGCONT)
    until(lambda: daemon.hears("WATCHDOG=1"), "a meal")


def test_the_watchdogs_abort_has_every_thread_tell_where_it_stands(start: Callable[[], Daemon], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    daemon = start()
    until(lambda: daemon.told("READY=1"), "READY")
    children = daemon.children()
    daemon.process.send_signal(signal.SIGABRT)
    assert daemon.process.wait(10) == -signal.SIGABRT
    said = daemon.log.read_text()
    assert "most recent call first" in said and "channel/loop.py" in said
    assert not gone(children[:1]), "the holder waits for a control"


def test_a_frozen_host_shows_in_health_and_costs_control_no_meal(start: Callable[[], Daemon], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    daemon = start()
    until(lambda: daemon.told("WATCHDOG=1"), "WATCHDOG")
    (host,) = [child for child in daemon.children() if "channeld.playout.host" in child.cmdline()]
    assert daemon.health()["ok"]
    host.suspend()
    until(lambda: not daemon.health()["parts"]["host:0"]["ok"], "the host's ill health")
    until(lambda: daemon.hears("WATCHDOG=1"), "a meal all the same")
    with contextlib.suppress(psutil.NoSuchProcess):
        host.resume()
    until(lambda: daemon.health()["ok"], "health again")


def test_a_daemon_stopped_while_it_prepares_leaves_no_child(start: Callable[[], Daemon], tmp_path: Path) -> None:
    numbered_clip(tmp_path / "long.mp4", frames=3000, size=(320, 180))
    (tmp_path / "list.txt").write_text("long.mp4\n")
    daemon = start()
    until(lambda: list((tmp_path / "state" / "cache").rglob("*.ts.part")), "a growing clip")
    children = daemon.children()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert gone(children)
    assert not list((tmp_path / "state" / "cache").rglob("*.part"))
    assert "Traceback" not in daemon.log.read_text()


def test_children_outlive_a_killed_daemon_and_end_with_their_holder(start: Callable[[], Daemon], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    daemon = start()
    until(lambda: daemon.told("READY=1"), "READY")
    children = daemon.children()
    daemon.process.kill()
    daemon.process.wait()
    assert len(children) >= 3 and all(child.is_running() for child in children)
    holder = next(child for child in children if "channeld.process.hold" in child.cmdline())
    holder.kill()
    until(lambda: gone(children), "the end of all children")


def test_a_second_daemon_is_refused_with_the_first_ones_pid(start: Callable[[], Daemon], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    first = start()
    until(lambda: first.told("READY=1"), "READY")
    second = start()
    assert second.process.wait(20) == 1
    assert f"pid {first.process.pid}" in second.log.read_text()
    assert first.process.poll() is None


def test_an_address_in_use_is_told_and_nothing_is_left(start: Callable[[], Daemon], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    config = tmp_path / "channeld.yaml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines = [f'admin: {{listen: "127.0.0.1:{port}"}}' if line.startswith("admin") else line for line in config.read_text().splitlines()]
        config.write_text("\n".join(lines))
        daemon = start()
        assert daemon.process.wait(30) == 2
    said = daemon.log.read_text()
    assert str(port) in said and "Traceback" not in said


def test_a_holder_that_dies_again_and_again_is_waited_for_longer_each_time_and_an_order_to_end_counts_meanwhile(
    start: Callable[[], Daemon], tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("")
    daemon = start()

    def lost() -> list[str]:
        return [line for line in daemon.log.read_text().splitlines() if "holder_lost" in line]

    for number in range(3):
        until(lambda: daemon.told("READY=1"), "READY")
        daemon.notices.clear()
        (holder,) = [each for each in psutil.process_iter(["cmdline"]) if is_holder(each, tmp_path / "run")]
        holder.kill()
        until(lambda number=number: len(lost()) == number + 1, "the loss")  # type: ignore[misc]
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert [float(re.findall(r"wait_s\W+([0-9.]+)", line)[0]) for line in lost()] == [0.0, 1.0, 2.0]
    assert [each for each in psutil.process_iter(["cmdline"]) if is_holder(each, tmp_path / "run")] == []
