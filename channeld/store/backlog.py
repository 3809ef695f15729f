"""What is still to be written: bounded, in order, the newest of what only counts as newest.

Rule: putting never waits and never fails; what a full backlog gives up is counted, the oldest first. A batch that could not be
written comes back and goes first. One lock guards all of it, never held over I/O. Safe from any thread.
"""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from channeld.base.errors import StoreError
from channeld.store.records import Airing, ClipRecord, Ending, EventRecord, HlsPosition, Position

MAX_EVENTS = 20_000
MAX_AIRINGS = 100_000
MAX_CLIPS = 100_000
BATCH_ROWS = 2_000


@dataclass(slots=True)
class Batch:
    """One transaction's worth. A position None is to be forgotten; `number` is that of the newest put before it was taken."""

    number: int = 0
    positions: dict[str, Position | None] = field(default_factory=dict)
    hls: dict[tuple[str, str], HlsPosition] = field(default_factory=dict)
    clips: dict[str, ClipRecord] = field(default_factory=dict)
    events: deque[EventRecord] = field(default_factory=deque)
    airings: deque[Airing | Ending] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.positions) + len(self.hls) + len(self.clips) + len(self.events) + len(self.airings)

    def singles(self) -> Iterator["Batch"]:
        """The same, a row at a time."""
        yield from (Batch(positions={channel: position}) for channel, position in self.positions.items())
        yield from (Batch(hls={key: item}) for key, item in self.hls.items())
        yield from (Batch(clips={clip: item}) for clip, item in self.clips.items())
        yield from (Batch(events=deque((item,))) for item in self.events)
        yield from (Batch(airings=deque((item,))) for item in self.airings)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """How many rows a full backlog gave up."""

    events: int = 0
    airings: int = 0
    clips: int = 0


class Backlog:
    """The writer's inbox."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = Batch()
        self._written = 0
        self._given_up = GivenUp()
        self._failure: StoreError | None = None
        self._failures = 0
        self._flushers = 0

    def put(self, item: Position | HlsPosition | ClipRecord | EventRecord | Airing | Ending, channel: str = "") -> None:
        """Have it written. `channel`: that of a position."""
        with self._changed:
            waiting = self._waiting
            if isinstance(item, Position):
                waiting.positions[channel] = item
            elif isinstance(item, HlsPosition):
                waiting.hls[item.channel, item.output] = item
            elif isinstance(item, ClipRecord):
                waiting.clips[item.clip] = item
            elif isinstance(item, EventRecord):
                waiting.events.append(item)
            else:
                waiting.airings.append(item)
            self._put_done()

    def forget_position(self, channel: str) -> None:
        """Have a channel's position removed."""
        with self._changed:
            self._waiting.positions[channel] = None
            self._put_done()

    def _put_done(self) -> None:
        self._waiting.number += 1
        self._bound()
        if len(self._waiting) == 1:
            self._changed.notify_all()

    def _bound(self) -> None:
        waiting = self._waiting
        events, airings, clips = (
            max(0, len(items) - most)
            for items, most in ((waiting.events, MAX_EVENTS), (waiting.airings, MAX_AIRINGS), (waiting.clips, MAX_CLIPS))
        )
        if not (events or airings or clips):
            return
        for _ in range(events):
            waiting.events.popleft()
        for _ in range(airings):
            waiting.airings.popleft()
        for clip in list(islice(waiting.clips, clips)):
            del waiting.clips[clip]
        before = self._given_up
        self._given_up = GivenUp(before.events + events, before.airings + airings, before.clips + clips)

    def take(self) -> Batch:
        """At most BATCH_ROWS events, airings and clips each, and all positions."""
        with self._changed:
            waiting = self._waiting
            batch = Batch(positions=waiting.positions, hls=waiting.hls)
            waiting.positions, waiting.hls = {}, {}
            batch.events.extend(waiting.events.popleft() for _ in range(min(BATCH_ROWS, len(waiting.events))))
            batch.airings.extend(waiting.airings.popleft() for _ in range(min(BATCH_ROWS, len(waiting.airings))))
            for clip in list(islice(waiting.clips, BATCH_ROWS)):
                batch.clips[clip] = waiting.clips.pop(clip)
            batch.number = waiting.number if not len(waiting) else self._written
            return batch

    def put_back(self, batch: Batch, failure: StoreError) -> None:
        """It could not be written: it goes first again, behind nothing but what is newer of its kind."""
        with self._changed:
            waiting = self._waiting
            waiting.positions = batch.positions | waiting.positions
            waiting.hls = batch.hls | waiting.hls
            waiting.clips = batch.clips | waiting.clips
            waiting.events.extendleft(reversed(batch.events))
            waiting.airings.extendleft(reversed(batch.airings))
            self._bound()
            self._failure, self._failures = failure, self._failures + 1
            self._changed.notify_all()

    def written(self, batch: Batch) -> None:
        """It is on the disk."""
        with self._changed:
            self._written, self._failure = batch.number, None
            self._changed.notify_all()

    @property
    def failure(self) -> StoreError | None:
        """Why the newest batch could not be written; None when it was."""
        with self._changed:
            return self._failure

    @property
    def given_up(self) -> GivenUp:
        """What was lost so far."""
        with self._changed:
            return self._given_up

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    def wait(self, timeout_s: float) -> bool:
        """The writer's: wait until something is to be written, or somebody flushes; True when somebody does."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) > 0 or self._flushers > 0, timeout_s)
            return self._flushers > 0

    def wait_for_flush(self, timeout_s: float) -> None:
        """The writer's: let more come together, unless somebody flushes."""
        with self._changed:
            self._changed.wait_for(lambda: self._flushers > 0, timeout_s)

    def wake(self) -> None:
        """End the writer's wait."""
        with self._changed:
            self._flushers += 1
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> None:
        """Return when all that was put before is on the disk. Raises StoreError when the next attempt fails, or none is made in time."""
        with self._changed:
            wanted, failures = self._waiting.number, self._failures
            self._flushers += 1
            self._changed.notify_all()
            try:
                done = self._changed.wait_for(lambda: self._written >= wanted or self._failures > failures, timeout_s)
                if self._written >= wanted:
                    return
                if done and self._failure is not None:
                    raise self._failure
                raise StoreError(f"nothing could be written within {timeout_s:g} s: the disk of the state folder does not answer")
            finally:
                self._flushers -= 1
