"""A real PostgreSQL server for tests of the store, with as many databases as they want."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Server:
    """It refuses to run as root, so nobody runs it then."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._databases = 0
        self.url = self._url("postgres")
        self._as: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}

    def _url(self, database: str) -> str:
        return f"postgresql://tv@127.0.0.1:{self._port}/{database}"

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

    def new_database(self) -> str:
        """URL of a database that holds nothing yet."""
        self._databases += 1
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", "tv", f"tv{self._databases}")
        return self._url(f"tv{self._databases}")


@contextmanager
def running_server() -> Iterator[Server]:
    """A server while the block runs; skips the test where there is none."""
    pytest.importorskip("psycopg", reason="missing on this machine: the driver of PostgreSQL (channeld[postgresql])")
    if not PROGRAMS:
        pytest.skip("missing on this machine: PostgreSQL's server")
    # Not among pytest's own folders: each new run of pytest shuts those for everybody else, and root must be somebody else here.
    with tempfile.TemporaryDirectory(prefix="channeld-postgresql-") as made_folder:
        if os.geteuid() == 0:
            shutil.chown(made_folder, "nobody", "nogroup")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        made = Server(Path(made_folder) / "data", port)
        made.make()
        made.start()
        yield made
        made.stop()
