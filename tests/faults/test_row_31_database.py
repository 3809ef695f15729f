"""Row 31: the database is locked, damaged, or gone."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from nginx_origin import wait_until
from running import RunningDaemon
from stage import Stage


def _airs_on(stage: Stage) -> None:
    aired = len(stage.daemon.airings("hit"))
    wait_until(lambda: len(stage.daemon.airings("hit")) > aired + 2, what="clips to air on")


@pytest.mark.long
def test_a_locked_database_touches_no_air_and_loses_no_line(stage: Stage) -> None:
    path = stage.daemon.folder / "state" / "channeld.db"
    with stage.row(31):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            _airs_on(stage)
            aired = [airing["started_at"] for airing in stage.daemon.airings("hit")[-2:]]
            other.execute("ROLLBACK")
        wait_until(lambda: _count(path) > 0, what="rows in the database")
    assert [airing["started_at"] for airing in stage.daemon.airings("hit")[-40:] if airing["started_at"] in aired] == aired


def _count(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        return int(reader.execute("SELECT count(*) FROM airings").fetchone()[0])


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 65_536)


DAMAGES: dict[str, Callable[[Path], object]] = {"overwritten": _overwrite, "gone": Path.unlink}
EVERY_DAMAGE = pytest.mark.parametrize("name", ["overwritten", pytest.param("gone", marks=pytest.mark.long)])


@EVERY_DAMAGE
def test_a_database_that_is_damaged_or_gone_is_rebuilt_while_the_air_goes_on(stage: Stage, name: str) -> None:
    path = stage.daemon.folder / "state" / "channeld.db"
    with stage.row(31):
        DAMAGES[name](path)
        _airs_on(stage)
        wait_until(lambda: path.exists() and _is_sound(path), what="a sound database", timeout_s=60)
        told = [entry for entry in stage.daemon.log() if entry["event"].startswith(("database", "store"))]
    assert told, "nobody was told"


@pytest.mark.long
@EVERY_DAMAGE
def test_a_daemon_starts_over_a_database_that_is_damaged_or_gone(solo_daemon: Callable[..., RunningDaemon], name: str) -> None:
    daemon = solo_daemon()
    daemon.start()
    assert daemon.stop() == []
    path = daemon.folder / "state" / "channeld.db"
    for beside in path.parent.glob("channeld.db-*"):
        beside.unlink()
    DAMAGES[name](path)
    daemon.start()
    daemon.wait_for("one", lambda found: found["state"] == "on_air", what="the channel to be on air")
    wait_until(lambda: path.exists() and _is_sound(path), what="a sound database")


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            return bool(reader.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False
