"""How a channel comes on air: with a new ring and timeline, or in the ring of a host that died, with its next frame.

Rule: a ring is adopted only when its writer is dead (control has it from the holder, which reaped the writer), and is left as it
is when it cannot be gone on with. It reads a disk, so it is used by a thread that nobody waits for, the Opener's.
"""

import os
import queue
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.base.units import FrameRate, Ticks90k
from channeld.base.worker import Worker
from channeld.bus.ring import RingWriter
from channeld.playout.air import Air, Report
from channeld.playout.lookahead import ClipSource, DiskReaders, load_whole
from channeld.playout.on_air import Filler
from channeld.playout.resume import AirState, decode_state
from channeld.ts.splicer import DEFAULT_PCR_LEAD, Splicer, SplicerState, StreamFormat

SLICES_PER_RING_SECOND = 16
"""Room for slices shorter than 0.2 s, as single-frame clips make them."""
MAX_LATE_S = 10.0


class Opener(Worker):
    """Runs what brings channels on air, and whatever is to be done to a channel while that is under way, in order."""

    def __init__(self) -> None:
        super().__init__("opener")
        self._lock = threading.Lock()  # guards the counts
        self._pending: Counter[str] = Counter()
        self._orders: queue.SimpleQueue[tuple[str, Callable[[], None]] | None] = queue.SimpleQueue()

    def put(self, channel: str, order: Callable[[], None]) -> None:
        """Have something done to a channel, after what was put before."""
        with self._lock:
            self._pending[channel] += 1
        self._orders.put((channel, order))

    def is_busy_with(self, channel: str) -> bool:
        """Something put for this channel is not done yet."""
        with self._lock:
            return self._pending[channel] > 0

    def wake(self) -> None:
        self._orders.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            found = self._orders.get()
            if found is not None:
                channel, order = found
                order()
                with self._lock:
                    self._pending[channel] -= 1


@dataclass(frozen=True, slots=True)
class Opening:
    """Makes airs that share a clock, disk readers, and somebody to report to."""

    clock: Clock
    readers: DiskReaders
    report: Report
    fillers: "weakref.WeakValueDictionary[str, Filler]"

    def new(self, channel: str, values: dict[str, Any]) -> Air:
        """A new ring, as a `start` message asks for it. Raises OSError, ChannelError, or what a malformed message raises."""
        fps, lead_s, seconds = FrameRate(*values["fps"]), values["start_lead_s"], values["ring_seconds"]
        filler = self._filler(values)
        stream = StreamFormat(fps, values["composition_delay"], Ticks90k(values.get("pcr_lead", DEFAULT_PCR_LEAD)))
        splicer = Splicer(stream, SplicerState(origin=values["origin"]))
        now_ns, now_s = self.clock.monotonic_ns(), self.clock.wall_s()
        ring = RingWriter.create(
            capacity_bytes=int(seconds * values["bitrate"] / 8),
            slice_capacity=int(seconds * SLICES_PER_RING_SECOND),
            generation=values["ring_id"],
            description={
                "channel": channel,
                "fps": [fps.num, fps.den],
                "composition_delay": stream.composition_delay,
                "pcr_lead": stream.pcr_lead,
                "timeline": values["timeline"],
                "follows": int(values.get("follows", 0)),
                "anchor_wall_s": now_s - lead_s,
                "anchor_ticks": values["origin"],
                "bitrate": values["bitrate"],
                "fingerprint": str(values.get("fingerprint", "")),
            },
        )
        anchor_ns = now_ns - int(lead_s * NS_PER_SECOND)
        return Air(channel, splicer, ring, filler, self.readers, self.report, anchor_ns=anchor_ns, lead_s=lead_s)

    def adopted(self, channel: str, values: dict[str, Any], ring_fd: int) -> Air:
        """A dead host's ring, gone on with; `ring_fd` stays the caller's. Raises like `new`; ValueError also when it is not to be."""
        filler, fd = self._filler(values), os.dup(ring_fd)
        try:
            ring = RingWriter.adopt(fd)
        except BaseException:
            os.close(fd)
            raise
        try:
            air, state = self._resumed(channel, values, ring, filler)
            air.accept_plan(state.serial, _coming(values, state), now_ns=self.clock.monotonic_ns())
        except BaseException:
            ring.close()
            raise
        return air

    def _resumed(self, channel: str, values: dict[str, Any], ring: RingWriter, filler: Filler) -> tuple[Air, AirState]:
        description, state = ring.description(), decode_state(ring.state())
        for name, wanted in (("channel", channel), ("fingerprint", values.get("fingerprint", description.get("fingerprint")))):
            if description.get(name) != wanted:
                raise ValueError(f"the ring is not of this channel as it is now: its {name} is {description.get(name)!r}, not {wanted!r}")
        stream = StreamFormat(FrameRate(*description["fps"]), description["composition_delay"], Ticks90k(description["pcr_lead"]))
        air = Air(channel, Splicer(stream, state.splicer), ring, filler, self.readers, self.report, anchor_ns=state.anchor_ns)
        now_ns, max_late_s = self.clock.monotonic_ns(), float(values.get("max_late_s", MAX_LATE_S))
        late_s = (now_ns - air.due_ns) / NS_PER_SECOND
        if late_s > max_late_s:
            raise ValueError(f"the ring ended {late_s:.1f} s ago, more than the {max_late_s:g} s that are caught up with")
        air.resume(state, now_ns=now_ns, leaves=bool(values.get("leave", False)))
        return air, state

    def _filler(self, values: dict[str, Any]) -> Filler:
        """All channels with one filler share it in memory: a prepared clip is named by its content and never changes."""
        source = ClipSource("filler", "filler", str(values["filler"]["ts"]), str(values["filler"]["idx"]))
        filler = self.fillers.get(source.ts_path)
        if filler is None:
            filler = self.fillers[source.ts_path] = Filler(source.ts_path, tuple(load_whole(source)))
        return filler


def sources_of(values: dict[str, Any]) -> list[ClipSource]:
    """What a message plans."""
    return [ClipSource.from_message(entry) for entry in values["sources"]]


def _coming(values: dict[str, Any], state: AirState) -> list[ClipSource]:
    """What is planned behind the airing that goes on, though control may not have heard yet that it began."""
    sources = sources_of(values)
    if int(values.get("after", state.serial)) == state.serial:
        return sources
    names = [source.airing for source in sources]
    return sources[names.index(state.source.airing) + 1 :] if state.source.airing in names else []
