"""One channel on air: takes the next clip, splices, and publishes each slice when it is due.

Rule: memory only. Whatever fails, the filler (held in memory from the start) is the next thing on air.
Everything here runs on the host's heap thread.

What airs next is control's plan: sources in order, made for the airing number `after`. At a boundary the first
source that is ready airs; those before it keep their place. A plan that comes within HOLD_S of the boundary counts
for the one after it, if a plan for this boundary is here and ready.
"""

import itertools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import TICKS_PER_SECOND, Ticks90k
from channeld.bus.ring import RingWriter
from channeld.playout.lookahead import LOOKAHEAD_S, ClipSource, DiskReaders, Lookahead
from channeld.ts.index import Block
from channeld.ts.splicer import ClipFeed, Slice, Splicer

SLICE_S = 0.2
HOLD_S = 0.5
PREFETCHED = 2
_AS_JSON = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: `json.dumps` with other than its default separators makes an encoder for each call."""

Report = Callable[..., None]


@dataclass(slots=True)
class OnAir:
    """What airs now; `lookahead` None is the filler. Frames are counted from the clip's first."""

    serial: int
    source: ClipSource | None
    feed: ClipFeed
    lookahead: Lookahead | None
    cut_requested: bool = False


@dataclass(slots=True)
class Plan:
    """Control's plan: look-aheads in order, and whether it was made for the coming boundary."""

    queue: deque[Lookahead] = field(default_factory=deque)
    is_for_this_boundary: bool = False


class Air:
    """A channel's timeline, ring and plan. `report(kind, **values)` tells control what happened."""

    def __init__(
        self,
        channel: str,
        splicer: Splicer,
        ring: RingWriter,
        filler: list[Block],
        readers: DiskReaders,
        report: Report,
        *,
        anchor_ns: int,
        lead_s: float = 0.0,
    ) -> None:
        self.channel = channel
        self.ring = ring
        self._splicer = splicer
        self._filler = filler
        self._readers = readers
        self._report = report
        self._anchor_ns = anchor_ns
        self._lead_ticks = round((lead_s + SLICE_S) * TICKS_PER_SECOND)
        self._plan = Plan()
        self.now = OnAir(0, None, ClipFeed(), None)
        fps = splicer.stream.fps
        self._slice_frames = max(1, fps.frames_in(SLICE_S))
        self._lookahead_frames = fps.frames_in(LOOKAHEAD_S)

    @property
    def due_ns(self) -> int:
        """When the next slice is to be released, on the monotonic clock."""
        elapsed = self._splicer.next_dts - self._splicer.state.origin
        return self._anchor_ns + elapsed * NS_PER_SECOND // TICKS_PER_SECOND

    @property
    def is_catching_up(self) -> bool:
        """What is released now was due before the channel began: the burst that fills readers' buffers."""
        return self._splicer.next_dts - self._splicer.state.origin <= self._lead_ticks

    @property
    def burst_frames(self) -> int:
        """Frames that are released at once when the channel begins, and one slice more."""
        return self._splicer.stream.fps.frames_in(self._lead_ticks / TICKS_PER_SECOND)

    def accept_plan(self, after: int, sources: list[ClipSource], *, now_ns: int) -> bool:
        """Take a new plan at this instant of the monotonic clock; False when it is stale or too late for the coming boundary."""
        if after != self.now.serial:
            return False
        if self._plan.is_for_this_boundary and self._is_near_end(now_ns) and self._ready_source() is not None:
            return False
        old = list(self._plan.queue)
        queue: deque[Lookahead] = deque()
        for source in sources:
            reused = next((item for item in old if item.source.ts_path == source.ts_path and not item.failure), None)
            if reused is not None:
                old.remove(reused)
                reused.source = source
            queue.append(reused or Lookahead(source))
        for item in old:
            self._readers.retire(item)
        self._plan = Plan(queue, is_for_this_boundary=True)
        self._prefetch()
        return True

    def _is_near_end(self, now_ns: int) -> bool:
        # By the clock, not by what is released: that is up to one slice ahead, and the half second belongs to the editor.
        now = self.now
        ends_ns = self.due_ns + int(self._splicer.stream.fps.seconds(now.feed.frames_ready) * NS_PER_SECOND)
        return now.lookahead is not None and now.lookahead.complete and ends_ns - now_ns < HOLD_S * NS_PER_SECOND

    def skip(self) -> None:
        """End the playing clip at its next legal cut."""
        self.now.cut_requested = True

    def release(self) -> Slice:
        """Publish the slice that is due."""
        now = self.now
        if now.lookahead is not None:
            now.lookahead.drain()
        self._prefetch()
        wants_cut = now.cut_requested if now.source is not None else self._ready_source() is not None
        if now.feed.frames_ready == 0 or (wants_cut and now.feed.may_cut):
            self._change()
        piece = self._splicer.next_slice(self.now.feed, self._slice_frames, up_to_cut=wants_cut and self.now is now)
        if piece is None:
            raise RuntimeError("nothing to air, not even the filler")
        self.ring.publish(
            piece.packets.ravel(), dts=piece.dts, duration=piece.duration, is_random_access=piece.is_random_access, state=self._state()
        )
        return piece

    def _state(self) -> bytes:
        now = self.now
        values = {
            "splicer": self._splicer.state.as_dict(),
            "serial": now.serial,
            "entry": now.source.entry if now.source else None,
            "airing": now.source.airing if now.source else None,
            "ts": now.source.ts_path if now.source else None,
            "frame": now.feed.frames_sent,
            "anchor_ns": self._anchor_ns,
        }
        return _AS_JSON(values).encode()

    def frames_in_memory(self) -> int:
        """Look ahead, and count what could air without the disk: frames of the planned clips, up to the first that is not ready."""
        self._prefetch()
        ready = itertools.takewhile(lambda item: item.is_ready, self._plan.queue)
        return sum(item.feed.frames_ready for item in ready)

    def _ready_source(self) -> Lookahead | None:
        for item in self._plan.queue:
            item.drain()
            if item.is_ready:
                return item
        return None

    def _change(self) -> None:
        """Leave what airs and join what comes: the first ready source, else the filler."""
        ended = self.now
        chosen = self._ready_source()
        if ended.source is None and chosen is None and ended.serial:
            ended.feed = self._filler_feed()  # the filler goes round
            self._splicer.join(ended.feed)
            return
        passed_over = self._take(chosen)
        feed = chosen.feed if chosen else self._filler_feed()
        self.now = OnAir(ended.serial + 1, chosen.source if chosen else None, feed, chosen)
        if ended.serial:
            self._report_end(ended)
        dts = self._splicer.next_dts
        skew = self._splicer.join(feed)
        self._report_start(dts, skew, passed_over)
        self._prefetch()

    def _filler_feed(self) -> ClipFeed:
        feed = ClipFeed()
        for block in self._filler:
            feed.append(block)
        return feed

    def _take(self, chosen: Lookahead | None) -> list[str]:
        """Take the chosen source out of the plan; gives the airings that it was preferred to."""
        self._plan.is_for_this_boundary = False
        if chosen is None:
            return [item.source.airing for item in self._plan.queue]
        place = self._plan.queue.index(chosen)
        del self._plan.queue[place]
        return [self._plan.queue[number].source.airing for number in range(place)]

    def _drop_failed(self) -> None:
        for item in [item for item in self._plan.queue if item.failure]:
            self._plan.queue.remove(item)
            self._report("failed", channel=self.channel, airing=item.source.airing, entry=item.source.entry, error=item.failure)

    def _report_end(self, ended: OnAir) -> None:
        lookahead = ended.lookahead
        reason = "cut" if ended.feed.frames_ready else "end"
        if lookahead is not None:
            if reason == "end" and not lookahead.is_spent:
                reason = "damaged" if lookahead.failure else "underrun"
            self._readers.retire(lookahead)
        self._report(
            "ended",
            channel=self.channel,
            serial=ended.serial,
            airing=ended.source.airing if ended.source else None,
            entry=ended.source.entry if ended.source else None,
            frames=ended.feed.frames_sent,
            reason=reason,
            error=lookahead.failure if lookahead else None,
        )

    def _report_start(self, dts: Ticks90k, skew: Ticks90k, passed_over: list[str]) -> None:
        source = self.now.source
        self._report(
            "started",
            channel=self.channel,
            serial=self.now.serial,
            airing=source.airing if source else None,
            entry=source.entry if source else None,
            dts=dts,
            due_ns=self._anchor_ns + (dts - self._splicer.state.origin) * NS_PER_SECOND // TICKS_PER_SECOND,
            skew=skew,
            passed_over=passed_over,
        )

    def _prefetch(self) -> None:
        """Keep the playing clip ahead, and the beginnings of the next ones in memory: of more of them where clips are short."""
        now = self.now
        if now.lookahead is not None and now.lookahead.wants_more(self._lookahead_frames):
            self._readers.request(now.lookahead)
        self._drop_failed()
        missing = self._lookahead_frames - now.feed.frames_ready
        for number, item in enumerate(self._plan.queue, 1):
            item.drain()
            if item.wants_more(self._lookahead_frames if number == 1 else self._slice_frames):
                self._readers.request(item)
            missing -= item.feed.frames_ready
            if number >= PREFETCHED and (missing <= 0 or not item.is_ready):
                break

    def progress(self) -> dict[str, Any]:
        """Plain values for control: what airs, how far, and where the timeline stands."""
        now = self.now
        return {
            "serial": now.serial,
            "frames": now.feed.frames_sent,
            "dts": self._splicer.next_dts,
            "head": self.ring.head_seq,
            "ahead": now.feed.frames_ready,
        }

    def close(self) -> None:
        """Give back the look-aheads' files. The ring is closed by its last user, the feeder."""
        for item in [*self._plan.queue, *([self.now.lookahead] if self.now.lookahead else [])]:
            self._readers.retire(item)
        self._plan = Plan()
