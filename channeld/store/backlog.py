"""What is still to be written: bounded, in order, the newest of what only counts as newest.

Rule: putting never waits and never fails; what a full backlog gives up is counted, the oldest first. A batch that could not be
written comes back and goes first. One lock guards all of it, never held over I/O. Safe from any thread.
"""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from channeld.base.errors import StoreError
from channeld.store.edits import Edit
from channeld.store.records import Airing, AudienceSpan, ClipRecord, Ending, EventRecord, HlsPosition, Position
from channeld.store.relay_records import Kept, RelayEvent, RelayStatus

MAX_EVENTS = 20_000
MAX_AIRINGS = 100_000
MAX_CLIPS = 100_000
MAX_RELAY_EVENTS = 20_000
MAX_EDITS = 1_000
MAX_SPANS = 20_000
BATCH_ROWS = 2_000


@dataclass(slots=True)
class Batch:
    """One transaction's worth. A position None is to be forgotten; `number` is that of the newest put before it was taken.

    `kept` is only for a database that was made anew.
    """

    number: int = 0
    positions: dict[str, Position | None] = field(default_factory=dict)
    hls: dict[tuple[str, str], HlsPosition] = field(default_factory=dict)
    clips: dict[str, ClipRecord] = field(default_factory=dict)
    events: deque[EventRecord] = field(default_factory=deque)
    airings: deque[Airing | Ending] = field(default_factory=deque)
    statuses: dict[int, RelayStatus] = field(default_factory=dict)
    relay_events: deque[RelayEvent] = field(default_factory=deque)
    kept: list[Kept] = field(default_factory=list)
    spans: dict[tuple[str, int, int, int], AudienceSpan] = field(default_factory=dict)

    def __len__(self) -> int:
        newest = len(self.positions) + len(self.hls) + len(self.clips) + len(self.statuses) + len(self.spans)
        return newest + len(self.events) + len(self.airings) + len(self.relay_events)

    def singles(self) -> Iterator["Batch"]:
        """The same, a row at a time."""
        yield from (Batch(positions={channel: position}) for channel, position in self.positions.items())
        yield from (Batch(hls={key: item}) for key, item in self.hls.items())
        yield from (Batch(clips={clip: item}) for clip, item in self.clips.items())
        yield from (Batch(events=deque((item,))) for item in self.events)
        yield from (Batch(airings=deque((item,))) for item in self.airings)
        yield from (Batch(statuses={config: item}) for config, item in self.statuses.items())
        yield from (Batch(relay_events=deque((item,))) for item in self.relay_events)
        yield from (Batch(spans={key: item}) for key, item in self.spans.items())


@dataclass(frozen=True, slots=True)
class GivenUp:
    """How many rows a full backlog gave up."""

    events: int = 0
    airings: int = 0
    clips: int = 0
    relay_events: int = 0


Item = Position | HlsPosition | ClipRecord | EventRecord | Airing | Ending | RelayStatus | RelayEvent | AudienceSpan


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
        self._edits: deque[Edit[Any]] = deque()
        self._is_closed = False

    def put(self, item: Item, channel: str = "") -> None:
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
            elif isinstance(item, RelayStatus):
                waiting.statuses[item.config_id] = item
            elif isinstance(item, RelayEvent):
                waiting.relay_events.append(item)
            elif isinstance(item, AudienceSpan):
                waiting.spans[item.channel, item.span_s, item.at_s, item.life] = item
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
        lines = ((waiting.events, MAX_EVENTS), (waiting.airings, MAX_AIRINGS), (waiting.relay_events, MAX_RELAY_EVENTS))
        events, airings, relay_events = (_drop_oldest(items, most) for items, most in lines)
        clips = max(0, len(waiting.clips) - MAX_CLIPS)
        for span in list(islice(waiting.spans, max(0, len(waiting.spans) - MAX_SPANS))):
            del waiting.spans[span]  # figures of viewers: not worth counting what is given up
        if not (events or airings or clips or relay_events):
            return
        for clip in list(islice(waiting.clips, clips)):
            del waiting.clips[clip]
        before = self._given_up
        self._given_up = GivenUp(before.events + events, before.airings + airings, before.clips + clips, before.relay_events + relay_events)

    def take(self) -> Batch:
        """At most BATCH_ROWS events, airings and clips each, and all positions and statuses."""
        with self._changed:
            waiting = self._waiting
            batch = Batch(positions=waiting.positions, hls=waiting.hls, statuses=waiting.statuses, spans=waiting.spans)
            waiting.positions, waiting.hls, waiting.statuses, waiting.spans = {}, {}, {}, {}
            batch.events.extend(waiting.events.popleft() for _ in range(min(BATCH_ROWS, len(waiting.events))))
            batch.airings.extend(waiting.airings.popleft() for _ in range(min(BATCH_ROWS, len(waiting.airings))))
            batch.relay_events.extend(waiting.relay_events.popleft() for _ in range(min(BATCH_ROWS, len(waiting.relay_events))))
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
            waiting.statuses = batch.statuses | waiting.statuses
            waiting.spans = batch.spans | waiting.spans
            waiting.events.extendleft(reversed(batch.events))
            waiting.airings.extendleft(reversed(batch.airings))
            waiting.relay_events.extendleft(reversed(batch.relay_events))
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

    def ask(self, edit: Edit[Any]) -> None:
        """Have an edit made. Raises StoreError: too many wait, or the writer ended."""
        with self._changed:
            if self._is_closed or len(self._edits) >= MAX_EDITS:
                raise StoreError("nothing was changed: " + ("the daemon ends" if self._is_closed else "too many edits wait for the disk"))
            self._edits.append(edit)
            self._changed.notify_all()

    def take_edits(self, *, is_last: bool = False) -> list[Edit[Any]]:
        """The writer's: what was asked for. `is_last`: no more may be asked for."""
        with self._changed:
            self._is_closed = self._is_closed or is_last
            edits = list(self._edits)
            self._edits.clear()
            return edits

    @property
    def _is_waited_for(self) -> bool:
        return self._flushers > 0 or len(self._edits) > 0

    def wait(self, timeout_s: float) -> bool:
        """The writer's: wait until something is to be written, or somebody flushes or edits; True when somebody does."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) > 0 or self._is_waited_for, timeout_s)
            return self._is_waited_for

    def wait_for_flush(self, timeout_s: float) -> None:
        """The writer's: let more come together, unless somebody flushes or edits."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_waited_for, timeout_s)

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


def _drop_oldest(items: deque[Any], most: int) -> int:
    """How many had to go."""
    surplus = max(0, len(items) - most)
    for _ in range(surplus):
        items.popleft()
    return surplus
