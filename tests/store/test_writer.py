"""Faults of the database and its disk: callers notice nothing, what was told is kept, and healing needs nobody."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from station import until

from channeld.base.clock import FakeClock
from channeld.base.errors import StoreError
from channeld.store.database import DatabaseError, Trouble
from channeld.store.records import Airing, Ending, EventRecord, Outcome, Position
from channeld.store.store import AiringFilter, Store

EVERYTHING = AiringFilter(outcomes=tuple(Outcome))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


class Told:
    """What the store said about itself, and what its owner remembers."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.history: tuple[list[EventRecord], list[Airing]] = ([], [])

    def tell(self, kind: str, **_: Any) -> None:
        self.kinds.append(kind)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def open_store(told: Told) -> Iterator[Callable[[Path], Store]]:
    stores: list[Store] = []

    def run(folder: Path) -> Store:
        store = Store(folder, clock=FakeClock(wall_s=100.0))
        store.open()
        store.start(told.tell, lambda: told.history)
        stores.append(store)
        return store

    yield run
    for store in stores:
        store.close()


def position(frame: int) -> Position:
    return Position({"played": ["a"] * 50}, "tag", "a.mp4", frame, 1000, 99.0, frame * 3600)


def airing(number: int) -> Airing:
    return Airing(number, "one", 50.0, Outcome.END, "life", number, "e1", "a.mp4", "x" * 200)


def test_callers_never_wait_for_a_locked_database_and_all_is_written_when_it_is_free(
    open_store: Callable[[Path], Store], told: Told, tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    store.flush()
    slowest_s = 0.0
    other = sqlite3.connect(tmp_path / "channeld.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        for number in range(1, 501):
            began = time.monotonic()
            store.save_position("one", position(number))
            store.add_airing(airing(number))
            slowest_s = max(slowest_s, time.monotonic() - began)
        until(lambda: store.problem is not None, "the problem")
        assert "locked" in (store.problem or "") and "501 rows wait" in (store.problem or "")
        assert slowest_s < 1.0
    finally:
        other.close()
    until(lambda: store.problem is None, "the end of the problem")
    assert len(store.airings(EVERYTHING, 1000)) == 500
    assert told.kinds == ["store_not_written", "store_written_again"]


def test_what_must_be_acknowledged_is_refused_while_it_cannot_be_written(open_store: Callable[[Path], Store], tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.flush()
    other = sqlite3.connect(tmp_path / "channeld.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        store.save_position("one", position(1))
        with pytest.raises(StoreError, match="locked"):
            store.flush(20.0)
    finally:
        other.close()
    store.flush(20.0)


def test_a_file_that_is_no_database_is_set_aside_at_start_and_told(open_store: Callable[[Path], Store], told: Told, tmp_path: Path) -> None:
    (tmp_path / "channeld.db").write_bytes(os.urandom(20_000))
    store = open_store(tmp_path)
    store.save_position("one", position(7))
    store.flush()
    (aside,) = tmp_path.glob("channeld.db.broken-*")
    assert aside.stat().st_size == 20_000
    assert told.kinds == ["store_set_aside"]
    assert store.problem is None


def test_a_database_damaged_inside_is_found_at_start(open_store: Callable[[Path], Store], tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in range(1, 1001):
        store.add_airing(airing(number))
    store.close()
    path = tmp_path / "channeld.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(20_000))
    open_store(tmp_path).flush()
    assert list(tmp_path.glob("channeld.db.broken-*"))


def test_a_database_damaged_while_it_is_written_is_made_anew_with_all_that_is_known(
    open_store: Callable[[Path], Store], told: Told, tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    told.history = [EventRecord(1, 50.0, {"id": 1})], [airing(1)]
    store.save_position("quiet", position(3))
    store.add_airing(airing(1))
    store.flush()
    for path in tmp_path.glob("channeld.db*"):
        with path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))
    store.save_position("one", position(9))
    until(lambda: "store_set_aside" in told.kinds, "the setting aside")
    until(lambda: store.problem is None, "a new database")
    store.flush()
    again = Store(tmp_path)
    again.open()
    assert again.load_position("quiet") == position(3) and again.load_position("one") == position(9)
    assert again.airings(EVERYTHING, 10) == [airing(1)] and again.newest_ids() == (1, 1)
    again.close()


def test_a_database_that_was_removed_is_made_anew_with_all_that_is_known(
    open_store: Callable[[Path], Store], told: Told, tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    told.history = [], [airing(1)]
    store.save_position("one", position(3))
    store.flush()
    for path in tmp_path.glob("channeld.db*"):
        path.unlink()
    store.add_airing(Ending(2, "one", "life", 2, Outcome.END, 60.0, 25))
    store.flush()
    again = Store(tmp_path)
    again.open()
    assert again.load_position("one") == position(3)
    assert [each.id for each in again.airings(EVERYTHING, 10)] == [2, 1]
    again.close()


def test_all_that_is_known_is_written_into_a_new_database_also_where_its_first_write_fails(told: Told, tmp_path: Path) -> None:
    def history() -> tuple[list[EventRecord], list[Airing]]:
        if failures:
            raise failures.pop()
        return [], [airing(1)]

    failures: list[DatabaseError] = []
    store = Store(tmp_path, clock=FakeClock(wall_s=100.0))
    store.open()
    store.start(told.tell, history)
    store.flush()
    failures.append(DatabaseError(Trouble.FULL, "the disk is full"))
    for path in tmp_path.glob("channeld.db*"):
        path.unlink()
    store.add_airing(Ending(2, "one", "life", 2, Outcome.END, 60.0, 25))
    until(lambda: "store_written_again" in told.kinds, "a write")
    store.flush()
    assert failures == [] and [each.id for each in store.airings(EVERYTHING, 10)] == [2, 1]
    store.close()


def test_a_row_that_cannot_be_written_costs_no_other(open_store: Callable[[Path], Store], tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in range(1, 6):
        store.add_airing(airing(number))
    store.add_airing(Airing(6, "one", 50.0, Outcome.END, "life", 2**70))
    store.save_position("one", position(1))
    store.flush(20.0)
    assert len(store.airings(EVERYTHING, 100)) == 5


def test_what_a_queue_remembers_is_written_once_and_how_far_the_air_is_each_time(
    open_store: Callable[[Path], Store], tmp_path: Path
) -> None:
    """A channel that tells each second where it is costs a page or two of the database, however long its list."""
    store = open_store(tmp_path)
    memory = {"queue": "x" * 60_000}
    there = Position(memory, "tag", "a.mp4", 0, 1000, 99.0, 0)
    store.save_position("live1", there)
    store.flush()
    wal = tmp_path / "channeld.db-wal"
    before = wal.stat().st_size
    for frame in range(1, 11):
        store.save_position("live1", replace(there, frame=frame, ticks=3600 * frame))
        store.flush()
    assert wal.stat().st_size - before < 10 * 4 * 4096
    assert store.load_position("live1") == replace(there, frame=10, ticks=36_000)
    other = replace(there, memory={"queue": "y" * 60_000}, frame=3)
    store.save_position("live1", other)
    store.flush()
    assert wal.stat().st_size - before > 60_000
    store.close()
    again = open_store(tmp_path)
    assert again.load_position("live1") == other
    again.forget_position("live1")
    again.flush()
    assert again.load_position("live1") is None


def test_a_commit_that_is_repeated_changes_nothing(open_store: Callable[[Path], Store], tmp_path: Path) -> None:
    """As when a server's answer to a commit was lost."""
    store = open_store(tmp_path)
    for _ in range(2):
        store.add_airing(airing(1))
        store.add_event(EventRecord(1, 50.0, {"id": 1}))
        store.save_position("one", position(1))
        store.flush()
    assert len(store.airings(EVERYTHING, 10)) == 1 and len(store.newest_events(10)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this machine does not let us mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@as_root
def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again(
    open_store: Callable[[Path], Store], told: Told, small_disk: Path
) -> None:
    store = open_store(small_disk)
    store.save_position("one", position(1))
    store.flush()
    ballast = small_disk / "ballast"
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(fd, bytes(4096))
    os.close(fd)
    for number in range(1, 1001):
        store.add_airing(airing(number))
    until(lambda: store.problem is not None, "the problem")
    assert store.is_full and "the disk is full" in (store.problem or "")
    with pytest.raises(StoreError, match="disk is full"):
        store.flush(20.0)
    ballast.unlink()
    until(lambda: store.problem is None, "the end of the problem")
    assert len(store.airings(EVERYTHING, 2000)) == 1000
    assert not list(small_disk.glob("*.broken-*"))
    assert told.kinds == ["store_not_written", "store_written_again"]


WRITES = """
import sys
import time
from pathlib import Path
from channeld.store.records import Airing, EventRecord, Outcome, Position
from channeld.store.store import Store

store = Store(Path(sys.argv[1]))
store.open()
first = store.newest_ids()[0] + 1
store.start()
for number in range(first, first + 100_000):
    now = time.time()
    store.add_event(EventRecord(number, now, {"id": number, "text": "x" * (number % 3000)}))
    store.add_airing(Airing(number, "one", now, Outcome.END, "life", number, path="a.mp4"))
    store.save_position("one", Position({"number": number}, None, None, number, None, now, number))
    store.flush()
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def acknowledged(folder: Path, kill_after: int) -> int:
    """Let a process write until it has acknowledged so much, kill it at once; gives the last number that it acknowledged."""
    process = subprocess.Popen([sys.executable, "-c", WRITES, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = 0
    for count, line in enumerate(process.stdout):
        last = int(line)
        if count == kill_after:
            process.send_signal(signal.SIGKILL)
    process.wait()
    return last


def check_after_kill(folder: Path, last: int) -> None:
    connection = sqlite3.connect(folder / "channeld.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM events WHERE id <= ?", (last,)).fetchone() == (last,)
    assert connection.execute("SELECT count(*) FROM airings WHERE id <= ?", (last,)).fetchone() == (last,)
    # All of a batch or nothing of it.
    events, airings, frame = connection.execute(
        "SELECT (SELECT max(id) FROM events), (SELECT max(id) FROM airings), (SELECT frame FROM places)"
    ).fetchone()
    connection.close()
    assert events == airings == frame >= last
    assert not list(folder.glob("*.broken-*"))


def test_whatever_was_acknowledged_is_there_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    for kill_after in (0, 7, 58):
        check_after_kill(tmp_path, acknowledged(tmp_path, kill_after))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_whatever_was_acknowledged_is_there_after_a_hundred_kills(tmp_path: Path) -> None:
    random = Random(7)
    for _ in range(100):
        check_after_kill(tmp_path, acknowledged(tmp_path, random.randrange(120)))


def test_a_start_that_is_killed_half_way_leaves_a_database_that_the_next_one_opens(tmp_path: Path) -> None:
    """Tables are made in one transaction: there are all of them or none."""
    for delay_s in (0.35, 0.5):
        folder = tmp_path / str(delay_s)
        folder.mkdir()
        process = subprocess.Popen([sys.executable, "-c", WRITES, str(folder)], stdout=subprocess.DEVNULL)
        time.sleep(delay_s)  # not to wait for something: to kill it somewhere in its start
        process.kill()
        process.wait()
        store = Store(folder)
        store.open()
        assert store.load_position("one") is None or not list(folder.glob("*.broken-*"))
        assert not list(folder.glob("*.broken-*"))
        store.close()
