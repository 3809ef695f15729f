"""What happened, for those who listen, and what aired, for those who ask.

Rule: publishing never blocks; a listener that does not read loses its oldest events, nobody else's.
Safe from any thread.
"""

import itertools
import queue
import threading
import time
from collections import deque
from typing import Any

from channeld.base.clock import iso_utc

KEPT_EVENTS = 2_000
KEPT_AIRINGS = 5_000
QUEUED_EVENTS = 1_000
MAX_LISTENERS = 600


class Listener:
    """One listener's queue. `get` gives None when nothing comes in time."""

    def __init__(self, log: "EventLog", backlog: list[dict[str, Any]]) -> None:
        self._log = log
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(QUEUED_EVENTS)
        for event in backlog:
            self.put(event)

    @property
    def events(self) -> "Listener":
        """Itself: where the events wait."""
        return self

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
        self._log.forget(self)


class EventLog:
    """The newest events and airings, and who listens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below; never held over anything slow
        self._count = itertools.count(1)
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._airings: deque[dict[str, Any]] = deque(maxlen=KEPT_AIRINGS)
        self._listeners: list[Listener] = []

    def publish(self, kind: str, **values: Any) -> None:
        """Tell everybody."""
        with self._lock:
            event = {"id": next(self._count), "kind": kind, "at": iso_utc(time.time()), **values}
            self._events.append(event)
            self._note_airing(kind, values)
            listeners = list(self._listeners)
        for listener in listeners:
            listener.put(event)

    def _note_airing(self, kind: str, values: dict[str, Any]) -> None:
        if kind == "entry_started":
            base = {key: values[key] for key in ("channel", "serial", "entry", "title", "path")}
            self._airings.append({**base, "started_at": values["at"], "frames": None, "ended": None, "error": None})
        elif kind == "entry_ended":
            for airing in reversed(self._airings):
                if airing["channel"] == values["channel"] and airing["serial"] == values["serial"]:
                    airing.update(frames=values["frames"], ended=values["reason"], error=values["error"])
                    return

    def subscribe(self, last_id: int | None) -> Listener | None:
        """Listen: events after `last_id` as far as they are kept, then new ones. None when too many listen."""
        with self._lock:
            if len(self._listeners) >= MAX_LISTENERS:
                return None
            backlog = [event for event in self._events if event["id"] > last_id] if last_id is not None else []
            listener = Listener(self, backlog)
            self._listeners.append(listener)
            return listener

    def forget(self, listener: Listener) -> None:
        """Tell it nothing more."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def as_run(self, channel: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest airings, newest first."""
        with self._lock:
            found = (dict(airing) for airing in reversed(self._airings) if channel in (None, airing["channel"]))
            return list(itertools.islice(found, limit))
