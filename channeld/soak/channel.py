"""One channel of a soak: the host's air in a real ring, control's desk, viewers, and what may be done to them.

Rule: whatever is done, the timeline goes on or a new one begins, and either is judged to its last frame. Owners: `stop` gives back
ring and mappings, a kill of the host keeps the ring's descriptor, as the holder does.
"""

import os
from dataclasses import dataclass
from random import Random
from typing import Any

from channeld.base.clock import NS_PER_SECOND
from channeld.base.errors import ChannelError
from channeld.media.profile import COMPOSITION_DELAY
from channeld.playout.air import Air
from channeld.playout.opening import Opening
from channeld.soak.desk import Desk
from channeld.soak.ledger import Ledger
from channeld.soak.manifest_judge import BusMemory
from channeld.soak.stage import Stage
from channeld.soak.stock import PROFILE
from channeld.soak.stream_judge import WRAP, StreamFacts, StreamJudge
from channeld.soak.viewers import Packaging, Sleeper, Watcher

RING_S = 30
LOOK_S = 1.0
FILLER_PATIENCE_S = 15.0
MAX_SHIFT_S = 1.0
ADOPTION_S = 3.0
"""So long may a new host take until it has read the clip that it goes on with, and caught up."""


@dataclass(slots=True)
class Timeline:
    """A channel from one start to the next stop."""

    number: int
    air: Air
    facts: StreamFacts
    ledger: Ledger
    watcher: Watcher
    sleeper: Sleeper
    began_ns: int
    released_early_s: float
    adopted_ns: int = 0
    adopted_serial: int = 0


class SoakChannel:
    """One channel. Every deed may come at any time; what makes no sense then does nothing."""

    def __init__(self, number: int, stage: Stage, random: Random) -> None:
        self.name = f"soak{number + 1}"
        self.desk = Desk(number, stage, random)
        self.line: Timeline | None = None
        self._stage = stage
        self._random = random
        self._bus = BusMemory()
        self._starts = 0
        self._filler_since_ns: int | None = None
        self._held_fd: int | None = None
        self.packaging = Packaging(self.name, stage.store, stage.hls, self._bus, stage.clock, self.complain)

    def complain(self, kind: str, text: str) -> None:
        """A promise was broken on this channel."""
        self._stage.tally.complain(self.name, kind, text)

    # -- on and off the air -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on air with a new ring and timeline."""
        if self.line is not None:
            return
        self._starts += 1
        origin = self._random.choice((90_000, WRAP - 90_000 * self._random.randrange(1, 4000), self._random.randrange(WRAP)))
        lead_s = self._random.choice((0.0, 2.0, 4.0))
        filler = self._stage.stock.filler.clip
        values = {
            "fps": [PROFILE.fps.num, PROFILE.fps.den],
            "composition_delay": COMPOSITION_DELAY,
            "origin": origin,
            "bitrate": 2 * 8 * PROFILE.bytes_per_second + 160_000,
            "ring_seconds": RING_S,
            "start_lead_s": lead_s,
            "timeline": f"{self.name}.{self._starts}",
            "ring_id": self._starts,
            "filler": {"ts": str(filler.ts_path), "idx": str(filler.idx_path)},
        }
        air = self._opening().new(self.name, values)
        facts = StreamFacts(PROFILE.fps.num, PROFILE.fps.den, origin, COMPOSITION_DELAY)
        self._bus.timeline = self._starts
        ledger = Ledger(lambda dts: _frame_of(facts, dts), self._stage.stock.pictures_of, self.complain)
        judge = StreamJudge(facts, self.complain)
        watcher = Watcher(air.ring.fd, judge, self._bus, self.complain)
        sleeper = Sleeper(self.complain, self._stage.tally)
        self.line = Timeline(self._starts, air, facts, ledger, watcher, sleeper, self._stage.clock.monotonic_ns(), lead_s)
        self._take_over(air)
        self.desk.plan()
        self._stage.host.add(air)

    def _opening(self) -> Opening:
        return Opening(self._stage.clock, self._stage.readers, self._report, self._stage.fillers)

    def stop(self) -> None:
        """Go off the air; the timeline is judged to its end."""
        line, self.line = self.line, None
        if line is None:
            return
        self._stage.host.remove(self.name)
        self._judge_all(line)
        aired = line.watcher.judge.frames - line.ledger.left_out
        line.ledger.close(line.air.now.feed.frames_sent, aired)
        self._stage.tally.counts["frames"] += aired
        self._stage.tally.counts["timelines"] += 1
        self.desk.inbox.clear()
        self.desk.air = None
        self.desk.rundown.stopped()
        self.packaging.advance()
        self.packaging.close()
        line.watcher.reader.close()
        line.air.close()
        if self._held_fd is not None:
            os.close(self._held_fd)  # its host is dead, and no other one is to go on with it
            self._held_fd = None
        elif line.air.ring.fd >= 0:
            line.air.ring.mark_ended()
            line.air.ring.close()
        self._filler_since_ns = None

    def _report(self, kind: str, **values: Any) -> None:
        """What the host tells: the ledger hears everything, control what reaches it."""
        line, tally = self.line, self._stage.tally
        assert line is not None
        tally.note(
            kind, self.name, values.get("serial"), values.get("entry"), values.get("dts"), values.get("frames"), values.get("reason")
        )
        if kind == "started":
            gap = line.ledger.gap_before(values)
            if gap:
                self._judge_all(line, before=values["dts"])
                line.watcher.judge.leave_out(gap)
                tally.counts["frames left empty by two faults at once"] += gap
            line.ledger.started(values)
            tally.counts["joins"] += 1
            tally.counts["filler joins"] += values["airing"] is None
            self._filler_since_ns = self._stage.clock.monotonic_ns() if values["airing"] is None else None
        elif kind == "ended":
            line.ledger.ended(values)
            if values["serial"] == line.adopted_serial and values["reason"] in ("underrun", "damaged"):
                tally.counts["clips lost with their host"] += 1
                line.ledger.excuse()
            tally.counts[f"ended: {values['reason']}"] += 1
        self.desk.report(kind, values)

    # -- the host's death ---------------------------------------------------------------------------------------

    def lose_host(self) -> None:
        """The host is killed: its memory is gone, its ring is not."""
        line = self.line
        if line is None:
            return
        self._held_fd = os.dup(line.air.ring.fd)
        self._stage.host.remove(self.name)
        self.desk.air = None
        self.desk.inbox.clear()
        line.air.close()
        line.air.ring.close()

    def adopt(self) -> None:
        """Another host goes on in the same ring."""
        line, fd = self.line, self._held_fd
        if line is None or fd is None:
            return
        self._held_fd = None
        filler = self._stage.stock.filler.clip
        serial = self.desk.rundown.now.serial
        sources = [{"airing": each.airing, "entry": each.entry, "ts": each.ts_path, "idx": each.idx_path} for each in self.desk.sources()]
        values = {"filler": {"ts": str(filler.ts_path), "idx": str(filler.idx_path)}, "sources": sources, "after": serial}
        try:
            line.air = self._opening().adopted(self.name, values, fd)
        except (ValueError, OSError, ChannelError) as error:
            if "s ago" not in str(error):  # it came too late, as a host does that was frozen as well: the channel begins anew
                self.complain("adoption", str(error))
            self._stage.tally.counts["rings given up"] += 1
            self.stop()
            self.start()
            return
        finally:
            os.close(fd)
        line.adopted_ns, line.adopted_serial = self._stage.clock.monotonic_ns(), line.air.now.serial
        self.desk.air = line.air
        self.desk.synchronise()
        self._stage.host.add(line.air)

    def _take_over(self, air: Air) -> None:
        self.desk.air = air
        fd = air.ring.open_reader_fd()
        try:
            self.packaging.attach(fd)
        finally:
            os.close(fd)

    # -- who watches --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Called every LOOK_S of the channel's time: the viewers take what is new."""
        line = self.line
        if line is None:
            return
        line.watcher.look()
        line.ledger.see(line.watcher.judge.take_pictures())
        self.packaging.advance()
        self._judge_pace(line)
        self._judge_filler()

    def _judge_all(self, line: Timeline, before: int | None = None) -> None:
        line.watcher.look(before=before)
        line.watcher.judge.settle()
        line.ledger.see(line.watcher.judge.take_pictures())

    def _judge_pace(self, line: Timeline) -> None:
        """The timeline stands where the clock does: late slices are caught up with, nothing is early."""
        if self._held_fd is not None or self._stage.clock.monotonic_ns() - line.adopted_ns < ADOPTION_S * NS_PER_SECOND:
            return
        elapsed_s = (self._stage.clock.monotonic_ns() - line.began_ns) / 1e9 + line.released_early_s
        released_s = PROFILE.fps.seconds(_frame_of(line.facts, line.air.progress()["dts"]))
        if not -0.001 <= released_s - elapsed_s <= MAX_SHIFT_S:
            self.complain("pace", f"{released_s - elapsed_s:.1f} s of stream more than time has passed")

    def _judge_filler(self) -> None:
        """The filler stays only as long as nothing else could air."""
        since, now_ns = self._filler_since_ns, self._stage.clock.monotonic_ns()
        if since is None:
            return
        if self._stage.readers.is_stalled or self._held_fd is not None or not self.desk.airs_by_right:
            self._filler_since_ns = now_ns
        elif now_ns - since > FILLER_PATIENCE_S * 1e9:
            self.complain("filler", f"it airs for {(now_ns - since) / 1e9:.0f} s although something is ready")
            self._filler_since_ns = now_ns

    def wake_sleeper(self) -> None:
        """The slow reader comes back."""
        if self.line is not None:
            self.line.sleeper.wake(self.line.watcher.reader, self._random)

    @property
    def is_without_host(self) -> bool:
        """The host was killed, and no other one lives yet."""
        return self._held_fd is not None

    def skip(self) -> None:
        """Somebody is bored by the clip."""
        if self.line is not None:
            self._stage.host.tell(self.name, Air.skip)

    def close(self) -> None:
        """Off the air for good, whatever state the channel is in."""
        if self._held_fd is not None:
            self.adopt()
        self.packaging.bring_back()
        self.stop()

    def restart_packager(self) -> None:
        """The media worker is killed, and another one starts."""
        if self.line is not None and self._held_fd is None:
            self.packaging.close()
            self._take_over(self.line.air)


def _frame_of(facts: StreamFacts, dts: int) -> int:
    """Frames from the origin to a DTS on the grid."""
    return -(-(dts - facts.origin) * facts.fps_num // (90_000 * facts.fps_den))
