"""The store: what was saved is there again, whatever happened to the process, the disk and the file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from channeld.base.clock import FakeClock
from channeld.base.errors import StoreError
from channeld.store.database import Database
from channeld.store.records import Airing, ClipRecord, Ending, EventRecord, HlsPosition, Outcome, Position
from channeld.store.schema import REVISION, metadata
from channeld.store.store import AiringFilter, Store

HERE = Position({"played": ["a", "b"]}, "t1", "films/a.mp4", 1200, 3000, 1_700_000_000.25, 8_589_934_592_123)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    running = reopened(tmp_path)
    running.start()
    yield running
    running.close()


def reopened(folder: Path) -> Store:
    """As a new process would find it."""
    again = Store(folder, clock=FakeClock(wall_s=100.0))  # the moments below are of its day
    again.open()
    return again


def test_a_position_is_there_again_after_a_restart(store: Store, tmp_path: Path) -> None:
    store.save_position("one", HERE)
    store.close()
    again = reopened(tmp_path)
    assert again.load_position("one") == HERE
    assert again.load_position("two") is None
    again.close()


def test_a_position_is_read_as_it_was_saved_last_before_it_is_written(store: Store) -> None:
    for frame in range(100):
        store.save_position("one", Position({}, None, None, frame, None, 0.0, 0))
    found = store.load_position("one")
    assert found is not None and found.frame == 99


def test_a_forgotten_position_stays_forgotten(store: Store, tmp_path: Path) -> None:
    store.save_position("one", HERE)
    store.flush()
    store.forget_position("one")
    store.close()
    assert reopened(tmp_path).load_position("one") is None


def test_what_was_flushed_is_on_the_disk_at_once(store: Store, tmp_path: Path) -> None:
    store.save_position("one", HERE)
    store.flush()
    assert reopened(tmp_path).load_position("one") == HERE


def test_every_kind_of_record_is_read_as_it_was_written(store: Store, tmp_path: Path) -> None:
    event = EventRecord(7, 12.5, {"id": 7, "kind": "told", "path": "no text: \udcff"})
    airing = Airing(3, "one", 10.0, Outcome.ON_AIR, "life", 1, "e1", "a.mp4", "A", 9.5, None, 90_000, 250)
    clip = ClipRecord("720p30|a.mp4", "720p30", "a.mp4", "abc", 10.0, 4096, -23.1, 5.0, ("late sound",))
    store.add_event(event)
    store.add_airing(airing)
    store.save_clip(clip)
    store.save_hls(HlsPosition("one", "hls", 41, 2))
    store.close()
    again = reopened(tmp_path)
    assert again.newest_events(10) == [event]
    assert again.airings(AiringFilter(), 10) == [airing]
    assert again.clips() == [clip]
    assert again.load_hls("one", "hls") == HlsPosition("one", "hls", 41, 2)
    assert again.newest_ids() == (7, 3)


def test_an_airing_is_ended_by_a_process_that_did_not_begin_it(store: Store, tmp_path: Path) -> None:
    store.add_airing(Airing(1, "one", 10.0, Outcome.ON_AIR, "life", 4, "e1", "a.mp4", "A"))
    store.close()
    again = reopened(tmp_path)
    again.start()
    again.add_airing(Ending(2, "one", "life", 4, Outcome.CUT, 12.0, 50, "skip"))
    again.flush()
    (found,) = again.airings(AiringFilter(), 10)
    assert (found.id, found.outcome, found.frames, found.reason, found.path) == (1, Outcome.CUT, 50, "skip", "a.mp4")
    again.close()


def test_an_end_whose_beginning_was_never_told_is_a_line_of_its_own(store: Store) -> None:
    store.add_airing(Ending(5, "one", "life", 4, Outcome.END, 12.0, 50, None, "e1", "a.mp4"))
    store.flush()
    (found,) = store.airings(AiringFilter(), 10)
    assert (found.id, found.serial, found.frames, found.at_s) == (5, 4, 50, 12.0)


def test_an_airing_that_never_ended_is_called_lost_when_the_next_begins(store: Store) -> None:
    store.add_airing(Airing(1, "one", 10.0, Outcome.ON_AIR, "life", 1))
    store.add_airing(Airing(2, "two", 10.0, Outcome.ON_AIR, "other", 1))
    store.add_airing(Airing(3, "one", 20.0, Outcome.ON_AIR, "next life", 1))
    store.flush()
    assert [(each.id, each.outcome.value) for each in store.airings(AiringFilter(), 10)] == [(3, "on_air"), (2, "on_air"), (1, "lost")]


def test_a_database_of_a_newer_version_is_refused_with_words(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "channeld.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match=r"newer channeld \(version 9999"):
        Store(tmp_path).open()


def test_the_migrations_make_exactly_the_tables_of_the_schema(tmp_path: Path) -> None:
    database = Database(tmp_path / "channeld.db")
    assert database.prepare() is True and database.prepare() is False
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == REVISION
        assert compare_metadata(context, metadata) == []
    database.close()


def test_a_folder_with_characters_of_a_url_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "100%?mode=ro#x y"
    folder.mkdir()
    store = reopened(folder)
    store.start()
    store.save_position("one", HERE)
    store.close()
    assert (folder / "channeld.db").stat().st_mode & 0o777 == 0o640


def test_a_database_server_without_its_driver_or_away_is_told_without_the_password(tmp_path: Path) -> None:
    try:
        store = Store(tmp_path, url="postgresql://tv:s3cr3t@127.0.0.1:1/tv")
    except StoreError as error:
        assert "channeld[postgresql]" in str(error) and "s3cr3t" not in str(error)
        return
    store.open()
    store.start()
    store.save_position("one", HERE)
    with pytest.raises(StoreError) as caught:
        store.flush(20.0)
    assert "s3cr3t" not in str(caught.value) + str(store.problem)
    store.close()
