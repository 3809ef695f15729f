"""A database of the version before relays is brought up to date with all that it holds."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from postgresql_server import running_server
from sqlalchemy import inspect

import channeld.store
from channeld.base.clock import FakeClock
from channeld.store.database import Database
from channeld.store.records import Position
from channeld.store.relay_records import ProfileDraft
from channeld.store.schema import REVISION, metadata
from channeld.store.store import AiringFilter, Store

ROWS = (
    "INSERT INTO positions VALUES ('one', '{\"played\":[\"a\"]}', 't1', 'a.mp4', 5, 10, 99.5, 1800)",
    "INSERT INTO places VALUES ('one', 't1', 'a.mp4', 7, 10, 99.5, 2520)",
    "INSERT INTO hls VALUES ('one', 'hls', 41, 2)",
    "INSERT INTO clips VALUES ('720p30|a.mp4', '720p30', 'a.mp4', 'abc', 10.0, 4096, -23.1, 5.0, '[]', NULL)",
    "INSERT INTO events VALUES (3, 90.0, '{\"id\":3}')",
    "INSERT INTO airings (id, channel, at_s, outcome, timeline, serial) VALUES (4, 'one', 90.0, 'end', 'life', 1)",
)


def make_former(path: Path, url: str | None) -> None:
    """As the version before would have left it."""
    path.touch()
    database = Database(path, url)
    config = Config()
    config.set_main_option("script_location", str(Path(channeld.store.__file__).parent / "migrations"))
    with database.writer() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for row in ROWS:
            connection.exec_driver_sql(row)
        assert not inspect(connection).has_table("relay_profiles")
    database.close()


def check_upgraded(folder: Path, url: str | None) -> None:
    store = Store(folder, url=url, clock=FakeClock(wall_s=100.0))
    store.open()
    store.start()
    assert store.load_position("one") == Position({"played": ["a"]}, "t1", "a.mp4", 7, 10, 99.5, 2520)
    assert (store.newest_ids(), len(store.clips()), len(store.airings(AiringFilter(), 10))) == ((3, 4), 1, 1)
    hls = store.load_hls("one", "hls")
    assert hls is not None and hls.media_sequence == 41
    assert store.relays.profiles() == [] and store.relays.add_profile(ProfileDraft("Copy", "-c copy")).id == 1
    store.close()
    database = Database(folder / "channeld.db", url)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == REVISION
        assert compare_metadata(context, metadata) == []
    database.close()


def test_a_file_of_the_version_before_keeps_all_that_it_holds(tmp_path: Path) -> None:
    make_former(tmp_path / "channeld.db", None)
    check_upgraded(tmp_path, None)


@pytest.mark.timeout(120)
def test_a_server_s_database_of_the_version_before_keeps_all_that_it_holds(tmp_path: Path) -> None:
    with running_server() as server:
        url = server.new_database()
        make_former(tmp_path / "channeld.db", url)
        check_upgraded(tmp_path, url)
