"""The one thread that writes to the database.

Rule: nobody waits for it but who asked to (`Backlog.flush`, edits); whatever fails is tried again with back-off, and told once, but for
edits, whose people are told at once. A database that is damaged or gone is made anew, with all that is still known. It owns the
writing connection.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection

from channeld.base.errors import ChannelError
from channeld.base.worker import Worker
from channeld.process.backoff import Backoff
from channeld.store.backlog import Backlog, Batch, GivenUp
from channeld.store.database import Database, DatabaseError, Trouble
from channeld.store.edits import Edit
from channeld.store.pruning import Pruner
from channeld.store.writes import Memories, write

BATCH_S = 1.0
IDLE_S = 30.0
LAST_S = 2.0

Tell = Callable[..., None]
log = structlog.get_logger()


class Writer(Worker):
    """`again` gives what to write into a database made anew; `tell(kind, **facts)` is for the events."""

    def __init__(self, database: Database, backlog: Backlog, pruner: Pruner, *, again: Callable[[], Batch], tell: Tell) -> None:
        super().__init__("store:writer")
        self._database, self._backlog, self._pruner = database, backlog, pruner
        self._again, self._tell = again, tell
        self._connection: Connection | None = None
        self._memories: Memories = {}
        self._owes_again = False
        """A database was made anew, and what is known is not written into it yet."""
        self._backoff = Backoff()
        self._told_given_up = GivenUp()
        self.busy_since_ns: int | None = None
        """When the write began that still goes on."""

    def wake(self) -> None:
        self._backlog.wake()

    def run(self) -> None:
        while not self.stopping.is_set():
            if not self._backlog.wait(IDLE_S):
                self._backlog.wait_for_flush(BATCH_S)
            self._make(self._backlog.take_edits())
            if not self.turn():
                self._backlog.wait_for_flush(self._backoff.next_s(healthy_for_s=0.0))
        self._make(self._backlog.take_edits(is_last=True))
        until = time.monotonic() + LAST_S
        while len(self._backlog) and time.monotonic() < until and self.turn():
            pass
        self._disconnect()

    def turn(self) -> bool:
        """Write what waits; False when that failed."""
        self.busy_since_ns = time.monotonic_ns()
        batch = self._backlog.take()
        try:
            self._write(batch)
        except DatabaseError as error:
            self._failed(batch, error)
            return False
        except (
            Exception
        ) as error:  # a value that no driver takes must not end all writing; each row is tried alone, the traceback is logged
            log.exception("store_batch_failed")
            self._failed(batch, DatabaseError(Trouble.ROW, str(error)))
            return False
        finally:
            self.busy_since_ns = None
        if self._backlog.failure is not None:
            log.info("store_written_again", database=self._database.shown)
            self._tell("store_written_again")
            self._backoff = Backoff()
        self._backlog.written(batch)
        return True

    def _make(self, edits: list[Edit[Any]]) -> None:
        """Each in a transaction of its own; one that fails is not tried again, for somebody waits and decides."""
        for edit in edits:
            if not edit.begin():
                continue
            self.busy_since_ns = time.monotonic_ns()
            try:
                connection = self._connect()
                with self._database.translated(), connection.begin():
                    result = edit.change(connection)
                edit.settle(result)
            except DatabaseError as error:
                self._not_made(edit, error)
            except ChannelError as error:
                edit.fail(error)
            except Exception as error:  # whoever waits must hear of it, and the next edit be made; the traceback is logged
                log.exception("store_edit_failed")
                self._not_made(edit, DatabaseError(Trouble.ROW, f"nothing was changed: {type(error).__name__}"))
            finally:
                self.busy_since_ns = None

    def _not_made(self, edit: Edit[Any], error: DatabaseError) -> None:
        self._disconnect()
        if error.trouble is not Trouble.ROW:
            self._database.doubt()
        if error.trouble is Trouble.BROKEN:
            self._set_aside()
        edit.fail(error)

    def _write(self, batch: Batch) -> None:
        connection = self._connect()
        with self._database.translated(), connection.begin():
            write(connection, batch, self._memories)
            self._pruner.step(connection)
        for channel, position in batch.positions.items():
            self._memories[channel] = position.memory if position is not None else {}

    def _connect(self) -> Connection:
        if not self._database.is_prepared:
            self._disconnect()
        if self._connection is None:
            self._owes_again |= not self._database.is_prepared and self._database.prepare()
            connection = self._database.writer()
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(connection.close)
                if self._owes_again:
                    with self._database.translated(), connection.begin():
                        write(connection, self._again())
                    self._owes_again = False
                on_failure.pop_all()
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._memories = {}
        if connection is not None:
            with contextlib.suppress(DatabaseError), self._database.translated():
                connection.close()

    def _failed(self, batch: Batch, error: DatabaseError) -> None:
        self._disconnect()  # after a failed write SQLite's connection may be good for nothing
        self._database.doubt()
        is_news = self._backlog.failure is None
        if error.trouble is Trouble.ROW:
            self._write_singly(batch)
            return
        self._backlog.put_back(batch, error)
        if is_news:
            log.error("store_not_written", error=str(error), waiting=len(self._backlog))
            self._tell("store_not_written", error=str(error))
        self._tell_given_up()
        if error.trouble is Trouble.BROKEN:
            self._set_aside()

    def _tell_given_up(self) -> None:
        given_up = self._backlog.given_up
        if given_up != self._told_given_up:
            self._told_given_up = given_up
            log.error("store_rows_given_up", **asdict(given_up))

    def _set_aside(self) -> None:
        try:
            aside = self._database.set_aside()
        except DatabaseError as error:
            log.error("store_not_set_aside", error=str(error))
            return
        self.told_broken(aside)

    def told_broken(self, aside: Path) -> None:
        """Tell of a database that was set aside."""
        log.error("store_set_aside", database=self._database.shown, kept_as=aside.name)
        self._tell("store_set_aside", kept_as=aside.name)

    def _write_singly(self, batch: Batch) -> None:
        """Some row cannot be written: all others are."""
        for single in batch.singles():
            try:
                self._write(single)
            except DatabaseError as error:
                self._disconnect()
                if error.trouble is not Trouble.ROW:
                    self._backlog.put_back(single, error)
                    continue
                log.error("store_row_given_up", error=str(error))
            except Exception:  # as above; this is the row
                self._disconnect()
                log.exception("store_row_given_up")
        if self._backlog.failure is None:
            self._backlog.written(batch)
