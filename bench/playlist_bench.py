"""How long 100,000 entries take to parse and to diff. Run: python bench/playlist_bench.py [entries]"""

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from channeld.playlist.locate import PathRules
from channeld.playlist.model import Readiness
from channeld.playlist.parse import load
from channeld.playlist.queue import Queue

_Result = TypeVar("_Result")


def measure(what: str, act: Callable[[], _Result]) -> _Result:
    """Run once and print the wall time in milliseconds."""
    start = time.perf_counter()
    result = act()
    sys.stdout.write(f"{what:<44}{(time.perf_counter() - start) * 1000:9.1f} ms\n")
    return result


def main(entries: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"clip{n % 1000:04}.mp4" for n in range(entries)]
        for name in set(names):
            (Path(folder) / name).touch()
        before, after, fresh = (Path(folder) / f"{name}.txt" for name in ("before", "after", "fresh"))
        before.write_text("\n".join(names))
        after.write_text("\n".join([*names[5:50], "new.mp4", *names[60:]]))
        fresh.write_text("\n".join(random.Random(1).sample(names, len(names))))
        queue = Queue("sequential", 1)
        for what, path in (("first list", before), ("an edit near the top", after), ("everything shuffled", fresh)):
            playlist = measure(f"parse: {what}", lambda path=path: load(path, PathRules()))
            diff = measure(f"diff: {what}", lambda playlist=playlist: queue.apply(playlist))
            sys.stdout.write(f"    +{len(diff.added)} -{len(diff.removed)} moved {len(diff.moved)} kept {diff.kept}\n")
        last = queue.upcoming(entries)[-1].id
        measure("plan: only the last entry is ready", lambda: queue.plan(5, lambda entry: ready_if(entry.id == last)))
        yaml = Path(folder) / "list.yaml"
        yaml.write_text("".join(f"- {{path: {name}, in: 1}}\n" for name in names))
        measure("parse: YAML mappings", lambda: load(yaml, PathRules()))


def ready_if(is_ready: bool) -> Readiness:
    return Readiness.READY if is_ready else Readiness.PENDING


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
