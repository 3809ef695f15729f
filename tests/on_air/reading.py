"""Local readers of a running daemon as processes of their own, and what a daemon leaves in the machine.

Rule: whoever starts a Reading ends it. What a reader got stands in a file, byte by byte, with the holes it was told of.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
from nginx_origin import wait_until
from running import RunningDaemon, command_line

HOST, WORKER, HOLDER = "channeld.playout.host", "channeld.api.media_worker", "channeld.process.hold"
_ROLES = (HOST, WORKER, HOLDER, "channeld run")

_READER = """
import json, os, sys
from channeld.client import Overrun, connect
stream = connect("one", sys.argv[1], reconnect=True, timeout=None)
out, got, ring = open(sys.argv[2], "wb", buffering=0), 0, stream.status().generation

def tell(**told):
    os.write(1, (json.dumps({"at": got, **told}) + "\\n").encode())

while True:
    try:
        chunk = next(stream)
    except Overrun as overrun:
        tell(lost=overrun.lost_bytes)
        continue
    if stream.status().generation != ring:
        ring = stream.status().generation
        tell(ring=ring)
    got += out.write(chunk)
"""


@dataclass(frozen=True, slots=True)
class Hole:
    """What a reader was told it lost, behind so many bytes that it had."""

    at: int
    lost: int


class Reading:
    """One program that reads channel `one` and stays through everything."""

    def __init__(self, daemon: RunningDaemon, name: str) -> None:
        self.path, self._holes = daemon.folder / f"{name}.ts", daemon.folder / f"{name}.holes"
        arguments = [sys.executable, "-c", _READER, str(daemon.folder / "run"), str(self.path)]
        with self._holes.open("wb") as told:
            self.process = subprocess.Popen(arguments, stdout=told)
        wait_until(lambda: self.path.exists() and self.size > 0, what=f"{name} to read", timeout_s=30)

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def holes(self) -> list[Hole]:
        return [Hole(told["at"], told["lost"]) for told in self._told() if "lost" in told]

    def rings(self) -> list[bytes]:
        """What it has of each ring, in order."""
        read, begins = self.path.read_bytes(), [0, *(told["at"] for told in self._told() if "ring" in told)]
        return [read[begin:end] for begin, end in itertools.pairwise([*begins, len(read)])]

    def _told(self) -> list[dict[str, int]]:
        return [json.loads(line) for line in self._holes.read_text().splitlines()]

    def goes_on(self, byte_count: int = 1, *, timeout_s: float = 40.0) -> None:
        """Wait until it has so many more bytes than now."""
        before = self.size
        wait_until(lambda: self.size >= before + byte_count, what=f"{self.path.name} to go on", timeout_s=timeout_s)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@dataclass(frozen=True, slots=True)
class Traces:
    """What a daemon has in the machine: processes by role, rings, sockets of readers, FIFOs, and open files of daemon and host."""

    processes: dict[str, int]
    rings: int
    sockets: tuple[str, ...]
    fifos: int
    daemon_files: int
    host_files: int


def members(daemon: RunningDaemon) -> dict[str, list[psutil.Process]]:
    """The daemon's processes by role, of whatever life; readers and programs that they started are none."""
    holder = [each for each in psutil.process_iter() if HOLDER in (line := command_line(each)) and str(daemon.folder) in line]
    family = [psutil.Process(daemon.pid), *holder, *(child for each in holder for child in each.children(recursive=True))]
    found: dict[str, list[psutil.Process]] = {}
    for process in {each.pid: each for each in family}.values():
        line = command_line(process)
        role = next((role for role in _ROLES if role in line), "other" if line else "")
        if role:
            found.setdefault(role, []).append(process)
    return found


def traces(daemon: RunningDaemon) -> Traces:
    """As it is now. A process that ends meanwhile has nothing."""
    roles = members(daemon)
    counts = Counter({role: len(processes) for role, processes in roles.items()})
    rings = {inode for processes in roles.values() for each in processes for inode in _rings(each.pid)}
    sockets = sorted(path.name for path in (daemon.folder / "run" / "bus").glob("*"))
    fifos = sum(path.is_fifo() for path in daemon.folder.rglob("*"))
    hosts = roles.get(HOST, [])
    return Traces(dict(counts), len(rings), tuple(sockets), fifos, _files(daemon.pid), sum(_files(each.pid) for each in hosts))


def _rings(pid: int) -> set[int]:
    found = set()
    for path in _descriptors(pid):
        try:
            if "memfd:channeld-bus" in str(path.readlink()):
                found.add(path.stat().st_ino)
        except FileNotFoundError:
            continue
    return found


def _files(pid: int) -> int:
    return len(_descriptors(pid))


def _descriptors(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return []


def kill_now(*pids: int) -> None:
    """All at once, as far as they live."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
