"""The state store: what survives a power loss, and the history for people.

Rule: nothing on air waits for it or depends on it. Saving only hands over to the writer's thread; questions are answered by
the caller's own short connection, and raise StoreError at once while the disk hangs. Safe from any thread.

| what | made by | ends with |
|---|---|---|
| thread `store:writer`, its connection | `start` | `close` |
| `channeld.db`, `-wal`, `-shm` | the writer | nobody: they are the state |
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection

from channeld.base.clock import NS_PER_SECOND, Clock, SystemClock
from channeld.base.errors import StoreError
from channeld.store import questions
from channeld.store.backlog import Backlog, Batch, GivenUp
from channeld.store.database import Database, DatabaseError, Trouble
from channeld.store.edits import Edit
from channeld.store.pruning import Pruner, Retention
from channeld.store.questions import AiringFilter, ClipTotal
from channeld.store.records import Airing, AudienceSpan, ClipRecord, Ending, EventRecord, HlsPosition, Position
from channeld.store.relays import Relays
from channeld.store.writer import Tell, Writer

FILE_NAME = "channeld.db"
STUCK_S = 3.0
CLOSE_S = 4.0
NO_HISTORY: tuple[list[EventRecord], list[Airing]] = ([], [])

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger()


class Store:
    """`open`, then `start`, then use; `close` writes what is left."""

    def __init__(self, state_dir: Path, *, url: str | None = None, retention: Retention | None = None, clock: Clock | None = None) -> None:
        self._database = Database(state_dir / FILE_NAME, url)
        self._backlog = Backlog()
        clock = clock or SystemClock()
        self._pruner = Pruner(retention or Retention(), clock)
        self.relays = Relays(self._edit, self._ask, self._backlog.put, clock)
        self._writer: Writer | None = None
        self._remembered: Callable[[], tuple[list[EventRecord], list[Airing]]] = lambda: NO_HISTORY
        self._known = Batch()
        self._lock = threading.Lock()  # guards _known: the newest of what only counts as newest
        self._aside: Path | None = None

    def open(self) -> None:
        """Bring the database up to date. Raises StoreError when a newer channeld wrote it; other faults are told and left to the writer."""
        try:
            self._prepare()
            self._known.hls = self._ask(questions.hls_positions)
            self.relays.load()
        except DatabaseError as error:
            if error.trouble is Trouble.NEWER:
                raise
            log.error("store_not_opened", error=str(error))

    def _prepare(self) -> None:
        try:
            self._database.prepare()
        except DatabaseError as error:
            if error.trouble is not Trouble.BROKEN:
                raise
            log.error("store_broken", error=str(error))
            self._aside = self._database.set_aside()
            self._database.prepare()

    def start(
        self, tell: Tell = lambda kind, **facts: None, remembered: Callable[[], tuple[list[EventRecord], list[Airing]]] = lambda: NO_HISTORY
    ) -> None:
        """Begin to write. `tell` is for events; `remembered` gives the newest history, for a database that had to be made anew."""
        self._remembered = remembered
        self._writer = Writer(self._database, self._backlog, self._pruner, again=self._again, tell=tell)
        if self._aside is not None:
            self._writer.told_broken(self._aside)
        self._writer.start()

    def close(self) -> None:
        """Write what is left, as far as that goes quickly; idempotent."""
        if self._writer is not None:
            try:
                self._writer.close(CLOSE_S)
            except RuntimeError:
                log.error("store_not_closed", waiting=len(self._backlog))
        if len(self._backlog):
            log.error("store_rows_lost", rows=len(self._backlog), reason=self.problem)
        self._database.close()

    # -- saving: any thread, never waits ------------------------------------------------------------------------

    def save_position(self, channel: str, position: Position) -> None:
        """Where a channel is now; only the newest counts."""
        with self._lock:
            self._known.positions[channel] = position
        self._backlog.put(position, channel)

    def forget_position(self, channel: str) -> None:
        """The channel is to begin anew."""
        with self._lock:
            self._known.positions.pop(channel, None)
        self._backlog.forget_position(channel)

    def save_hls(self, position: HlsPosition) -> None:
        """The numbering of an HLS output; only the newest counts."""
        with self._lock:
            if self._known.hls.get((position.channel, position.output)) == position:
                return
            self._known.hls[position.channel, position.output] = position
        self._backlog.put(position)

    def save_clip(self, clip: ClipRecord) -> None:
        """What became of a clip."""
        self._backlog.put(clip)

    def add_event(self, event: EventRecord) -> None:
        """Something happened."""
        self._backlog.put(event)

    def add_airing(self, airing: Airing | Ending) -> None:
        """A line of the as-run log, or its end."""
        self._backlog.put(airing)

    def add_audience(self, span: AudienceSpan) -> None:
        """Viewers of a minute or an hour so far; the newest of a span counts."""
        self._backlog.put(span)

    def flush(self, timeout_s: float = 5.0) -> None:
        """Return when all that was saved before is on the disk. Raises StoreError when it could not be written."""
        self._backlog.flush(timeout_s)

    def _edit(self, change: Callable[[Connection], T], committed: Callable[[T], None], timeout_s: float) -> T:
        """Return when it is on the disk. Raises what the change raised; StoreError when it could not be made."""
        edit = Edit(change, committed)
        if self._writer is None:
            raise StoreError("nothing was changed: the store has not been started")
        self._backlog.ask(edit)
        return edit.wait(timeout_s)

    def _again(self) -> Batch:
        """What is known without the database."""
        events, airings = self._remembered()
        with self._lock:
            known = Batch(positions=dict(self._known.positions), hls=dict(self._known.hls))
        known.events.extend(events)
        known.airings.extend(airings)
        known.kept.extend(self.relays.remembered())
        return known

    # -- asking -------------------------------------------------------------------------------------------------

    @property
    def problem(self) -> str | None:
        """Why nothing is written just now, and what to do; None while all is well."""
        writer, failure, given_up = self._writer, self._backlog.failure, self._backlog.given_up
        if failure is None and writer is not None and self._is_stuck:
            return f"{self._database.shown}: the disk does not answer. The air goes on; look at the disk"
        if failure is None:
            return None
        lost = f"; {given_up.airings} lines of as-run and {given_up.events} events were given up" if given_up != GivenUp() else ""
        return f"{failure}. {len(self._backlog)} rows wait{lost}"

    @property
    def is_full(self) -> bool:
        """The disk of the database is full."""
        failure = self._backlog.failure
        return isinstance(failure, DatabaseError) and failure.trouble is Trouble.FULL

    @property
    def _is_stuck(self) -> bool:
        since_ns = self._writer.busy_since_ns if self._writer is not None else None
        return since_ns is not None and time.monotonic_ns() - since_ns > STUCK_S * NS_PER_SECOND

    def _ask(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._is_stuck:
            raise StoreError(f"{self._database.shown}: the disk does not answer")
        with self._database.reading() as connection:
            return question(connection, *args, **kwargs)

    def load_position(self, channel: str) -> Position | None:
        """Where a channel was when it was saved last; None also when that cannot be read, which is told."""
        with self._lock:
            known = self._known.positions.get(channel)
        return known or self._try(lambda: self._ask(questions.position, channel), "position", channel=channel)

    def load_hls(self, channel: str, output: str) -> HlsPosition | None:
        """The numbering of an HLS output, from memory."""
        with self._lock:
            return self._known.hls.get((channel, output))

    def _try(self, ask: Callable[[], T], what: str, **facts: str) -> T | None:
        try:
            return ask()
        except StoreError as error:
            log.error("store_not_read", what=what, error=str(error), **facts)
            return None

    def newest_events(self, count: int) -> list[EventRecord]:
        """Oldest first. Raises StoreError."""
        return self._ask(questions.newest_events, count)

    def newest_ids(self) -> tuple[int, int]:
        """The greatest id of an event and of a line of the as-run log. Raises StoreError."""
        return self._ask(questions.newest_ids)

    def airings(self, wanted: AiringFilter, limit: int) -> list[Airing]:
        """Newest first. Raises StoreError."""
        return self._ask(questions.found_airings, wanted, limit)

    def totals(self, wanted: AiringFilter) -> list[ClipTotal]:
        """By channel and path. Raises StoreError."""
        return self._ask(questions.totals, wanted)

    def audience(self, channel: str, span_s: int, since_s: float, until_s: float, limit: int) -> list[AudienceSpan]:
        """A channel's spans of this length, newest first. Raises StoreError."""
        return self._ask(questions.audience_spans, channel, span_s, since_s, until_s, limit)

    def clips(self, after: str | None = None, limit: int = 1_000) -> list[ClipRecord]:
        """The catalogue by name, from behind one on. Raises StoreError."""
        return self._ask(questions.clips_after, after, limit)


__all__ = ["AiringFilter", "Position", "Retention", "Store"]
