"""What 500 readers of the event stream cost the playout: lateness with and without them, side by side.

Run: python bench/sse_listeners.py [--listeners 500] [--channels 8] [--seconds 20] [--rounds 4] [--rate 5] [--folder DIR] [--json]
Rounds without and with readers alternate, so that what else the machine does falls on both; in all of them so many playlist edits a
second make events. Goal: lateness p99 with readers within the spread of the rounds without. The readers are one process of their own.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from hundred_channels import running
from rings import Bus, buses_of
from stage import DEFAULT_FOLDER, Cast, Meter, Stage, by_role, quantile, staged

WARM_UP_S = 10.0
COLLECT_S = 4.0
NOISE_MS = 2.0
"""Less than this is no difference between two p99 on a machine that does other things too."""


async def read_events(port: int, token: str, listeners: int) -> None:
    """Follow the events until stdin ends, then print how many came to the readers, together and at least."""
    counts = [0] * listeners
    request = f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    async def follow(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        while data := await reader.read(1 << 16):
            counts[number] += data.count(b"\nevent: ") + data.startswith(b"event: ")

    tasks = [asyncio.create_task(follow(number)) for number in range(listeners)]
    await asyncio.sleep(3)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    sys.stdout.write(json.dumps({"all": sum(counts), "least": min(counts), "open": sum(not task.done() for task in tasks)}) + "\n")
    sys.stdout.flush()
    for task in tasks:
        task.cancel()


@contextlib.contextmanager
def listening(stage: Stage, listeners: int) -> Iterator[dict[str, int]]:
    """That many readers for as long as the block lasts; what they got is in the dict afterwards."""
    got: dict[str, int] = {}
    port, token = stage.url.rpartition(":")[2], stage.headers["Authorization"].removeprefix("Bearer ")
    command = [sys.executable, __file__, "--read", port, "--listeners", str(listeners)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"TOKEN": token}) as readers:
        assert readers.stdin is not None and readers.stdout is not None
        readers.stdout.readline()
        yield got
        readers.stdin.close()
        got.update(json.loads(readers.stdout.readline()))


def measure(stage: Stage, buses: list[Bus], seconds: float, rate: float) -> tuple[list[float], dict[str, float]]:
    """Lateness of every release, and percent of a core by role, while edits make events."""
    stop, playlist = threading.Event(), stage.folder / "playlists" / f"{stage.cast.channels[0]}.txt"
    clips = playlist.read_text().splitlines()

    def edit() -> None:
        turn = 0
        while not stop.wait(1 / rate):
            turn += 1
            playlist.write_text("\n".join(clips + clips[: 1 + turn % 2]) + "\n")

    for bus in buses:
        bus.collect()
    meter, lateness, ends = Meter(by_role(stage.daemon_pid)), [], time.monotonic() + seconds
    with running([edit], stop):
        while time.monotonic() < ends:
            time.sleep(min(COLLECT_S, max(0.0, ends - time.monotonic())))
            for bus in buses:
                lateness += bus.collect()
    playlist.write_text("\n".join(clips) + "\n")
    spent = meter.read()
    return lateness, {**{role: round(cores * 100, 1) for role, cores in spent.by_role.items()}, "others": round(spent.others * 100, 1)}


def run(folder: Path, channels: int, listeners: int, seconds: float, rounds: int, rate: float) -> dict[str, object]:
    """All rounds, without and with readers in turn."""
    found: dict[str, list[dict[str, object]]] = {"without": [], "with": []}
    with staged(folder, Cast(tuple(f"c{number:03}" for number in range(channels)), outputs="ts")) as stage:
        time.sleep(WARM_UP_S)
        (host,) = by_role(stage.daemon_pid)["host"]
        buses = buses_of(host.pid)
        with contextlib.ExitStack() as ends:
            for bus in buses:
                ends.callback(bus.close)
            for _ in range(rounds):
                found["without"].append(_round(*measure(stage, buses, seconds, rate)))
                with listening(stage, listeners) as got:
                    measured = measure(stage, buses, seconds, rate)
                found["with"].append({**_round(*measured), "events": got})
    p99 = {name: [float(str(each["p99_ms"])) for each in each_round] for name, each_round in found.items()}
    middle = {name: sorted(values)[len(values) // 2] for name, values in p99.items()}
    return {
        "channels": channels,
        "listeners": listeners,
        "cores": psutil.cpu_count(),
        **found,
        "p99_ms_median": middle,
        "goal_met": middle["with"] <= max(p99["without"]) + NOISE_MS,
    }


def _round(lateness: list[float], percent: dict[str, float]) -> dict[str, object]:
    figures = {f"p{name}_ms": round(quantile(lateness, share), 2) for name, share in (("50", 0.5), ("99", 0.99))}
    return {"releases": len(lateness), **figures, "cpu_percent": percent}


def main() -> int:
    """Print the figures; status 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=500)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--read", type=int, help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    if wishes.read is not None:
        asyncio.run(read_events(wishes.read, os.environ["TOKEN"], wishes.listeners))
        return 0
    found = run(wishes.folder, wishes.channels, wishes.listeners, wishes.seconds, wishes.rounds, wishes.rate)
    sys.stdout.write((json.dumps(found) if wishes.json else "\n".join(f"{name:16} {value}" for name, value in found.items())) + "\n")
    return 0 if found["goal_met"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
