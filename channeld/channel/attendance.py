"""How many watched a channel over time: spans of a minute and of an hour, put together from what the media workers tell.

Rule: numbers only, nothing that names a viewer. A span is told when it ends, that of an hour also with each minute, and only if somebody
was there; while control is away nobody counts. Bounded by channels. Control loop's thread, but for `current` and `close`.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.channel.loop import ControlLoop
from channeld.store.records import AudienceSpan
from channeld.telemetry.metric_table import CONNECTION_BUCKETS_S

SPANS_S = (60, 3600)
MAX_CHANNELS = 2_000
TICK_S = 10.0
_NO_STAYS = [0] * (len(CONNECTION_BUCKETS_S) + 1)
_KINDS = ("protocols", "agents", "places")


@dataclass(slots=True)
class _Told:
    """What a worker said last of a channel."""

    began: str
    present: dict[str, dict[str, int]]
    stays: list[int]
    stayed_s: float


@dataclass(slots=True)
class _Sums:
    """Of one span so far."""

    at_s: int
    peak: int = 0
    viewer_s: float = 0.0
    stays: list[int] = field(default_factory=lambda: list(_NO_STAYS))
    stayed_s: float = 0.0
    by: dict[str, dict[str, float]] = field(default_factory=lambda: {kind: {} for kind in _KINDS})

    def add(self, present: dict[str, Counter[str]], seconds: float) -> None:
        """These were there for so long."""
        self.viewer_s += present["protocols"].total() * seconds
        for kind in _KINDS:
            have = self.by[kind]
            for key, count in present[kind].items():
                have[key] = have.get(key, 0.0) + count * seconds

    def span(self, channel: str, span_s: int, life: int) -> AudienceSpan:
        """As it is kept."""
        by = {kind: {key: round(float(value), 1) for key, value in self.by[kind].items()} for kind in _KINDS}
        return AudienceSpan(
            channel, span_s, self.at_s, life, self.peak, round(self.viewer_s, 1), list(self.stays), round(self.stayed_s, 1), **by
        )


@dataclass(slots=True)
class _Channel:
    life: int
    """Since when it is counted, as rows of one span are told apart by it."""
    workers: dict[int, _Told] = field(default_factory=dict)
    counted_ns: int = 0
    sums: dict[int, _Sums] = field(default_factory=dict)

    def present(self) -> dict[str, Counter[str]]:
        """Who is there, over all workers."""
        return {kind: sum((Counter(each.present[kind]) for each in self.workers.values()), Counter()) for kind in _KINDS}


class Attendance:
    """Of all channels. `keep(span)`, given to `start`, is called with each span that is to be written; the newest of one counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards _channels
        self._channels: dict[str, _Channel] = {}
        self._keep: Callable[[AudienceSpan], None] = lambda span: None

    def start(self, loop: ControlLoop, keep: Callable[[AudienceSpan], None]) -> None:
        """Have spans written as they end."""
        self._keep = keep

        def tick() -> None:
            self.tick()
            loop.later(TICK_S, tick)

        loop.post(lambda: loop.later(TICK_S, tick))

    def close(self) -> None:
        """Have written what has grown so far. Any thread."""
        with self._lock:
            for name, channel in self._channels.items():
                self._count(name, channel)
                for span_s, sums in channel.sums.items():
                    if _is_visited(sums):
                        self._keep(sums.span(name, span_s, channel.life))

    def told(self, worker: int, values: dict[str, Any]) -> None:
        """A worker's `attendance`."""
        name, began = str(values["channel"]), str(values["began"])
        with self._lock:
            if name not in self._channels and len(self._channels) >= MAX_CHANNELS:
                return
            channel = self._channels.setdefault(name, _Channel(self._new_life(), counted_ns=self._clock.monotonic_ns()))
            self._count(name, channel)
            stays, stayed_s = [int(each) for each in values["stays"]], float(values["stayed_s"])
            before = channel.workers.get(worker)
            # Of a worker that this control finds at work only what comes from now on is known to be of now.
            known = before if before is not None and before.began == began else _Told(began, {}, stays, stayed_s)
            for sums in channel.sums.values():
                sums.stays = [have + now - then for have, now, then in zip(sums.stays, stays, known.stays, strict=True)]
                sums.stayed_s += stayed_s - known.stayed_s
            channel.workers[worker] = _Told(began, {kind: dict(values[kind]) for kind in _KINDS}, stays, stayed_s)
            self._peak(channel)

    def lost(self, worker: int) -> None:
        """A worker has ended, and its viewers are gone."""
        with self._lock:
            for name, channel in self._channels.items():
                if worker in channel.workers:
                    self._count(name, channel)
                    del channel.workers[worker]

    def tick(self) -> None:
        """Count on, and have written what has ended; a channel that nobody watched for an hour is no longer remembered."""
        with self._lock:
            for name, channel in list(self._channels.items()):
                self._count(name, channel)
                self._peak(channel)
                if not any(_is_visited(sums) for sums in channel.sums.values()):
                    del self._channels[name]

    def current(self, channel: str, span_s: int) -> AudienceSpan | None:
        """The span that still grows. Any thread."""
        with self._lock:
            known = self._channels.get(channel)
            if known is None or span_s not in known.sums:
                return None
            self._count(channel, known)
            sums = known.sums[span_s]
            return sums.span(channel, span_s, known.life) if _is_visited(sums) else None

    def _new_life(self) -> int:
        return round(self._clock.wall_s() * 1000)

    def _count(self, name: str, channel: _Channel) -> None:
        """Up to now, whoever was there stayed."""
        now_ns, wall_s = self._clock.monotonic_ns(), self._clock.wall_s()
        seconds, channel.counted_ns = (now_ns - channel.counted_ns) / NS_PER_SECOND, now_ns
        present = channel.present()
        ends_minute = False
        is_set_back = any(int(wall_s // span_s * span_s) < sums.at_s for span_s, sums in channel.sums.items())
        for span_s in SPANS_S:
            at_s = int(wall_s // span_s * span_s)
            sums = channel.sums.setdefault(span_s, _Sums(at_s))
            is_over = sums.at_s != at_s
            since_s = min(seconds, max(0.0, wall_s - at_s)) if is_over else 0.0
            sums.add(present, seconds - since_s)
            if is_over:
                ends_minute = ends_minute or span_s == SPANS_S[0]
                if _is_visited(sums):
                    self._keep(sums.span(name, span_s, channel.life))
                sums = channel.sums[span_s] = _Sums(at_s, peak=present["protocols"].total())
                sums.add(present, since_s)
        if is_set_back:
            channel.life = self._new_life()  # what was kept of these hours stays beside what comes
        if ends_minute and _is_visited(channel.sums[SPANS_S[1]]):
            self._keep(channel.sums[SPANS_S[1]].span(name, SPANS_S[1], channel.life))

    def _peak(self, channel: _Channel) -> None:
        here = channel.present()["protocols"].total()
        for sums in channel.sums.values():
            sums.peak = max(sums.peak, here)


def _is_visited(sums: _Sums) -> bool:
    return bool(sums.peak or sum(sums.stays))
