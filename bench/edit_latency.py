"""From an edit of a playlist to its revision: how long until the daemon has read, checked and taken it.

Run: python bench/edit_latency.py [--edits 200] [--entries 100] [--folder DIR] [--json]. Goal: p99 at most 100 ms.
The clock starts when the file is closed, renamed or linked into place, and stops with the `at` of the `playlist_applied` event
(the event stream's own timestamp, milliseconds); seen over HTTP, as a user would see it, comes on top and is told apart.
"""

import argparse
import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
from stage import DEFAULT_FOLDER, Cast, Stage, quantile, staged

GOAL_P99_MS = 100.0
CHANNEL = "c000"
GAP_S = 0.15
"""Between two edits; an edit that follows sooner is gathered with the one before."""
TIMEOUT_S = 20.0


def write_in_place(path: Path, text: str) -> None:
    """As `>` of a shell."""
    path.write_text(text)


def rename_into_place(path: Path, text: str) -> None:
    """As careful programs do."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.rename(path)


def as_vim(path: Path, text: str) -> None:
    """The old file is moved away, a new one written under its name, the old one removed."""
    backup = path.with_name(f"{path.name}~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def line_by_line(path: Path, text: str) -> None:
    """One long write in many pieces; counts from the close."""
    with path.open("w") as file:
        for line in text.splitlines(keepends=True):
            file.write(line)
            file.flush()


def delete_and_create(path: Path, text: str) -> None:
    """Gone, then there again."""
    path.unlink()
    path.write_text(text)


def swap_link(path: Path, text: str) -> None:
    """`ln -sfn` to another version of the file."""
    version = path.with_name(f"{path.stem}-{time.monotonic_ns()}.txt")
    version.write_text(text)
    link = path.with_name(f".{path.name}.link")
    os.symlink(version.name, link)  # noqa: PTH211
    link.rename(path)


WAYS: tuple[Callable[[Path, str], None], ...] = (
    write_in_place,
    rename_into_place,
    as_vim,
    line_by_line,
    delete_and_create,
    swap_link,
)


class Events(threading.Thread):
    """Follows the daemon's event stream; `applied` gets the revision, the event's own time, and when we read it (wall clock)."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self._stage = stage
        self.applied: queue.SimpleQueue[tuple[int, float, float]] = queue.SimpleQueue()
        self.connected = threading.Event()

    def run(self) -> None:
        url = f"{self._stage.url}/api/v1/events"
        stream = httpx.stream("GET", url, headers=self._stage.headers, timeout=httpx.Timeout(5.0, read=None))
        with contextlib.suppress(httpx.RemoteProtocolError), stream as answer:  # the error: the daemon has ended
            self.connected.set()
            for line in answer.iter_lines():
                self._take(line)

    def _take(self, line: str) -> None:
        event = json.loads(line[6:]) if line.startswith("data: ") else {}
        if event.get("kind") == "playlist_applied" and event["channel"] == CHANNEL:
            self.applied.put((event["revision"], datetime.fromisoformat(event["at"]).timestamp(), time.time()))


def lists_of(entries: int, clips: list[str]) -> list[str]:
    """Two lists that differ in their first entries only, as an edit does."""
    return ["\n".join(clips[(number + turn * (number < 4)) % len(clips)] for number in range(entries)) + "\n" for turn in range(2)]


def measure(stage: Stage, events: Events, revision: int, edits: int, entries: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds to the revision, and to seeing it, of every edit by its way. Raises queue.Empty for one that was never taken."""
    path = stage.folder / "playlists" / f"{CHANNEL}.txt"
    texts = lists_of(entries, path.read_text().split())
    found: dict[str, list[tuple[float, float]]] = {way.__name__: [] for way in WAYS}
    for number in range(edits):
        way = WAYS[number % len(WAYS)]
        time.sleep(GAP_S)
        way(path, texts[(number + 1) % 2])
        closed_s = time.time()
        taken, applied_s, seen_s = events.applied.get(timeout=TIMEOUT_S)
        revision += 1
        if taken != revision:
            raise RuntimeError(f"{way.__name__}: revision {taken} instead of {revision}: an edit was taken twice, or not at all")
        # The stream's times are whole milliseconds, cut off: half of one is the fair middle.
        found[way.__name__].append(((applied_s - closed_s) * 1000 + 0.5, (seen_s - closed_s) * 1000))
    return found


def figures(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """p50 and p99 of both."""
    applied, seen = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return {
        "edits": len(pairs),
        "p50_ms": round(quantile(applied, 0.5), 1),
        "p99_ms": round(quantile(applied, 0.99), 1),
        "max_ms": round(max(applied), 1),
        "seen_p50_ms": round(quantile(seen, 0.5), 1),
        "seen_p99_ms": round(quantile(seen, 0.99), 1),
    }


def run(folder: Path, edits: int, entries: int) -> dict[str, dict[str, float]]:
    """All ways, then everything together."""
    with staged(folder, Cast((CHANNEL,))) as stage:
        path = stage.folder / "playlists" / f"{CHANNEL}.txt"
        events = Events(stage)
        events.start()
        events.connected.wait(TIMEOUT_S)
        path.write_text(lists_of(entries, path.read_text().split())[0])
        revision, _, _ = events.applied.get(timeout=TIMEOUT_S)
        found = measure(stage, events, revision, edits, entries)
    for version in path.parent.glob(f"{CHANNEL}-*.txt"):
        version.unlink()
    path.unlink(missing_ok=True)
    everything = [pair for pairs in found.values() for pair in pairs]
    return {**{name: figures(pairs) for name, pairs in found.items()}, "all": figures(everything)}


def main() -> int:
    """Print the figures; status 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--entries", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--json", action="store_true")
    wishes = parser.parse_args()
    found = run(wishes.folder, wishes.edits, wishes.entries)
    lines = json.dumps(found) if wishes.json else "\n".join(f"{name:20} {value}" for name, value in found.items())
    sys.stdout.write(lines + "\n")
    return 0 if found["all"]["p99_ms"] <= GOAL_P99_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
