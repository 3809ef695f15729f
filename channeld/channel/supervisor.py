"""One channel's supervisor: drives it through its life by the table in `state`, and understands what the host tells.

Rule: all of it runs on the control loop's thread; what may wait runs elsewhere and posts back.

| what                        | made by            | waited for by          | closed by              |
|-----------------------------|--------------------|------------------------|------------------------|
| air, ring                   | AirDesk, the host  | AIR_CLOSED             | AirDesk                |
| pushes (thread, child, FIFO)| OutputSet.open     | OutputSet's closer     | OutputSet.close_soon   |
| pins on clips               | Planner            | -                      | Planner.end            |
"""

from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.clock import iso_utc
from channeld.base.errors import PlaylistError
from channeld.base.redact import redact_text
from channeld.channel.air_desk import AirDesk
from channeld.channel.airings import Airings
from channeld.channel.budget import Answer
from channeld.channel.continuity import Continuity
from channeld.channel.director import Director
from channeld.channel.inquest import Scene
from channeld.channel.life import Life
from channeld.channel.listing import Listing
from channeld.channel.means import Means
from channeld.channel.output_set import OutputSet
from channeld.channel.planner import Planner
from channeld.channel.readings import Readings
from channeld.channel.restraint import Restraint
from channeld.channel.rundown import Rundown
from channeld.channel.settings import ChannelSettings, needs_restart
from channeld.channel.state import Action, Event, State, step, what_began
from channeld.channel.view import View
from channeld.media.clip import PreparedClip
from channeld.outputs.push_health import PushState
from channeld.playlist.model import Entry, Playlist
from channeld.playlist.order import Diff

log = structlog.get_logger()


class Supervisor:
    """Owns one channel."""

    def __init__(self, settings: ChannelSettings, means: Means) -> None:
        self.settings = settings
        self._means = means
        self.state = State.STOPPED
        self.last_error: str | None = None
        self.progress: dict[str, Any] = {}
        self._life = Life(means.clock)
        self.outputs = OutputSet(settings, means, on_change=lambda state: means.loop.post(lambda: self._output_changed(state)))
        self.restraint = Restraint(settings.id, means, rest=self.outputs.rest, on_change=lambda: self.planner.tell_all())
        self.planner = Planner(settings, means, self.restraint.judge)
        self._airings = Airings(settings, means, self.planner.rundown)
        self._continuity = Continuity(settings, means, self.rundown)
        self._listing = Listing(settings.id, means.publish, self.planner, self._continuity)
        self._air = AirDesk(settings, means, self.planner, self._life, self._continuity, self._listing, leaves=self._leave_refused)
        self.view = View(settings, means, self.planner.rundown, self.restraint)

    @property
    def rundown(self) -> Rundown:
        """The queue, and what airs."""
        return self.planner.rundown

    @property
    def director(self) -> Director:
        """What airs in the list's place."""
        return self.planner.director

    @property
    def airings(self) -> Airings:
        """What aired, in figures: its `counts` and `joins`."""
        return self._airings

    @property
    def has_ring(self) -> bool:
        """Another host could go on with the channel."""
        return self._air.has_ring

    @property
    def is_over(self) -> bool:
        """Nothing of the channel is on air or on its way, and its outputs' children are gone."""
        return self.state in (State.STOPPED, State.FAILED) and self.outputs.is_closed

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Go on air; False when it is already on its way."""
        if self.state is State.STOPPING:
            self._life.restart_wanted = True
            return True
        return self._happen(Event.START)

    def stop(self, *, by_order: bool = True) -> bool:
        """Go off the air; False when it is already off. Only what was stopped by order begins with the next entry."""
        self._life.restart_wanted = False
        self._airings.cut_by("stop")
        if by_order:
            self._continuity.stopped()
            self.restraint.forgive()
        return self._happen(Event.STOP)

    def restart(self) -> None:
        """Go off and on again."""
        self.stop()
        self.start()

    def skip(self) -> bool:
        """End the playing clip at its next legal cut; False when the channel is not on air."""
        if self.state not in (State.ON_AIR, State.FILLER) or not self.planner.skip():
            return False
        self._airings.cut_by("skip")
        return True

    def change(self, settings: ChannelSettings) -> bool:
        """Take other settings: at once where the air can go on, else behind a restart of the channel (then True)."""
        if self.state is State.STOPPED or not needs_restart(self.settings, settings):
            self._life.successor = None
            self._take(settings)
            return False
        self._life.successor = settings
        if self.state is not State.STOPPING:
            self.restart()
        return True

    def _take(self, settings: ChannelSettings) -> None:
        self.settings = settings
        self.planner.change(settings)
        self._air.change(settings)
        self._airings.change(settings)
        self._continuity.change(settings)
        self.view.change(settings)
        self.outputs.change(settings.targets)

    def _happen(self, event: Event) -> bool:
        if (found := step(self.state, event)) is None:
            return False
        before, self.state = self.state, found.state
        if before is not found.state:
            log.info("channel_changed", channel=self.settings.id, state=found.state.value, before=before.value)
            self._means.publish("channel_state", channel=self.settings.id, state=found.state.value)
        actions: dict[Action, Callable[[], None]] = {
            Action.PREPARE_FILLER: self._prepare_filler,
            Action.OPEN_AIR: self._air.open,
            Action.OPEN_OUTPUTS: self.outputs.open,
            Action.ADOPT_OUTPUTS: self.outputs.adopt,
            Action.FEED_OUTPUTS: self.outputs.feed,
            Action.CLOSE_OUTPUTS: self.outputs.close_soon,
            Action.CLOSE_AIR: self._close_air,
            Action.RETRY_LATER: self._retry_later,
            Action.END: self._end,
        }
        for action in found.actions:
            actions[action]()
        return True

    def _retry_later(self) -> None:
        attempt, wait_s = self._life.attempt, self._life.wait_s()
        log.info("channel_retried_later", channel=self.settings.id, wait_s=round(wait_s, 2))

        def retry() -> None:
            if self.state is State.FAILED and self._life.attempt == attempt:
                self._happen(Event.START)

        self._means.loop.later(wait_s, retry)

    def _prepare_filler(self) -> None:
        attempt = self._life.begin()

        def done(result: PreparedClip | str) -> None:
            if attempt == self._life.attempt and self.state in (State.STARTING, State.ON_AIR, State.FILLER):
                self._filler_done(result)

        self.planner.begin()
        self._means.preparer.ensure_filler(self.settings.profile, self.settings.filler, done)

    def _filler_done(self, result: PreparedClip | str) -> None:
        if isinstance(result, str):
            self.last_error = f"filler: {redact_text(result)}"
            log.error("filler_failed", channel=self.settings.id, error=result)
            self._happen(Event.FILLER_FAILED)
            return
        self.planner.filler = result
        self._happen(Event.FILLER_READY)

    def _close_air(self) -> None:
        self._air.cancel()
        self.planner.close()
        if not self._life.has_air or not self._means.host.send("stop", channel=self.settings.id):
            self._means.loop.post(self._air_closed)

    def _end(self) -> None:
        self.planner.end()
        self._air.forget()
        self.progress = {}
        if self._life.successor is not None:
            settings, self._life.successor = self._life.successor, None
            self._take(settings)
        if self._life.restart_wanted:
            self._life.restart_wanted = False
            self._happen(Event.START)

    # -- the playlist -------------------------------------------------------------------------------------------

    @property
    def readings(self) -> Readings:
        """Which reading of the list is the newest."""
        return self._listing.readings

    def apply(self, playlist: Playlist, reading: int | None = None) -> Diff | None:
        """Take a valid list; see Listing."""
        return self._listing.apply(playlist, reading)

    def refuse(self, error: PlaylistError, reading: int | None = None) -> None:
        """An edit is invalid; see Listing."""
        self._listing.refuse(error, reading)

    def play_next(self, entry: Entry) -> None:
        """Air an entry once, before anything else. Raises ValueError when it is faulty."""
        self._listing.play_next(entry)

    # -- what the host and the outputs tell ---------------------------------------------------------------------

    def host_told(self, kind: str, values: dict[str, Any]) -> None:
        """One message of the host about this channel."""
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "ring": self._air_opened,
            "present": self._present,
            "started": self._started,
            "ended": self._ended,
            "failed": self._clip_failed,
            "stopped": lambda _: self._air_closed(),
            "crashed": self._raised,
            "start_failed": self._start_failed,
        }
        if kind in handlers:
            handlers[kind](values)

    def host_lost(self, reason: str) -> None:
        """The host ended; the ring is there, and another host goes on from it."""
        self._life.has_air = False
        if not self._air.has_ring:
            self._crashed({"error": f"playout host ended: {reason}"})
            return
        self.last_error = redact_text(f"playout host ended: {reason}".splitlines()[-1])
        self.planner.pause()
        self._happen(Event.HOST_LOST)

    def _leave_refused(self) -> bool:
        """What is on air should not be."""
        planned = self.rundown.now.planned
        if planned is None or not self.restraint.refuses(planned.entry):
            return False
        self._airings.cut_by(str(self.rundown.why_pending(planned.entry)))
        return True

    def scene(self) -> Scene | None:
        """What its host airs of it; None for nothing."""
        return self.rundown.scene(self.settings.id, self._means.clock.monotonic_ns()) if self._life.has_air else None

    def suspected(self, cause: str, *, ends: int = 1) -> Answer:
        """The air ended, so often, and it may be this channel's doing; what is on air may be left for it."""
        planned = self.rundown.now.planned
        return self.restraint.air_ended(planned.entry if planned else None, cause, ends=ends)

    def lend_ring(self) -> int | None:
        """A descriptor to read the ring that an earlier control left, owned by whoever asked."""
        return self._air.lend()

    def leave(self) -> None:
        """Let go of the channel and leave it on air, for another control to adopt."""
        self.planner.pause()
        self._air.leave()
        self.outputs.leave()

    def ring_made(self, ring_fd: int) -> None:
        """The host's ring, writable; owned here from now on."""
        self._air.keep(ring_fd)

    def progressed(self, progress: dict[str, Any]) -> None:
        """Once a second: how far the air is."""
        self.progress = progress
        if self.state in (State.ON_AIR, State.FILLER):
            self._continuity.progressed(progress)

    def _air_opened(self, values: dict[str, Any]) -> None:
        self._airings.opened(self._air.opened(values["ring_id"]))
        self._happen(Event.AIR_OPENED)

    def _air_closed(self) -> None:
        self._life.has_air = False
        self._airings.closed("stop", self.progress)
        self._air.forget()
        self._happen(Event.AIR_CLOSED)

    def _present(self, values: dict[str, Any]) -> None:
        """The host airs the channel already: it outlived an earlier control, or goes on from a ring."""
        if not self.settings.enabled or values["description"].get("fingerprint") != self._air.fingerprint:
            log.info("air_not_adopted", channel=self.settings.id, reason="it was opened with other settings")
            self._life.has_air = self._means.host.send("stop", channel=self.settings.id)
            return
        is_new = self.state in (State.STOPPED, State.STARTING)
        if self.state is State.STOPPED:
            self._prepare_filler()
        self._life.has_air = True
        if not self._happen(Event.ADOPTED):
            return
        self._airings.opened(self._air.opened(values["ring_id"]))
        self._continuity.hear(lambda told: (self._ended if "reason" in told else self._airings.started)(told))
        is_unknown = values["serial"] != self.rundown.now.serial
        if is_new or is_unknown:
            self._continuity.take_up(values)
            if is_unknown:
                self._airings.continued(values)
                if self._leave_refused():
                    self._means.host.send("skip", channel=self.settings.id, waits=False)
            self.planner.took_up()
            self._happen(what_began(values["airing"], values["entry"]))
        log.info("air_adopted", channel=self.settings.id, serial=values["serial"], frames=values["frames"])
        self.planner.resume()

    def _started(self, values: dict[str, Any]) -> None:
        self._continuity.learn(values)
        if self.state is State.STOPPED:
            self._continuity.unheard.append(values)  # told to an earlier control, which did not hear it
            return
        if not self._happen(what_began(values["airing"], values["entry"])):
            return  # told just before it was taken off
        self._life.aired()
        self._airings.started(values)
        self.planner.began(values["entry"])
        self._continuity.began()
        self.outputs.recycle()
        self.planner.plan()
        self.planner.tell_wants_soon()

    def _ended(self, values: dict[str, Any]) -> None:
        if self.state is State.STOPPED:
            self._continuity.unheard.append(values)
            return
        planned = self._airings.ended(values)
        self.director.sources.ended(values)
        if values["reason"] == "damaged" and planned is not None:
            self._means.preparer.discard(self.settings.id, self.settings.profile, planned.entry)

    def _clip_failed(self, values: dict[str, Any]) -> None:
        planned = self.rundown.find(values["airing"])
        log.warning("clip_damaged", channel=self.settings.id, entry=values["entry"], error=values["error"])
        if planned is not None:
            self._means.preparer.discard(self.settings.id, self.settings.profile, planned.entry)
        self.planner.plan_again()

    def _start_failed(self, values: dict[str, Any]) -> None:
        self._life.has_air = False
        if values.get("adopt"):
            log.warning("ring_not_adopted", channel=self.settings.id, error=values["error"], consequence="a new timeline begins")
            self._air.forget()
            if self.state is State.STARTING:
                self._air.open()
                return
        self._crashed(values)

    def _crashed(self, values: dict[str, Any]) -> None:
        if step(self.state, Event.CRASHED) is None:
            return  # off the air already
        lines = str(values["error"]).strip().splitlines()
        self.last_error = redact_text(lines[-1] if lines else "no reason given")
        self._airings.closed(f"crash: {self.last_error}", self.progress)
        log.error("channel_crashed", channel=self.settings.id, error=values["error"])
        self._continuity.crashed()
        self._happen(Event.CRASHED)

    def _raised(self, values: dict[str, Any]) -> None:
        """The channel's own code failed, and no other's."""
        if step(self.state, Event.CRASHED) is not None:
            self.suspected("the channel crashed")
        self._crashed(values)

    def _output_changed(self, state: PushState) -> None:
        self.restraint.output_changed(state)
        facts = {"channel": state.channel, "output": state.name, "state": state.condition.value, "reason": state.reason}
        log.info("output_changed", pid=state.pid, **facts)
        self._means.publish("output_state", **facts)

    # -- what people see ----------------------------------------------------------------------------------------

    def next_boundary(self) -> str:
        """When the playing clip ends and what was planned last begins, ISO 8601 in UTC; now while the filler airs."""
        clock = self._means.clock
        return iso_utc(clock.wall_s() + (self.rundown.ends_in_s(clock.monotonic_ns()) or 0.0))

    def describe(self) -> dict[str, Any]:
        """CONTRACT's channel object."""
        ticks, readers = (int(self.progress.get(name, 0)) for name in ("dts", "readers"))
        described = self.view.describe(self.state, fault=self._listing.fault, last_error=self.last_error, ticks=ticks)
        return {**described, "outputs": self.outputs.describe(), "readers": readers * self._life.has_air, **self.director.describe()}
