"""A hundred 720p30 channels from one playout host to one nginx-rtmp: lateness, underruns, memory and CPU.

Run: python bench/hundred_channels.py [--channels 100] [--seconds 120] [--folder DIR] [--json]
Goals on two cores: lateness p99 at most 50 ms, no underrun, no feed that jumped, no push that was restarted. Then the same while
control is kept busy by edits of a list of 100,000 entries and a storm of API calls: playout must not notice.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
from rings import Bus, buses_of
from stage import DEFAULT_FOLDER, Cast, Meter, Stage, by_role, quantile, staged, tree

GOAL_P99_MS = 50.0
WARM_UP_S = 20.0
COLLECT_S = 4.0
BURNER = "burner"
BURNER_ENTRIES = 100_000
STORM_THREADS = 4


def measure(stage: Stage, buses: list[Bus], seconds: float) -> dict[str, object]:
    """Everything that happened in so many seconds."""
    roles = {**by_role(stage.daemon_pid), "nginx": tree(stage.origin.pid)}
    for bus in buses:
        bus.collect()
    before, jumps_before = troubles(stage), jumps(stage)
    meter, ends, lateness = Meter(roles), time.monotonic() + seconds, []
    while time.monotonic() < ends:
        time.sleep(min(COLLECT_S, max(0.0, ends - time.monotonic())))
        for bus in buses:
            lateness += bus.collect()
    spent = meter.read()
    return {
        "releases": len(lateness),
        "lateness_ms": {"p50": ms(lateness, 0.5), "p99": ms(lateness, 0.99), "p99.9": ms(lateness, 0.999), "max": round(max(lateness), 2)},
        **{name: troubles(stage)[name] - before[name] for name in before},
        "feed_jumps": jumps(stage) - jumps_before,
        "missed_records": sum(bus.missed for bus in buses),
        "cpu_percent": {**{role: round(cores * 100, 1) for role, cores in spent.by_role.items()}, "total": round(spent.total * 100, 1)},
        "other_programs_percent": round(spent.others * 100, 1),
    }


def ms(lateness: list[float], share: float) -> float:
    """A percentile, in milliseconds."""
    return round(quantile(lateness, share), 3)


def troubles(stage: Stage) -> dict[str, int]:
    """Totals of what must not happen, over all channels."""
    names = {"underruns": "channeld_underruns_total", "push_restarts": "channeld_output_restarts_total"}
    figures = stage.metrics()
    return {name: int(sum(value for (metric, _), value in figures.items() if metric == wanted)) for name, wanted in names.items()}


def jumps(stage: Stage) -> int:
    """How often a feed left out a part of the stream, by the log."""
    return stage.log.read_bytes().count(b"feed_jumped")


def memory(stage: Stage) -> dict[str, float]:
    """Megabytes by role: proportional share of all that is mapped, rings included."""
    found = {}
    for role, members in by_role(stage.daemon_pid).items():
        found[role] = round(sum(member.memory_full_info().pss for member in members) / 1e6, 1)
    channels = len(stage.cast.channels)
    return {**found, "host_per_channel": round(found["host"] / channels, 2), "egress_per_channel": round(found["egress"] / channels, 2)}


@contextlib.contextmanager
def control_kept_busy(stage: Stage) -> Iterator[dict[str, int]]:
    """Edits of a long list and API calls without a pause, until left. Gives what was done by then."""
    stop, done = threading.Event(), {"edits": 0, "calls": 0}
    playlist = stage.folder / "playlists" / f"{BURNER}.txt"
    clips = playlist.read_text().split()
    lists = ["\n".join(clips[(number + turn) % len(clips)] for number in range(BURNER_ENTRIES)) + "\n" for turn in range(2)]

    def edit() -> None:
        while not stop.wait(0.1):
            playlist.write_text(lists[done["edits"] % 2])
            done["edits"] += 1

    def call() -> None:
        with httpx.Client(base_url=stage.url, headers=stage.headers, timeout=60) as client:
            while not stop.is_set():
                client.get("/api/v1/channels")
                done["calls"] += 1

    with running([edit, *[call] * STORM_THREADS], stop):
        yield done
    playlist.write_text("\n".join(clips) + "\n")


@contextlib.contextmanager
def running(bodies: list[Callable[[], None]], stop: threading.Event) -> Iterator[None]:
    """Threads for as long as the block lasts."""
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def run(folder: Path, channels: int, seconds: float) -> dict[str, object]:
    """Both measurements."""
    cast = Cast(tuple(f"c{number:03}" for number in range(channels)), extra={BURNER: f"{BURNER}.txt"})
    began = time.monotonic()
    with staged(folder, cast) as stage:
        started_s = time.monotonic() - began
        time.sleep(WARM_UP_S)
        (host,) = by_role(stage.daemon_pid)["host"]
        buses = buses_of(host.pid)
        try:
            steady = measure(stage, buses, seconds)
            used = memory(stage)
            with control_kept_busy(stage) as done:
                time.sleep(5)
                busy = measure(stage, buses, seconds)
        finally:
            for bus in buses:
                bus.close()
    return {
        "channels": channels,
        "all_on_air_after_s": round(started_s, 1),
        "cores": psutil.cpu_count(),
        "steady": steady,
        "memory_mb": used,
        "control_kept_busy": {**busy, **done},
        "goals_met": {name: is_clean(found) for name, found in (("steady", steady), ("control_kept_busy", busy))},
    }


def is_clean(found: dict[str, object]) -> bool:
    """Punctual, and nothing happened that must not."""
    lateness = found["lateness_ms"]
    assert isinstance(lateness, dict)
    return lateness["p99"] <= GOAL_P99_MS and not any(found[name] for name in ("underruns", "push_restarts", "feed_jumps"))


def main() -> int:
    """Print the figures; status 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--json", action="store_true")
    wishes = parser.parse_args()
    try:
        found = run(wishes.folder, wishes.channels, wishes.seconds)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    lines = json.dumps(found) if wishes.json else "\n".join(f"{name:20} {value}" for name, value in found.items())
    sys.stdout.write(lines + "\n")
    return 0 if all(found["goals_met"].values()) else 1  # type: ignore[attr-defined]


if __name__ == "__main__":
    raise SystemExit(main())
