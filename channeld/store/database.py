"""The way to one database: its connections, its version, and what its errors mean.

Rule: whoever writes holds one connection and begins each transaction with it; readers open one for each question, and never
make a file that is missing. A database that cannot be read as one is set aside, never deleted. Safe from any thread.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from channeld.base.errors import StoreError
from channeld.base.redact import redact_text, redact_url
from channeld.store.schema import REVISION

BUSY_S = 2.0
CHECKED_BYTES = 64 << 20
"""A file up to this size is checked whole when it is opened; a larger one when it is read."""

_CORRUPT, _NOT_A_DATABASE = 11, 26
_MAGIC = b"SQLite format 3\0"


class Trouble(Enum):
    """Why the store does not work."""

    FULL = "full"
    LOCKED = "locked"
    BROKEN = "broken"
    NEWER = "newer"
    ROW = "row"
    """One row's values are at fault; all others can be written."""
    AWAY = "away"


_CODES = {5: Trouble.LOCKED, 6: Trouble.LOCKED, 13: Trouble.FULL, _CORRUPT: Trouble.BROKEN, _NOT_A_DATABASE: Trouble.BROKEN}
_ADVICE = {
    Trouble.FULL: "the disk is full. Free some space",
    Trouble.LOCKED: "another program keeps it locked. End that program",
    Trouble.BROKEN: "it is damaged. It will be set aside",
}


class DatabaseError(StoreError):
    """What the database would not do: tried again, on air nothing changes."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


class Database:
    """`url` None: the SQLite file `path`. Otherwise SQLAlchemy's URL of another database, and `path` only names the disk of the state."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        self.path = path
        self.is_file = url is None
        self.shown = str(path) if url is None else redact_url(url)
        self._engine = _file_engine(path) if url is None else _server_engine(url)
        self._identity: tuple[int, int] | None = None
        self._fd: int | None = None
        self._is_prepared = False

    def prepare(self) -> bool:
        """Make the database if it is missing, check it, and bring it up to date; True when it was new. Raises DatabaseError."""
        with self.translated():
            if self.is_file:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._open_file()
            with self._engine.connect().execution_options(is_writing=True) as connection, connection.begin():
                is_new = self._bring_up_to_date(connection)
            self._is_prepared = True
            return is_new

    def _open_file(self) -> None:
        """Make the file if it is missing. Its descriptor stays open: closing any of a file drops this process's locks on it (fcntl(2))."""
        if self._fd is not None and self._identity is not None and self._identity == _identity(self.path):
            return
        old, self._fd = self._fd, os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if old is not None:
            os.close(old)
        self._identity = _identity(self.path)

    def _bring_up_to_date(self, connection: Connection) -> bool:
        if self.is_file and self.path.stat().st_size <= CHECKED_BYTES:
            verdict = str(connection.execute(text("PRAGMA quick_check(1)")).scalar())
            if verdict != "ok":
                raise DatabaseError(Trouble.BROKEN, f"{self.shown}: {_ADVICE[Trouble.BROKEN]} ({verdict.strip()[:200]})")
        found = _revision(connection)
        if found == REVISION:
            return False
        # Imported here: it is needed once in a version's life, and takes a while.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            message = f"{self.shown} was written by a newer channeld (version {found}, this one knows {REVISION}). "
            raise DatabaseError(
                Trouble.NEWER, message + "Install that version again, or move the file away: history and positions go with it"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return found is None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for one question. Raises DatabaseError."""
        with self.translated(), self._engine.connect() as connection:
            yield connection

    def writer(self) -> Connection:
        """A connection to write with; whoever asks closes it. Raises DatabaseError."""
        with self.translated():
            return self._engine.connect().execution_options(is_writing=True)

    @property
    def is_prepared(self) -> bool:
        """It is up to date, and still what `prepare` saw: what is written to a file that was removed goes nowhere.

        One that was written over is noticed by its first bytes: SQLite reads them from memory.
        """
        if not self._is_prepared or self._fd is None:
            return self._is_prepared
        return _identity(self.path) == self._identity and os.pread(self._fd, len(_MAGIC), 0) == _MAGIC

    def doubt(self) -> None:
        """Something failed: have it prepared again."""
        self._is_prepared = False

    def set_aside(self) -> Path:
        """Rename the file and what belongs to it; gives its new name. Raises DatabaseError."""
        aside = self.path.with_name(f"{self.path.name}.broken-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        number = 1
        while aside.exists():
            aside = aside.with_name(f"{aside.name.partition('~')[0]}~{number}")
            number += 1
        with self.translated():
            for suffix in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        return aside

    def close(self) -> None:
        """Give back every connection, and the file."""
        self._engine.dispose()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Whatever the driver raises inside becomes a DatabaseError."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> DatabaseError:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        code = getattr(cause, "sqlite_errorcode", None)
        trouble = _CODES.get(code & 0xFF, Trouble.AWAY) if code is not None else Trouble.AWAY
        if isinstance(error, DataError | IntegrityError) or (isinstance(error, StatementError) and not isinstance(error, DBAPIError)):
            trouble = Trouble.ROW
        # On a full disk SQLite may also fail to widen its shared memory, which it calls an I/O error.
        if trouble is Trouble.AWAY and self.is_file and _is_full(self.path.parent):
            trouble = Trouble.FULL
        reason = redact_text(str(cause).strip().partition("\n")[0])
        return DatabaseError(trouble, f"{self.shown}: {_ADVICE.get(trouble, reason)}" + (f" ({reason})" if trouble in _ADVICE else ""))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_full(folder: Path) -> bool:
    try:
        numbers = os.statvfs(folder)
    except OSError:
        return False
    return numbers.f_bavail * numbers.f_frsize < 64 << 10 or (numbers.f_files > 0 and numbers.f_favail == 0)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _file_engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        # mode=rw: whoever only asks must not make an empty database. isolation_level None: BEGIN is ours (see below).
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        try:
            # SQLite's own knows the letters of ASCII alone.
            connection.create_function("lower", 1, lambda value: value.lower() if isinstance(value, str) else value, deterministic=True)
            # FULL: a commit is on the disk when it returns, also when the power fails; commits are batched.
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=16777216"):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    # hide_parameters: values of a statement, passwords among them, would stand in its error, and so in the log.
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Python's driver begins late and commits before DDL; a transaction that is meant to write also waits for its turn at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("is_writing") else "BEGIN")

    return engine


def _server_engine(url: str) -> Engine:
    driven = url.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        return create_engine(
            driven, pool_pre_ping=True, pool_size=2, pool_timeout=BUSY_S, connect_args={"connect_timeout": 5}, hide_parameters=True
        )
    except ModuleNotFoundError as error:
        raise StoreError(f"database {redact_url(url)}: the driver is missing. Install channeld[postgresql]") from error
    except SQLAlchemyError as error:
        raise StoreError(f"database {redact_url(url)}: {redact_text(str(error))}") from None
