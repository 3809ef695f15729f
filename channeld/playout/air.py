"""One channel on air: takes the next clip, splices, and publishes each slice when it is due.

Rule: memory only. Whatever fails, the filler (held in memory from the start) is the next thing on air.
Everything here runs on the host's heap thread.

What airs next is control's plan: sources in order, made for the airing number `after`. At a boundary the first
source that is ready airs; those before it keep their place. A plan that comes within HOLD_S of the boundary counts
for the one after it, if a plan for this boundary is here and ready.

With each slice the state is published from which another host goes on (`resume`); it reports what it finds as `present`.
"""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import AAC_FRAME_TICKS, TICKS_PER_SECOND, Ticks90k
from channeld.bus.ring import RingWriter
from channeld.playout.beginning import Beginning, feed_from
from channeld.playout.lookahead import LOOKAHEAD_S, ClipSource, DiskReaders, Lookahead
from channeld.playout.on_air import Filler, OnAir, named
from channeld.playout.pace import Hush, LiveStore, Pace
from channeld.playout.plan import Plan
from channeld.playout.resume import AirState, encode_source, encode_state, last_presented
from channeld.ts.splicer import ClipFeed, Slice, Splicer

SLICE_S = 0.2
HOLD_S, SKIP_WAIT_S = 0.5, 1.0
PREFETCHED = 2
RESUME_AHEAD_S = 2.0
RESUME_WAIT_S = 1.0
"""A channel that is resumed waits so long at most for so much of its clip, before it releases what is late."""

Report = Callable[..., None]


class Air:
    """A channel's timeline, ring and plan. `report(kind, **values)` tells control what happened."""

    def __init__(
        self,
        channel: str,
        splicer: Splicer,
        ring: RingWriter,
        filler: Filler,
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
        self.announce: Callable[[int], Callable[[], None] | None] = lambda head: None
        """Asked before a slice is published; what it gives is called when it is. None: nobody waits for it."""
        self._pace = Pace(anchor_ns, round((lead_s + SLICE_S) * TICKS_PER_SECOND))
        self._plan = Plan()
        self._hush = Hush()
        self.now = OnAir(0, None, ClipFeed(), None)
        fps = splicer.stream.fps
        self._slice_frames = max(1, fps.frames_in(SLICE_S))
        self._lookahead_frames = fps.frames_in(LOOKAHEAD_S)

    def resume(self, state: AirState, *, now_ns: int, leaves: bool = False) -> None:
        """Go on behind the newest slice of the ring, whose state this is; before the first release. The splicer was made with it.

        `leaves`: with the next frame something else airs, and nothing of the clip that was on air is read.
        """
        beginning = Beginning(state.frames, state.audio_units, may_cut=state.may_cut)
        source, lookahead = None, None
        if not state.is_filler:
            source = state.source
            lookahead = None if leaves else Lookahead(source, beginning)
        if lookahead is not None:
            feed = lookahead.feed
        elif state.is_filler and state.source.ts_path == self._filler.path:
            feed = feed_from(self._filler.blocks, beginning)
        else:  # it is left, or it is another filler than the one that aired: what follows comes at the next frame
            feed = feed_from((), beginning)
        as_json = encode_source(source, state.source.ts_path)
        self.now = OnAir(state.serial, source, feed, lookahead, as_json, state.started_dts, state.reported, state.cut_requested)
        late_ticks = max(0, now_ns - self.due_ns) * TICKS_PER_SECOND // NS_PER_SECOND
        self._pace.burst_ticks = self._elapsed + late_ticks + round((RESUME_WAIT_S + SLICE_S) * TICKS_PER_SECOND)
        self._pace.waits_until_ns = now_ns + int(RESUME_WAIT_S * NS_PER_SECOND)

    @property
    def _elapsed(self) -> int:
        """Ticks since the timeline began."""
        return self._splicer.next_dts - self._splicer.state.origin

    @property
    def due_ns(self) -> int:
        """When the next slice is to be released, on the monotonic clock."""
        return self._pace.due_ns(self._elapsed)

    @property
    def is_catching_up(self) -> bool:
        """What is released now was due before the channel began, or went on: the burst that fills readers' buffers."""
        return self._elapsed <= self._pace.burst_ticks

    @property
    def burst_frames(self) -> int:
        """Frames that are released at once when the channel begins, and one slice more."""
        return self._splicer.stream.fps.frames_in(self._pace.burst_ticks / TICKS_PER_SECOND)

    def is_waiting(self, now_ns: int) -> bool:
        """The channel is resumed, and too little of its clip, or of what follows it at once, is in memory yet."""
        if now_ns >= self._pace.waits_until_ns:
            return False
        now = self.now
        is_left = now.source is not None and now.lookahead is None
        waited = next(iter(self._plan.queue), None) if is_left else now.lookahead
        if waited is not None:
            self._prefetch()
            waited.drain()
            is_all = waited.complete or waited.failure
            if not is_all and waited.feed.frames_ready < self._splicer.stream.fps.frames_in(RESUME_AHEAD_S):
                return True
        self._pace.waits_until_ns = 0
        return False

    def accept_plan(self, after: int, sources: list[ClipSource], *, now_ns: int, switches: bool = False) -> bool:
        """Take a new plan at this instant of the monotonic clock; False when it is stale or too late for the coming boundary.

        `switches`: what airs gives way to the first of it, as soon as that is in memory.
        """
        if after != self.now.serial:
            return False
        self.now.gives_way = switches
        if not switches and self._plan.is_for_this_boundary and self._is_near_end(now_ns) and self._plan.ready() is not None:
            return False
        old = list(self._plan.queue)
        queue: deque[Lookahead] = deque()
        for source in sources:
            reused = next((item for item in old if item.serves(source)), None)
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

    def skip(self, *, waits: bool = True) -> None:
        """End the playing clip at its next legal cut, as soon as what comes next is read, or SKIP_WAIT_S are over."""
        self.now.cut_requested, self.now.waits_until = True, self._elapsed + round(SKIP_WAIT_S * TICKS_PER_SECOND) * waits

    def release(self, before: Callable[[bool], None] = lambda is_awaited: None) -> Slice:
        """Publish the slice that is due. `before` is called once it is made, and hears whether local readers wait for it."""
        now = self.now
        if now.lookahead is not None:
            now.lookahead.drain()
        self._prefetch()
        wants_cut = self._wants_cut()
        self._follow_live()
        changes: list[tuple[str, dict[str, Any]]] = []
        if now.feed.frames_ready == 0 or (wants_cut and now.feed.may_cut):
            changes = self._change()
        is_short = (wants_cut and self.now is now) or self._hush.lasts(self._elapsed)
        piece = self._splicer.next_slice(self.now.feed, self._slice_frames, up_to_cut=is_short)
        if piece is None:
            raise RuntimeError("nothing to air, not even the filler")
        packets, state, tell = piece.packets.ravel(), self._state(), self.announce(self.ring.head_seq + 1)
        before(tell is not None)
        self.ring.publish(packets, dts=piece.dts, duration=piece.duration, is_random_access=piece.is_random_access, state=state)
        if tell is not None:
            tell()
        for kind, values in changes:  # what control hears of is in the ring by then, whenever this host dies
            self._report(kind, **values)
        return piece

    def _wants_cut(self) -> bool:
        """What airs is to be left at its next legal cut."""
        now = self.now
        if now.source is None:
            return self._plan.ready() is not None
        if now.gives_way and self._plan.queue:
            self._plan.queue[0].drain()
            return now.cut_requested or self._plan.queue[0].is_ready
        return (now.cut_requested and not self._awaits_next()) or self._has_had_its_time(now)

    def _awaits_next(self) -> bool:
        """What is skipped goes on for a moment, while what comes next is read: else that would be passed over."""
        first = next(iter(self._plan.queue), None)
        if first is None or self._elapsed >= self.now.waits_until:
            return False
        first.drain()
        return not first.is_ready and not first.failure

    def _has_had_its_time(self, now: OnAir) -> bool:
        """It aired for as long as it is to: a live source, which has no end of its own."""
        frames = now.source.airs_frames if now.source is not None else None
        return frames is not None and self._splicer.next_dts - now.started_dts >= self._splicer.stream.fps.tick(frames)

    def _follow_live(self) -> None:
        """A live source's own clock sets the pace while it airs."""
        now, fps = self.now, self._splicer.stream.fps
        if now.source is None or now.source.behind_s is None:
            return
        self._hush.follow(now.feed.frames_sent + now.feed.frames_ready, self._elapsed)
        if self._hush.lasts(self._elapsed):
            return  # what is missing is not its clock's fault
        now.store = now.store or LiveStore(now.source.behind_s)
        self._pace.anchor_ns += now.store.shift_ns(fps.seconds(now.feed.frames_ready), fps.seconds(self._slice_frames))

    def _state(self) -> bytes:
        now = self.now
        return encode_state(
            self._splicer.state,
            now.feed,
            now.as_json,
            serial=now.serial,
            reported=now.reported,
            cut=now.cut_requested,
            started_dts=now.started_dts,
            anchor_ns=self._pace.anchor_ns,
        )

    def frames_in_memory(self) -> int:
        """Look ahead, and count what could air without the disk: frames of the planned clips, up to the first that is not ready."""
        self._prefetch()
        ready = itertools.takewhile(lambda item: item.is_ready, self._plan.queue)
        return sum(item.feed.frames_ready for item in ready)

    def _change(self) -> list[tuple[str, dict[str, Any]]]:
        """Leave what airs and join what comes: the first ready source, else the filler. Gives what there is to report of it."""
        ended = self.now
        gaps = (0, 0) if ended.feed.may_cut else self._leave_out()
        chosen = self._plan.ready()
        if ended.source is None and chosen is None and ended.serial:
            ended.feed = feed_from(self._filler.blocks, Beginning())  # the filler goes round
            self._splicer.join(ended.feed)
            return []
        if ended.source is not None and ended.source.is_live:
            self._hush.begin(self._elapsed)
        passed_over = self._take(chosen)
        feed = chosen.feed if chosen else feed_from(self._filler.blocks, Beginning())
        dts, source = self._splicer.next_dts, chosen.source if chosen else None
        as_json = encode_source(source, self._filler.path)
        self.now = OnAir(ended.serial + 1, source, feed, chosen, as_json, dts, ended.reported)
        reports = [self._end_of(ended)] if ended.serial else []
        skew = self._splicer.join(feed)
        reports.append(self._start_of(dts, skew, gaps, passed_over))
        self._prefetch()
        return reports

    def _leave_out(self) -> tuple[int, int]:
        """Only a resumed clip that is gone ends so: pictures were sent ahead of their display, and what follows comes behind them.

        Gives the ticks left empty, of picture and sound.
        """
        dts, audio_units = self._splicer.next_dts, self._splicer.state.audio_units
        self._splicer.leave_out_until(last_presented(self.ring))
        return self._splicer.next_dts - dts, (self._splicer.state.audio_units - audio_units) * AAC_FRAME_TICKS

    def _take(self, chosen: Lookahead | None) -> list[str]:
        """Take the chosen source out of the plan; gives the airings that it was preferred to."""
        self._plan.is_for_this_boundary = False
        if chosen is None:
            return [item.source.airing for item in self._plan.queue]
        self._readers.retire_successor(chosen)
        place = self._plan.queue.index(chosen)
        del self._plan.queue[place]
        return [self._plan.queue[number].source.airing for number in range(place)]

    def _drop_failed(self) -> None:
        for item in [item for item in self._plan.queue if item.failure]:
            self._plan.queue.remove(item)
            self._readers.retire_successor(item)
            self._report("failed", channel=self.channel, **named(item.source), error=item.failure)

    def _end_of(self, ended: OnAir) -> tuple[str, dict[str, Any]]:
        lookahead = ended.lookahead
        is_left = ended.source is not None and lookahead is None
        has_had_its_time = self._has_had_its_time(ended)
        reason = "cut" if (ended.feed.frames_ready and not has_had_its_time) or is_left else "end"
        if lookahead is not None:
            if reason == "end" and not has_had_its_time and not lookahead.is_spent:
                reason = "damaged" if lookahead.failure else "underrun"
            self._readers.retire(lookahead)
        return "ended", {
            "channel": self.channel,
            "serial": ended.serial,
            **named(ended.source),
            "frames": ended.feed.frames_sent,
            "dts": ended.started_dts,
            "end_dts": self._splicer.next_dts,
            "reason": reason,
            "error": lookahead.failure if lookahead else None,
        }

    def _start_of(self, dts: Ticks90k, skew: Ticks90k, gaps: tuple[int, int], passed_over: list[str]) -> tuple[str, dict[str, Any]]:
        return "started", {
            "channel": self.channel,
            "serial": self.now.serial,
            **named(self.now.source),
            "from_frame": self.now.feed.frames_sent,
            "dts": dts,
            "due_ns": self._due_ns_of(dts),
            "skew": skew,
            "gaps": gaps,
            "passed_over": passed_over,
        }

    def _due_ns_of(self, dts: int) -> int:
        return self._pace.due_ns(dts - self._splicer.state.origin)

    def present(self) -> dict[str, Any]:
        """Plain values for a control that does not know this channel: what it is, what airs, how far, and what is planned."""
        now = self.now
        return {
            "channel": self.channel,
            "ring_id": self.ring.ring_id,
            "description": self.ring.description(),
            "serial": now.serial,
            "reported": now.reported,
            **named(now.source),
            "frames": now.feed.frames_sent,
            "dts": self._splicer.next_dts,
            "due_ns": self._due_ns_of(now.started_dts),
            "plan": [item.source.airing for item in self._plan.queue],
        }

    def _prefetch(self) -> None:
        """Keep the playing clip ahead, and the beginnings of the next ones in memory: of more of them where clips are short."""
        now = self.now
        behind_s = now.source.behind_s if now.source is not None else None
        most = self._lookahead_frames + (self._splicer.stream.fps.frames_in(behind_s) if behind_s is not None else 0)
        if now.lookahead is not None and now.lookahead.wants_more(most):
            self._readers.request(now.lookahead)
        self._drop_failed()
        self._plan.renew_live(self._readers, self._elapsed)
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
            "bytes": self.ring.published_bytes,
            "ahead": now.feed.frames_ready,
            "ahead_s": float(self._splicer.stream.fps.seconds(now.feed.frames_ready)),
            "bus": self.ring.fill(),
            "due_ns": self.due_ns,
            "live_clip": now.source.ts_path if now.source is not None and now.source.behind_s is not None else None,
            "drift_ms": round(now.store.shifted_ns / 1e6, 1) if now.store is not None else None,
        }

    def told(self, serial: int) -> None:
        """Control was told that this airing began. Any thread: one store."""
        self.now.reported = serial

    def stop(self) -> None:
        """Go off the air, and tell how far the airing came."""
        if self.now.serial:
            kind, values = self._end_of(self.now)
            self._report(kind, **values)
        self.close()

    def close(self) -> None:
        """Give back the look-aheads' files. The ring is closed by its last user, the feeder."""
        for item in [*self._plan.queue, *([self.now.lookahead] if self.now.lookahead else [])]:
            self._readers.retire(item)
        self._plan = Plan()
