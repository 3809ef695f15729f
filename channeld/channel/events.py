"""What happened, for those who listen, and what aired, for those who ask.

Rule: publishing never blocks; everybody is told in the order of the ids; a listener that does not read loses its oldest events,
nobody else's. Ids go on over restarts, so that a listener that comes again gets what it missed; events are read from memory,
whatever becomes of the database. Safe from any thread.
"""

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from channeld.base.clock import iso_utc
from channeld.base.errors import StoreError
from channeld.channel.as_run import KEPT_AIRINGS, AsRun
from channeld.store.records import Airing, ClipRecord, EventRecord, Outcome
from channeld.store.store import AiringFilter, Store

KEPT_EVENTS = 2_000
QUEUED_EVENTS = 1_000
ID_LEAP = 100_000
"""From the newest id that a database holds to the ids of another process: a killed one may have told events that were never written,
and who heard of these must find the news behind them. More than happen while a database is away for long."""

Tell = Callable[[dict[str, Any]], None]
"""Is told an event; on the publisher's thread, while the log's lock is held: it neither waits nor publishes."""

log = structlog.get_logger()


class Listener:
    """One listener's queue. `get` gives None when nothing comes in time."""

    def __init__(self, log: "EventLog", last_id: int | None) -> None:
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(QUEUED_EVENTS + KEPT_EVENTS)
        self._stop = log.follow(self.put, last_id)

    def put(self, event: dict[str, Any]) -> None:
        """Queue an event, in place of the oldest when full."""
        while True:
            try:
                self._queue.put_nowait(event)
                return
            except queue.Full:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return

    def get(self, timeout: float) -> dict[str, Any] | None:
        """The next event, or None after `timeout` seconds."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop listening; idempotent."""
        self._stop()


class EventLog:
    """The newest events and airings, and who listens."""

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        past = _Past.of(store) if store is not None else _Past()
        self._lock = threading.Lock()  # guards all below; never held over anything slow
        self._newest_id = past.event_id
        self._events: deque[dict[str, Any]] = deque((record.event for record in past.events), KEPT_EVENTS)
        self._followers: dict[int, Tell] = {}
        self._numbers = itertools.count()
        self.airings = AsRun(store, past.airing_id + 1, past.airings)

    def publish(self, kind: str, **values: Any) -> None:
        """Tell everybody."""
        now_s = time.time()
        with self._lock:
            self._newest_id += 1
            event = {"id": self._newest_id, "kind": kind, "at": iso_utc(now_s), **values}
            self._events.append(event)
            if self._store is not None:
                self._store.add_event(EventRecord(event["id"], now_s, event))
            self.airings.note(kind, event)
            for tell in self._followers.values():
                tell(event)

    @property
    def newest_id(self) -> int:
        """The id of the event that happened last; at first the greatest that earlier processes can have given, 0 when there were none."""
        with self._lock:
            return self._newest_id

    def remembered(self) -> tuple[list[EventRecord], list[Airing]]:
        """The newest events and lines of as-run, for a database that was made anew."""
        with self._lock:
            events = [EventRecord(event["id"], datetime.fromisoformat(event["at"]).timestamp(), event) for event in self._events]
        return events, self.airings.remembered()

    @property
    def problem(self) -> str | None:
        """Why history is not written just now; None while it is."""
        return self._store.problem if self._store is not None else None

    def clips(self, after: str | None, limit: int) -> list[ClipRecord]:
        """The catalogue of clips; empty without a store. Raises StoreError."""
        return self._store.clips(after, limit) if self._store is not None else []

    def follow(self, tell: Tell, last_id: int | None = None) -> Callable[[], None]:
        """Have `tell` called with the events after `last_id` as far as they are kept, then with each new one; None: new ones only.

        Gives how to end it, which is idempotent.
        """
        with self._lock:
            # An id that was never given is one of a database that was lost: all that is kept may be news.
            is_known = last_id is not None and last_id <= self._newest_id
            for event in self._events if last_id is not None else ():
                if not is_known or event["id"] > (last_id or 0):
                    tell(event)
            self._followers[number := next(self._numbers)] = tell

        def stop() -> None:
            with self._lock:
                self._followers.pop(number, None)

        return stop

    def subscribe(self, last_id: int | None) -> Listener:
        """The same as a queue."""
        return Listener(self, last_id)

    def as_run(self, channel: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest airings, newest first."""
        return self.airings.lines(AiringFilter(channel), limit).rows


@dataclass(frozen=True, slots=True)
class _Past:
    """What an earlier process left."""

    event_id: int = 0
    airing_id: int = 0
    events: list[EventRecord] = field(default_factory=list)
    airings: list[Airing] = field(default_factory=list)

    @classmethod
    def of(cls, store: Store) -> "_Past":
        try:
            event_id, airing_id = store.newest_ids()
            everything = AiringFilter(outcomes=tuple(Outcome))
            return cls(
                event_id + ID_LEAP if event_id else 0,
                airing_id,
                store.newest_events(KEPT_EVENTS),
                store.airings(everything, KEPT_AIRINGS)[::-1],
            )
        except StoreError as error:
            # Greater than every id that counts from 1, so that it need not be known which were given.
            first = time.time_ns() // 1_000_000
            log.error("history_not_read", error=str(error), consequence=f"ids go on from {first}")
            return cls(first, first)
