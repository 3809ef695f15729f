"""The store on PostgreSQL: the same rows, and a server that goes away and comes back costs nothing."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from station import until

from channeld.store.records import Airing, Ending, EventRecord, HlsPosition, Outcome, Position
from channeld.store.store import AiringFilter, Store

pytest.importorskip("psycopg", reason="missing on this machine: the driver of PostgreSQL (channeld[postgresql])")
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Server:
    """A PostgreSQL of this test alone; it refuses to run as root, so nobody runs it then."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self.url = f"postgresql://tv@127.0.0.1:{port}/postgres"
        self._as: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([PROGRAMS[-1] / program, *arguments], capture_output=True, cwd="/", timeout=60, check=False, **self._as)
        assert done.returncode == 0, done.stderr

    def make(self) -> None:
        self.run("initdb", "-D", str(self._folder), "-U", "tv", "-A", "trust", "--no-sync")

    def start(self) -> None:
        options = f"-p {self._port} -k '' -c listen_addresses=127.0.0.1"
        self.run("pg_ctl", "-D", str(self._folder), "-o", options, "-l", str(self._folder / "log"), "-w", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self._folder), "-m", "immediate", "-w", "stop")


@pytest.fixture
def server(free_port: Callable[[], int]) -> Iterator[Server]:
    if not PROGRAMS:
        pytest.skip("missing on this machine: PostgreSQL's server")
    # Not among pytest's own folders: each new run of pytest shuts those for everybody else, and root must be somebody else here.
    with tempfile.TemporaryDirectory(prefix="channeld-postgresql-") as made_folder:
        if os.geteuid() == 0:
            shutil.chown(made_folder, "nobody", "nogroup")
        made = Server(Path(made_folder) / "data", free_port())
        made.make()
        made.start()
        yield made
        made.stop()


def test_everything_is_kept_while_the_server_is_away_and_is_there_again(server: Server, tmp_path: Path) -> None:
    now = time.time()
    here = Position({"played": ["\udcff"]}, "tag", "a\0b.mp4", 1, None, now, 2**40)
    store = Store(tmp_path, url=server.url)
    store.open()
    store.start()
    store.add_airing(Airing(1, "one", now, Outcome.ON_AIR, "life", 1, "e1", "films/a.mp4"))
    store.flush(20)
    server.stop()
    store.save_position("one", here)
    store.save_hls(HlsPosition("one", "hls", 3, 4))
    store.add_event(EventRecord(1, now, {"id": 1}))
    store.add_airing(Ending(2, "one", "life", 1, Outcome.CUT, now + 1, 25, "skip"))
    store.add_airing(Airing(3, "one", now, Outcome.END, "life", 2**70))  # no column takes that
    until(lambda: store.problem is not None, "the problem")
    server.start()
    until(lambda: store.problem is None, "the end of the problem")
    store.flush(20)
    store.close()
    again = Store(tmp_path, url=server.url)
    again.open()
    (line,) = again.airings(AiringFilter(path="a.mp4"), 10)
    assert (line.outcome, line.frames, line.reason) == (Outcome.CUT, 25, "skip")
    assert again.totals(AiringFilter())[0].frames == 25 and again.newest_ids() == (1, 1)
    found = again.load_position("one")
    assert found is not None and (found.memory, found.path, found.ticks) == ({"played": ["\udcff"]}, "a\\x00b.mp4", 2**40)
    assert again.load_hls("one", "hls") == HlsPosition("one", "hls", 3, 4)
    again.close()
