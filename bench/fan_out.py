"""The endless stream to many clients, beside Icecast 2 with the same streams and the same readers, in one run.

Run: python bench/fan_out.py [--clients 1000] [--channels 5] [--seconds 30] [--rounds 1] [--no-icecast] [--folder DIR] [--json]
Tells CPU seconds of the serving process for each gigabit delivered, its own memory for each client, how late playout released its slices
without and with the clients, and how long a client waits for its first whole picture. The readers are one process of their own, which reads
all that comes and looks at nothing. Goals: CPU per gigabit at most 0.35 of Icecast's, memory per client at most 64 KiB, first picture
within 200 ms, lateness p99 with clients within the noise of that without. In a phase of its own every byte of every client is held against
what the first client of its stream got.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import uvloop
from icecast import Icecast, find_icecast
from rings import Bus, buses_of
from stage import DEFAULT_FOLDER, Cast, Stage, by_role, free_ports, quantile, staged

from channeld.base.descriptors import widen_descriptors
from channeld.load.client import Condition, LoadClient

PROFILE = "{width: 640, height: 360, video_bitrate: 1750k, audio_bitrate: 128k}"
LIMITS = "max_clients_per_channel: null, max_clients_per_address: null"
MAX_CPU_SHARE, MAX_CLIENT_KIB, MAX_JOIN_MS, NOISE_MS = 0.35, 64.0, 200.0, 2.0
COLLECT_S = 4.0
SETTLE_S = 3.0
JOINS = 20
VIDEO_PID = 256
KNOWN_BYTES = 20 * 188
"""By so many of its first bytes a place in a stream is found: timestamps and counters are in them."""
MAX_WAITING_BYTES = 8 << 20


class ExactClient(LoadClient):
    """Holds each byte against `first`: all that the first client of the same stream got, which is this one where `is_first`."""

    def __init__(self, request: bytes, first: bytearray, *, is_first: bool) -> None:
        super().__init__(request, judged=False)
        self.is_wrong, self.compared = False, 0
        self._first, self._is_first = first, is_first
        self._waiting, self._at = bytearray(), -1

    def _take(self, piece: memoryview) -> None:
        super()._take(piece)
        if self._is_first:
            self._first += piece
            return
        self._waiting += piece
        if self._at < 0 and len(self._waiting) >= KNOWN_BYTES:
            self._at = self._first.find(self._waiting[:KNOWN_BYTES])
            self.is_wrong = self._at < 0 and len(self._waiting) > MAX_WAITING_BYTES
        there = min(len(self._waiting), len(self._first) - self._at) if self._at >= 0 else 0
        if there > 0:
            self.is_wrong |= self._first[self._at : self._at + there] != self._waiting[:there]
            self._at += there
            self.compared += there
            del self._waiting[:there]


def client_of(request: bytes, number: int, paths: int, firsts: list[bytearray] | None) -> LoadClient:
    """Of the stream `number` in turn."""
    if firsts is None:
        return LoadClient(request, judged=False)
    return ExactClient(request, firsts[number % paths], is_first=number < paths)


async def read_streams(port: int, paths: list[str], clients: int, *, is_exact: bool) -> None:
    """Read so many streams until stdin ends; each line of it is answered with what has come."""
    loop, readers = asyncio.get_running_loop(), []
    firsts = [bytearray() for _ in paths] if is_exact else None
    for number in range(clients):
        request = f"GET {paths[number % len(paths)]} HTTP/1.0\r\nHost: x\r\n\r\n".encode()
        client = client_of(request, number, len(paths), firsts)
        readers.append(client)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
        await asyncio.sleep(0.002)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        watching = sum(each.condition is Condition.WATCHING for each in readers)
        told = {"asked": line.strip(), "bytes": sum(each.bytes for each in readers), "watching": watching}
        exact = [each for each in readers if isinstance(each, ExactClient)]
        told |= {"wrong": sum(each.is_wrong for each in exact), "compared": sum(each.compared > 0 for each in exact)}
        told |= {"compared_bytes": sum(each.compared for each in exact)}
        told |= {"stalls": sum(each.stalls for each in readers), "least": min(each.bytes for each in readers)}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


class Readers:
    """The readers' process."""

    def __init__(self, port: int, paths: list[str], clients: int, *, is_exact: bool = False) -> None:
        line = [sys.executable, __file__, "--read", str(port), "--paths", ",".join(paths), "--clients", str(clients)]
        line += ["--exact"] if is_exact else []
        self._child = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self) -> dict[str, Any]:
        """What has come so far; at first: once all are connected."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write("count\n")
        self._child.stdin.flush()
        told: dict[str, Any] = json.loads(self._child.stdout.readline())
        return told

    def close(self) -> None:
        """All leave."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(30)


@contextlib.contextmanager
def reading(port: int, paths: list[str], clients: int, *, is_exact: bool = False) -> Iterator[Readers]:
    """Readers for as long as the block lasts."""
    readers = Readers(port, paths, clients, is_exact=is_exact)
    try:
        yield readers
    finally:
        readers.close()


def watch(buses: list[Bus], seconds: float) -> list[float]:
    """Lateness in milliseconds of what is released in that time."""
    found, ends = [], time.monotonic() + seconds
    for bus in buses:
        bus.collect()
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(COLLECT_S, left))
        for bus in buses:
            found += bus.collect()
    return found


def used(process: psutil.Process) -> float:
    """CPU seconds of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def own_bytes(process: psutil.Process) -> int:
    """Memory that is a process's alone: the rings are shared, whoever maps them."""
    return int(process.memory_full_info().uss)


def measure(server: psutil.Process, buses: list[Bus], port: int, paths: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """One server with all its clients."""
    before = own_bytes(server)
    with reading(port, paths, clients) as readers:
        readers.ask()
        time.sleep(SETTLE_S)
        first, cpu = readers.ask(), used(server)
        machine = psutil.cpu_times_percent(interval=None)
        lateness = watch(buses, seconds)
        spent, last = used(server) - cpu, readers.ask()
        machine = psutil.cpu_times_percent(interval=None)
        memory = own_bytes(server) - before
    gigabits = (last["bytes"] - first["bytes"]) * 8 / 1e9
    return {
        "watching": last["watching"],
        "gigabits": round(gigabits, 4),
        "mbit_per_client": round(gigabits * 1000 / seconds / clients, 3),
        "cpu_s": round(spent, 3),
        "cpu_s_per_gigabit": round(spent / gigabits, 4) if gigabits else None,
        "kib_per_client": round(memory / 1024 / clients, 1),
        "stalls": last["stalls"] - first["stalls"],
        "lateness_p50_ms": round(quantile(lateness, 0.5), 2),
        "lateness_p99_ms": round(quantile(lateness, 0.99), 2),
        "machine_idle_percent": machine.idle,
    }


def exactness(port: int, paths: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """Every client's bytes from its joining point on, against those of the first client of its stream."""
    with reading(port, paths, clients, is_exact=True) as readers:
        readers.ask()
        time.sleep(seconds)
        told = readers.ask()
    return {name: told[name] for name in ("watching", "compared", "compared_bytes", "wrong", "stalls")}


async def first_picture_s(port: int, path: str) -> float:
    """From the connection's first packet to the last byte of a picture that can be decoded alone, when the next one begins."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    has_begun = False
    while True:
        packet = await reader.readexactly(188)
        if (packet[1] & 0x1F) << 8 | packet[2] == VIDEO_PID and packet[1] & 0x40:
            if has_begun:
                break
            has_begun = bool(packet[3] & 0x20 and packet[4] and packet[5] & 0x40)
            if not has_begun:
                raise SystemExit("the stream does not begin with a random access point")
    writer.close()
    return time.monotonic() - began


async def joins(port: int, paths: list[str]) -> list[float]:
    """First pictures of clients that come at odd moments."""
    found = []
    for number in range(JOINS):
        found.append(await first_picture_s(port, paths[number % len(paths)]))
        await asyncio.sleep(0.137)
    return found


def beside_icecast(stage: Stage, media: int, buses: list[Bus], clients: int, seconds: float) -> dict[str, Any]:
    """The same with Icecast between."""
    channels = stage.cast.channels
    with tempfile.TemporaryDirectory(prefix="fan-out-") as folder, contextlib.ExitStack() as ends:
        Path(folder).chmod(0o755)
        server = Icecast(Path(folder) / "icecast", free_ports(1)[0], clients=clients + 100, sources=len(channels) + 1)
        ends.callback(server.close)
        for channel in channels:
            server.put(f"http://127.0.0.1:{media}/ts/{channel}", channel)
        time.sleep(SETTLE_S)
        return measure(server.process, buses, server.port, [f"/{channel}" for channel in channels], clients, seconds)


def media_port(stage: Stage) -> int:
    """Where viewers of the stage's daemon go."""
    settings = {each["key"]: each["value"] for each in stage.get("/api/v1/settings").json()["settings"]}
    return int(str(settings["media.listen"]).rpartition(":")[2])


def run(wishes: argparse.Namespace) -> dict[str, Any]:
    """All rounds."""
    if not wishes.no_icecast:
        find_icecast()
    names = tuple(f"f{number:03}" for number in range(wishes.channels))
    with staged(wishes.folder, Cast(names, outputs="ts", profile=PROFILE, media=LIMITS)) as stage, contextlib.ExitStack() as ends:
        roles = by_role(stage.daemon_pid)
        (host,), (worker,) = roles["host"], roles["media"]
        buses, port = buses_of(host.pid), media_port(stage)
        for bus in buses:
            ends.callback(bus.close)
        paths = [f"/ts/{channel}" for channel in names]
        asyncio.run(joins(port, paths))  # what is loaded once is no client's memory
        rounds = []
        for _ in range(wishes.rounds):
            found: dict[str, Any] = {"without": {"lateness_p99_ms": round(quantile(watch(buses, wishes.seconds), 0.99), 2)}}
            found["channeld"] = measure(worker, buses, port, paths, wishes.clients, wishes.seconds)
            if not wishes.no_icecast:
                found["icecast"] = beside_icecast(stage, port, buses, wishes.clients, wishes.seconds)
            rounds.append(found)
        with reading(port, paths, wishes.clients) as readers:
            readers.ask()
            waits = asyncio.run(joins(port, paths))
        exact = exactness(port, paths, wishes.clients, wishes.seconds)
        return judge(wishes, rounds, waits, exact)


def judge(wishes: argparse.Namespace, rounds: list[dict[str, Any]], waits: list[float], exact: dict[str, Any]) -> dict[str, Any]:
    """The goals."""
    ours = [each["channeld"] for each in rounds]
    theirs = [each["icecast"] for each in rounds if "icecast" in each]
    cpu = quantile([each["cpu_s_per_gigabit"] for each in ours], 0.5)
    share = cpu / quantile([each["cpu_s_per_gigabit"] for each in theirs], 0.5) if theirs else None
    without, late = max(each["without"]["lateness_p99_ms"] for each in rounds), quantile([each["lateness_p99_ms"] for each in ours], 0.5)
    goals = {
        "cpu_share": share is None or share <= MAX_CPU_SHARE,
        "memory": max(each["kib_per_client"] for each in ours) <= MAX_CLIENT_KIB,
        "first_picture": max(waits) * 1000 <= MAX_JOIN_MS,
        "lateness": late <= without + NOISE_MS,
        "exact": not exact["wrong"] and exact["compared"] == wishes.clients - wishes.channels,
        "all_served": all(each["watching"] == wishes.clients and not each["stalls"] for each in ours),
    }
    return {
        "clients": wishes.clients,
        "channels": wishes.channels,
        "seconds": wishes.seconds,
        "cores": psutil.cpu_count(),
        "rounds": rounds,
        "cpu_share_of_icecast": None if share is None else round(share, 3),
        "first_picture_ms": {"p50": round(quantile(waits, 0.5) * 1000, 1), "max": round(max(waits) * 1000, 1)},
        "exact": exact,
        "goals": goals,
        "goal_met": all(goals.values()),
    }


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{found['clients']} clients, {found['channels']} channels, {found['seconds']:g} s"]
    names = list(found["rounds"][0]["channeld"])
    for number, each in enumerate(found["rounds"], 1):
        columns = [name for name in ("without", "channeld", "icecast") if name in each]
        lines.append(f"{f'round {number}':24}" + "".join(f"{name:>12}" for name in columns))
        lines += [f"{name:24}" + "".join(f"{each[column].get(name, '')!s:>12}" for column in columns) for name in names]
    lines += [f"{name:24}{found[name]}" for name in ("cpu_share_of_icecast", "first_picture_ms", "exact", "goals", "goal_met")]
    return "\n".join(lines)


def main() -> int:
    """Print the figures; status 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-icecast", action="store_true")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--read", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--paths", default="", help=argparse.SUPPRESS)
    parser.add_argument("--exact", action="store_true", help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    widen_descriptors()
    if wishes.read is not None:
        uvloop.run(read_streams(wishes.read, wishes.paths.split(","), wishes.clients, is_exact=wishes.exact))
        return 0
    found = run(wishes)
    sys.stdout.write((json.dumps(found) if wishes.json else table(found)) + "\n")
    return 0 if found["goal_met"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
