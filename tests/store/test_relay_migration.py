"""A database of the version before relays is brought up to date with all that it holds."""

from collections.abc import Sequence
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


def make_former(path: Path, url: str | None, version: str = "0002", rows: Sequence[str] = ROWS) -> None:
    """As the version before would have left it."""
    path.touch()
    database = Database(path, url)
    config = Config()
    config.set_main_option("script_location", str(Path(channeld.store.__file__).parent / "migrations"))
    with database.writer() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        for row in rows:
            connection.exec_driver_sql(row)
        assert inspect(connection).has_table("relay_profiles") == (version == "0003")
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


RELAYS = (
    "INSERT INTO relay_profiles VALUES (1, 'Copy', '', '-c copy', 'hls', 6, 6, 10, NULL, {no}, {yes}, 1, 1)",
    "INSERT INTO relay_proxies VALUES ('tv', 'TV', 'tv.m3u', NULL, NULL, NULL, 1, 1)",
    "INSERT INTO channel_relay_configs VALUES (7, 'tv', 'news', 1, 'News', NULL, {yes}, 1, 1)",
)


def check_relays_stay(folder: Path, url: str | None) -> None:
    """A relay of the version without choices runs as it did."""
    yes, no = ("true", "false") if url else ("1", "0")
    rows = [row.format(yes=yes, no=no) for row in RELAYS]
    make_former(folder / "channeld.db", url, "0003", rows)
    store = Store(folder, url=url, clock=FakeClock(wall_s=100.0))
    store.open()
    (config,) = store.relays.configs()
    assert (config.id, config.name, config.enabled) == (7, "News", True)
    assert (config.lifecycle, config.idle_seconds, config.hardware_fallback) == ("always", None, "refuse")
    store.close()


def test_relays_of_the_version_without_choices_stay_as_they_are(tmp_path: Path) -> None:
    check_relays_stay(tmp_path, None)


def test_a_file_of_the_version_before_keeps_all_that_it_holds(tmp_path: Path) -> None:
    make_former(tmp_path / "channeld.db", None)
    check_upgraded(tmp_path, None)


@pytest.mark.timeout(120)
def test_a_server_s_database_of_the_version_before_keeps_all_that_it_holds(tmp_path: Path) -> None:
    with running_server() as server:
        url = server.new_database()
        make_former(tmp_path / "channeld.db", url)
        check_upgraded(tmp_path, url)
        (tmp_path / "relays").mkdir()
        check_relays_stay(tmp_path / "relays", server.new_database())
