"""What the library's threads and its callers share: the queue, who works on what, and who is told.

Rule: one lock guards all of it, is never held over I/O, and never while a callback runs. Safe from any thread.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from channeld.media.clip_state import ClipState, Stage
from channeld.media.prepare import PrepareRequest
from channeld.media.prepare_queue import NEVER, Lookup, PrepareQueue

OnChange = Callable[[str, ClipState], None]
PREEMPT_S = 30.0
PREEMPTED_S = 600.0
SPEED_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Taken:
    """A clip that a thread prepares now; `preempted` is set when it shall leave it for a more urgent one."""

    key: str
    request: PrepareRequest
    needed_at: float
    preempted: threading.Event


class Board:
    """`changed` is the lock and the bell; `queue` is touched only with it held."""

    def __init__(self, on_change: OnChange, jobs: int) -> None:
        self.changed = threading.Condition()
        self.queue = PrepareQueue()
        self.jobs = jobs
        self.speed: float | None = None
        self.is_paused = False
        """Nothing new is begun: the disk has no room."""
        self._on_change = on_change
        self._running: dict[str, Taken] = {}
        self._busy_disks: set[str] = set()

    def wake(self) -> None:
        """Have every waiting thread look again."""
        with self.changed:
            self.changed.notify_all()

    def take_lookup(self) -> Lookup | None:
        """What to look up now; nobody else is given anything of that disk until it is `looked_up`. Called with the lock."""
        found = self.queue.next_lookup(self._busy_disks)
        if found is not None:
            self._busy_disks.add(found.disk)
        return found

    def looked_up(self, lookup: Lookup) -> None:
        """The disk answered; nobody is woken, for who calls looks for the next one himself."""
        with self.changed:
            self._busy_disks.discard(lookup.disk)

    def take(self, now: float) -> Taken | None:
        """The clip to prepare now. Called with the lock."""
        found = None if self.is_paused else self.queue.take(now)
        if found is None:
            return None
        taken = Taken(*found, threading.Event())
        self._running[taken.key] = taken
        return taken

    def done(self, key: str) -> None:
        """A thread is free again."""
        with self.changed:
            self._running.pop(key, None)
            self.changed.notify_all()

    def preempt(self, now: float) -> None:
        """Stop a job that has time for one that has not, when all threads are busy. Called with the lock."""
        if len(self._running) < self.jobs or self.queue.soonest_needed(now) > now + PREEMPT_S:
            return
        latest = max(self._running.values(), key=lambda taken: self.queue.needed_at(taken.key))
        if self.queue.needed_at(latest.key) > now + PREEMPTED_S:
            latest.preempted.set()

    def resolve(self, entry: str, request: PrepareRequest, key: str, state: ClipState) -> None:
        """An entry's clip is known."""
        with self.changed:
            self.queue.resolve(entry, request, key, state)
            told = self.queue.state(entry)
            self.preempt(time.monotonic())
            self.changed.notify_all()
        if told is not None:
            self._on_change(entry, told)

    def fail(self, entry: str, request: PrepareRequest, state: ClipState) -> None:
        """An entry could not be looked up."""
        with self.changed:
            self.queue.fail(entry, request, state)
        self._on_change(entry, state)

    def fail_url(self, url: str, state: ClipState) -> None:
        """What stands behind a URL could not be looked up."""
        with self.changed:
            requests = self.queue.requests_of(url)
        for entry, request in requests:
            self.fail(entry, request, state)

    def tell(self, key: str, state: ClipState, *, not_before: float = 0.0, is_for_room: bool = False) -> None:
        """A clip's new state, to all whom it concerns."""
        with self.changed:
            entries = self.queue.put(key, state, not_before=not_before, is_for_room=is_for_room)
            if state.stage is Stage.PREPARING and state.speed:
                self.speed = state.speed if self.speed is None else self.speed + SPEED_WEIGHT * (state.speed - self.speed)
        for entry in entries:
            self._on_change(entry, state)

    def next_airing(self, key: str) -> float | None:
        """Seconds until a clip airs; None when no entry wants it."""
        with self.changed:
            needed_at = self.queue.needed_at(key)
        return None if needed_at == NEVER else needed_at - time.monotonic()

    def bytes_of(self, key: str, request: PrepareRequest) -> int:
        """About how many bytes a clip will take; 0 while its length is unknown."""
        with self.changed:
            return round(self.queue.length_s(key) * request.profile.bytes_per_second)
