"""A listener of the daemon's event stream, so that tests wait for what happens and not for time.

Rule: one thread, owned by the follower; it ends with the stream or at `close`.
"""

import json
import threading
from types import TracebackType
from typing import Any

import httpx

Event = dict[str, Any]


class EventFollower:
    """Keeps every event since it was opened. Use as a context manager, after the daemon's start."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._client.timeout = httpx.Timeout(10, read=None)
        self._events: list[Event] = []
        self._news = threading.Condition()  # guards _events
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def __enter__(self) -> "EventFollower":
        self._thread.start()
        if not self._is_open.wait(20):
            raise TimeoutError("the event stream did not open")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def _run(self) -> None:
        try:
            with self._client.stream("GET", "/api/v1/events", headers={"Last-Event-ID": "0"}) as answer:
                self._is_open.set()
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        with self._news:
                            self._events.append(json.loads(line[6:]))
                            self._news.notify_all()
        except (httpx.TransportError, httpx.StreamError, OSError):
            return  # closed by one side or the other

    def has_more_than(self, count: int, kind: str, channel: str, *, within_s: float) -> bool:
        """Whether there are more events of this kind than `count`, or soon are."""
        with self._news:
            return self._news.wait_for(lambda: self._count(kind, channel) > count, within_s)

    def wait_for_more(self, kind: str, channel: str, *, timeout_s: float = 30.0) -> int:
        """Wait for one more event than there are now; gives how many there are then. Raises TimeoutError."""
        with self._news:
            before = self._count(kind, channel)
        if not self.has_more_than(before, kind, channel, within_s=timeout_s):
            raise TimeoutError(f"waited {timeout_s} s for {kind} of {channel}")
        with self._news:
            return self._count(kind, channel)

    def _count(self, kind: str, channel: str) -> int:
        return sum(event["kind"] == kind and event["channel"] == channel for event in self._events)
