"""Channels of live sources that are started, watched, left alone and stopped again and again, and what that leaves behind.

Rule: every turn ends in a stopped or idle channel, wherever it is cut short, so that what a daemon holds at rest can be compared. Shares
no code with channeld; counts are the kernel's.
"""

import contextlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from running import RunningDaemon, command_line

IDLE_S = 5
"""The shortest that `idle_seconds` may be."""
_LONGEST_S = 300.0
_AIR_S = 20.0
_QUIET_S = 3.0
POOL_S = 12.0
_MOST_SEGMENTS = 20
"""Of a window of 6: those that are listed, and those that somebody may yet ask for."""
_ROLES = ("channeld.process.hold", "channeld.playout.host", "channeld.api.media_worker", "channeld.sources.ingest", "ffmpeg")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a daemon and its family hold at one moment: processes by role, descriptors and threads by role, files, bytes of memory."""

    processes: dict[str, int]
    descriptors: dict[str, int]
    threads: dict[str, int]
    files: frozenset[str]
    memory: dict[str, int] = field(compare=False)
    opened: Counter[str] = field(compare=False)
    """What the daemon's own descriptors are of."""


def holdings(daemon: RunningDaemon) -> Holdings:
    """As the kernel counts them now."""
    family = [psutil.Process(daemon.pid), *daemon.family()]
    processes, descriptors, threads, memory = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            role = _role(process, daemon.pid)
            processes[role] += 1
            descriptors[role] += process.num_fds()
            threads[role] += process.num_threads()
            memory[role] += process.memory_info().rss
    return Holdings(dict(processes), dict(descriptors), dict(threads), _files(daemon.folder), dict(memory), _opened(daemon.pid))


def _opened(pid: int) -> Counter[str]:
    """What a process's descriptors are of, how many of each; of sockets and pipes only that they are."""
    found = Counter[str]()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since it was listed
            found[fd.readlink().as_posix().split("[")[0]] += 1
    return found


def _role(process: psutil.Process, daemon: int) -> str:
    if process.pid == daemon:
        return "daemon"
    line = command_line(process)
    return next((role for role in _ROLES if role in line), line)


def _files(folder: Path) -> frozenset[str]:
    """Names of files and folders below state, run, hls and tmp. A database's journals come and go; of segments the window counts."""
    # os.walk passes over a folder that is removed while it looks.
    walked = [each for place in ("state", "run", "hls", "tmp") for each in os.walk(folder / place)]
    found = [Path(parent, name) for parent, folders, files in walked for name in (*folders, *files)]
    segments = Counter(path.parent for path in found if path.name.startswith("segment-"))
    many = {f"{path.relative_to(folder)}: {count} segments" for path, count in segments.items() if count > _MOST_SEGMENTS}
    names = (str(path.relative_to(folder)) for path in found if not path.name.endswith(("-wal", "-shm", "-journal", ".ts.tmp")))
    return frozenset(name for name in names if "/segment-" not in name) | many


def prepared(daemon: RunningDaemon) -> None:
    """Wait until nothing has been in preparation for a while: slates are, after the start."""
    since = time.monotonic()

    def is_quiet() -> bool:
        nonlocal since
        if any("ffmpeg" in command_line(process) for process in daemon.family()):
            since = time.monotonic()
        return time.monotonic() - since > _QUIET_S

    _until(is_quiet, "every slate")


def at_rest(daemon: RunningDaemon, wanted: Holdings | None, *, within_s: float = 60.0) -> Holdings:
    """What is held once it is as wanted, or for so long no more changes that no idle thread of a pool is left; else the last look.

    It is asked for something now and then, as those that answer requests go when another finds them idle for ten seconds.
    """
    deadline, still_since, before = time.monotonic() + within_s, time.monotonic(), holdings(daemon)
    while time.monotonic() < deadline:
        time.sleep(0.25)
        daemon.get("/api/v1/channels")
        now = holdings(daemon)
        if now != before:
            still_since, before = time.monotonic(), now
        if now == wanted or (wanted is None and time.monotonic() - still_since > POOL_S):
            return now
    return before


def growth(before: Holdings, after: Holdings) -> list[str]:
    """Sentences on what there is more of."""
    found = []
    for what, old, new in (
        ("processes", before.processes, after.processes),
        ("descriptors", before.descriptors, after.descriptors),
        ("threads", before.threads, after.threads),
    ):
        found += [f"{role}: {old.get(role, 0)} {what} before, {new[role]} after" for role in new if new[role] > old.get(role, 0)]
    found += [f"the daemon opened {count} more of {what}" for what, count in (after.opened - before.opened).items() if found]
    return found + [f"file left: {name}" for name in sorted(after.files - before.files)]


class Cycles:
    """Drives channels of one daemon, a thread for each, until so many turns are done."""

    def __init__(self, daemon: RunningDaemon, *, started: Iterable[str], watched: Iterable[str], seed: int = 1) -> None:
        self._daemon = daemon
        self._random = random.Random(seed)
        self._turns = dict.fromkeys(started, self._started) | dict.fromkeys(watched, self._watched)
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self, count: int) -> float:
        """Do so many turns; gives the seconds that they took."""
        began = time.monotonic()
        turns = iter(range(count))
        lock = threading.Lock()
        workers = [
            threading.Thread(target=self._drive, args=(channel, turn, turns, lock), name=f"cycles:{channel}")
            for channel, turn in self._turns.items()
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.monotonic() - began

    def _drive(self, channel: str, turn: Callable[[httpx.Client, str], str], turns: Iterator[int], lock: threading.Lock) -> None:
        with self._daemon.client() as client:
            client.timeout = httpx.Timeout(_LONGEST_S)
            while not self.faults:
                with lock:
                    if next(turns, None) is None:
                        return
                try:
                    self.done[turn(client, channel)] += 1
                except (httpx.HTTPError, TimeoutError, AssertionError) as error:
                    self.faults.append(f"{channel}: {type(error).__name__}: {error}")

    def _started(self, client: httpx.Client, channel: str) -> str:
        """Start, and stop at some moment: at once, after a while, or on air."""
        kind = self._random.choice(("at once", "at once", "after a while", "after a while", "on air"))
        client.post(f"/api/v1/channels/{channel}/start").raise_for_status()
        if kind == "after a while":
            time.sleep(self._random.uniform(0.05, 1.5))
        elif kind == "on air":
            deadline = time.monotonic() + _AIR_S
            while (_shown(client, channel)["now"] or {}).get("title") != "camera":
                if time.monotonic() > deadline:  # a machine without room for an encoder: what is left behind is judged all the same
                    kind = "never on air"
                    break
                time.sleep(0.05)
        client.post(f"/api/v1/channels/{channel}/stop").raise_for_status()
        _until(lambda: _shown(client, channel)["state"] == "stopped", f"{channel} stopped")
        return f"stopped {kind}"

    def _watched(self, client: httpx.Client, channel: str) -> str:
        """A viewer comes, so that the source is wanted, and goes; nobody comes until it is let go."""
        _until(lambda: self._watches(client, channel), f"{channel}'s source wanted")
        _until(lambda: _source(client, channel) == "standby", f"{channel}'s source let go")
        return "idle"

    def _watches(self, client: httpx.Client, channel: str) -> bool:
        """Take the stream as a player does until the source is wanted; False when the stream ended first."""
        with contextlib.suppress(httpx.TransportError), httpx.stream("GET", self._daemon.ts_url(channel), timeout=30) as stream:
            for _ in stream.iter_raw():
                if _source(client, channel) != "standby":
                    return True
        return False


def _shown(client: httpx.Client, channel: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/channels/{channel}").raise_for_status().json()
    return found


def _source(client: httpx.Client, channel: str) -> str:
    return str(_shown(client, channel)["sources"][0]["state"])


def _until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _LONGEST_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_LONGEST_S:g} s for {what}")
        time.sleep(0.05)


def cpu_s(daemon: RunningDaemon) -> float:
    """Seconds of CPU that a daemon and all that it ever waited for have used."""
    spent = 0.0
    for process in [psutil.Process(daemon.pid), *daemon.family()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent
