"""The thread that fetches lists of upstream channels: when they are due, and when somebody asks.

Rule: one list at a time; one that failed is left alone for a minute, then ever longer, up to an hour, unless somebody asks. Owns the thread
`proxies:refresher`; asked from any thread.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import NamedTuple

import structlog

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.base.errors import ChannelError, StoreError
from channeld.base.worker import Worker
from channeld.channel.proxy_refresh import Refresh, due_in_s
from channeld.media.fetch import FetchStopped
from channeld.store.relays import Relays

LOOK_S = 60.0
HOLD_S = (60.0, 3_600.0)
"""For how long a list that failed is left alone: the first time, and at most."""

Attempt = Callable[[str, Callable[[], bool]], Refresh]
log = structlog.get_logger()


class _Hold(NamedTuple):
    failures: int
    until_s: float


class Refresher(Worker):
    """`attempt(proxy_id, should_stop)` fetches one; `changed()` is told when a list brought other channels."""

    def __init__(self, relays: Relays, attempt: Attempt, clock: Clock, changed: Callable[[], object]) -> None:
        super().__init__("proxies:refresher")
        self._relays, self._attempt, self._clock, self._changed = relays, attempt, clock, changed
        self._asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pending: dict[str, Future[Refresh]] = {}
        self._lock = threading.Lock()  # guards _pending
        self._holds: dict[str, _Hold] = {}  # of the thread itself

    def soon(self, proxy_id: str) -> Future[Refresh]:
        """Have a list fetched as soon as the one before it is done; what comes of it."""
        with self._lock:
            known = self._pending.get(proxy_id)
            if known is not None:
                return known
            made = self._pending[proxy_id] = Future()
        self._asked.put(proxy_id)
        return made

    def refresh(self, proxy_id: str, wait_s: float) -> Refresh | None:
        """The same, and wait for it; None: it goes on. Raises UnknownRecord, StoreError."""
        try:
            return self.soon(proxy_id).result(wait_s)
        except (TimeoutError, CancelledError, FetchStopped):
            return None

    def wake(self) -> None:
        self._asked.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            wait_s, due = self._next_due()
            asked = None
            with contextlib.suppress(queue.Empty):
                asked = self._asked.get(timeout=max(0.0, min(wait_s, LOOK_S)))
            proxy_id = asked if asked is not None else due if wait_s <= 0 else None
            if proxy_id is not None and not self.stopping.is_set():
                self._fetch(proxy_id)
        with self._lock:
            for future in self._pending.values():
                future.cancel()

    def _next_due(self) -> tuple[float, str | None]:
        """In how many seconds which list is due."""
        try:
            proxies = self._relays.proxies()
        except StoreError as error:
            log.warning("proxies_not_read", error=str(error))
            return LOOK_S, None
        self._holds = {each.id: self._holds[each.id] for each in proxies if each.id in self._holds}
        now_s, waits = self._now_s(), []
        for each in proxies:
            wait_s = due_in_s(each, self._clock.wall_s())
            if wait_s is not None:
                held = self._holds.get(each.id)
                waits.append((max(wait_s, held.until_s - now_s if held else 0.0), each.id))
        return min(waits, default=(LOOK_S, None))

    def _fetch(self, proxy_id: str) -> None:
        with self._lock:
            future = self._pending.pop(proxy_id, None) or Future()
        try:
            done = self._attempt(proxy_id, self.stopping.is_set)
        except ChannelError as error:
            log.warning("proxy_not_refreshed", proxy=proxy_id, error=str(error))
            self._hold(proxy_id)
            future.set_exception(error)
            return
        except Exception as error:  # a mistake in reading one list must not end the reading of all; it is logged with its traceback
            log.exception("proxy_not_refreshed", proxy=proxy_id)
            self._hold(proxy_id)
            future.set_exception(error)
            return
        if done.error is not None:
            self._hold(proxy_id)
            log.warning("proxy_refused", proxy=proxy_id, error=done.error)
        else:
            self._holds.pop(proxy_id, None)
            log.info("proxy_refreshed", proxy=proxy_id, channels=done.channels, left_out=done.left_out)
            if done.changes is not None and (done.changes.changed or done.changes.removed or done.changes.added):
                self._tell()
        future.set_result(done)

    def _tell(self) -> None:
        try:
            self._changed()
        except TimeoutError as error:  # control is busy; what is kept counts from the next change on
            log.error("relays_not_renewed", error=str(error))

    def _hold(self, proxy_id: str) -> None:
        failures = self._holds.get(proxy_id, _Hold(0, 0.0)).failures
        wait_s = min(HOLD_S[0] * 2 ** min(failures, 10), HOLD_S[1])
        self._holds[proxy_id] = _Hold(failures + 1, self._now_s() + wait_s)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / NS_PER_SECOND
