"""One channel's supervisor: drives it through its life by the table in `state`, and keeps the host's plan current.

Rule: all of it runs on the control loop's thread; what may wait runs elsewhere and posts back.

| what                        | made by            | waited for by          | closed by              |
|-----------------------------|--------------------|------------------------|------------------------|
| air, ring                   | host, on `start`   | AIR_CLOSED             | host, on `stop`        |
| pushes (thread, child, FIFO)| OutputSet.open     | closer thread          | OutputSet.close        |
| closer thread               | _close_outputs     | itself, posts back     | ends by itself         |
| pins on clips               | Preparer.hold      | -                      | _end                   |
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, Clock, iso_utc
from channeld.base.errors import PlaylistError
from channeld.channel.loop import ControlLoop
from channeld.channel.output_set import HostPort, MediaPort, OutputSet
from channeld.channel.preparation import Preparer
from channeld.channel.rundown import Rundown
from channeld.channel.settings import ChannelSettings
from channeld.channel.state import Action, Event, State, step
from channeld.media.clip import PreparedClip
from channeld.media.profile import COMPOSITION_DELAY
from channeld.outputs.push_health import PushState
from channeld.playlist.model import Entry, Playlist
from channeld.playlist.queue import Queue
from channeld.process.holder import Holding

RETRY_S = 2.0
RING_SECONDS = 12
START_LEAD_S = 2.0
MUX_OVERHEAD = 1.35
"""Room in the ring for TS packets' stuffing, PSI and bitrate peaks."""
SHOWN_NEXT = 8

Publish = Callable[..., None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Means:
    """What every supervisor works with; `publish(kind, **values)` tells the events' listeners."""

    loop: ControlLoop
    host: HostPort
    media: MediaPort
    holder: Holding
    preparer: Preparer
    runtime_dir: Path
    ffmpeg: str
    clock: Clock
    publish: Publish


class Supervisor:
    """Owns one channel."""

    def __init__(self, settings: ChannelSettings, means: Means) -> None:
        self.settings = settings
        self._means = means
        self.state = State.STOPPED
        self.rundown = Rundown(Queue(settings.order, settings.shuffle_seed), lambda entry: means.preparer.look_up(settings.profile, entry))
        self.edit_error: dict[str, Any] | None = None
        self.last_error: str | None = None
        self.underruns = 0
        self.passed_over = 0
        self._filler: PreparedClip | None = None
        self._outputs = self._make_outputs()
        self.progress: dict[str, Any] = {}
        self._ring_id = 0
        self._restart_wanted = False
        self._is_replanning = False
        self._is_telling_wants = False
        self.writing = threading.Lock()  # one writer of the playlist file at a time; held over the write by API threads only

    def _make_outputs(self) -> OutputSet:
        means = self._means
        return OutputSet(
            self.settings.id,
            self.settings.targets,
            host=means.host,
            media=means.media,
            holder=means.holder,
            runtime_dir=means.runtime_dir,
            ffmpeg=means.ffmpeg,
            on_change=lambda state: means.loop.post(lambda: self._output_changed(state)),
        )

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Go on air; False when it is already on its way."""
        if self.state is State.STOPPING:
            self._restart_wanted = True
            return True
        return self._happen(Event.START)

    def stop(self) -> bool:
        """Go off the air; False when it is already off."""
        self._restart_wanted = False
        return self._happen(Event.STOP)

    def restart(self) -> None:
        """Go off and on again."""
        if not self.stop():
            self.start()
            return
        if self.state is State.STOPPED:
            self.start()
        else:
            self._restart_wanted = True

    def skip(self) -> bool:
        """End the playing clip at its next legal cut; False when the channel is not on air."""
        return self.state in (State.ON_AIR, State.FILLER) and self._means.host.send("skip", channel=self.settings.id)

    def _happen(self, event: Event) -> bool:
        found = step(self.state, event)
        if found is None:
            return False
        before, self.state = self.state, found.state
        if before is not found.state:
            log.info("channel_changed", channel=self.settings.id, state=found.state.value, before=before.value)
            self._means.publish("channel_state", channel=self.settings.id, state=found.state.value)
        actions: dict[Action, Callable[[], None]] = {
            Action.PREPARE_FILLER: self._prepare_filler,
            Action.OPEN_AIR: self._open_air,
            Action.OPEN_OUTPUTS: self._outputs.open,
            Action.CLOSE_OUTPUTS: self._close_outputs,
            Action.CLOSE_AIR: self._close_air,
            Action.RETRY_LATER: lambda: self._means.loop.later(RETRY_S, self._retry),
        }
        for action in found.actions:
            actions[action]()
        if found.state is State.STOPPED:
            self._end()
        return True

    def _retry(self) -> None:
        if self.state is State.FAILED:
            self._happen(Event.START)

    def _prepare_filler(self) -> None:
        self._means.preparer.ensure_filler(self.settings.profile, self.settings.filler, self._filler_done)
        self._tell_wants()

    def _filler_done(self, result: PreparedClip | str) -> None:
        if isinstance(result, str):
            self.last_error = f"filler: {result}"
            log.error("filler_failed", channel=self.settings.id, error=result)
            self._happen(Event.FILLER_FAILED)
            return
        self._filler = result
        self._happen(Event.FILLER_READY)

    def _open_air(self) -> None:
        if self._filler is None:
            return
        settings, profile = self.settings, self.settings.profile
        self._ring_id = time.monotonic_ns()
        self._hold([])
        self._means.host.send(
            "start",
            channel=settings.id,
            ring_id=self._ring_id,
            fps=[profile.fps.num, profile.fps.den],
            composition_delay=COMPOSITION_DELAY,
            origin=settings.origin_ticks,
            bitrate=int((profile.video_bitrate + profile.audio_bitrate) * MUX_OVERHEAD),
            ring_seconds=RING_SECONDS,
            start_lead_s=START_LEAD_S,
            timeline=f"{settings.id}-{self._ring_id}",
            filler={"ts": str(self._filler.ts_path), "idx": str(self._filler.idx_path)},
            sources=self._sources(),
        )

    def _close_outputs(self) -> None:
        outputs, self._outputs = self._outputs, self._make_outputs()
        threading.Thread(target=outputs.close, name=f"closer:{self.settings.id}").start()

    def _close_air(self) -> None:
        if not self._means.host.send("stop", channel=self.settings.id):
            self._means.loop.post(self._told_stopped)

    def _end(self) -> None:
        self._means.preparer.want(self.settings.id, self.settings.profile, [])
        self._means.preparer.hold(self.settings.id, [])
        self.rundown.stopped()
        self.progress = {}
        if self._restart_wanted:
            self._restart_wanted = False
            self._happen(Event.START)

    # -- the playlist -------------------------------------------------------------------------------------------

    def apply(self, playlist: Playlist) -> None:
        """Take a valid list; it counts from the next boundary on."""
        before = self.rundown.queue.revision
        diff = self.rundown.apply(playlist)
        self.edit_error = None
        if self.rundown.queue.revision == before:
            return
        log.info("playlist_applied", channel=self.settings.id, revision=self.rundown.queue.revision, entries=len(playlist.entries))
        for notice in playlist.warnings:
            log.warning("playlist_noticed", channel=self.settings.id, line=notice.line, message=notice.message)
        self._means.publish(
            "playlist_applied",
            channel=self.settings.id,
            revision=self.rundown.queue.revision,
            added=len(diff.added),
            removed=len(diff.removed),
        )
        self._replan()
        self._tell_wants()

    def refuse(self, error: PlaylistError) -> None:
        """An edit is invalid: the last good list stays, the place of the fault is shown."""
        self.edit_error = {"file": str(error.path), "line": error.line, "message": error.message}
        log.warning("playlist_refused", channel=self.settings.id, **self.edit_error)
        self._means.publish("playlist_refused", channel=self.settings.id, error=self.edit_error)

    def play_next(self, entry: Entry) -> None:
        """Air an entry once, before anything else. Raises ValueError when it is faulty."""
        self.rundown.queue.play_next(entry)
        self._replan()
        self._tell_wants()

    def clips_changed(self) -> None:
        """Some clip became ready, grew or was refused: plan again, once for many such changes."""
        if not self._is_replanning:
            self._is_replanning = True
            self._means.loop.later(0.05, self._replan)

    def _replan(self) -> None:
        self._is_replanning = False
        if self.state in (State.STARTING, State.ON_AIR, State.FILLER):
            self._means.host.send("plan", channel=self.settings.id, after=self.rundown.now.serial, sources=self._sources())

    def _sources(self) -> list[dict[str, str]]:
        planned = self.rundown.plan()
        now = self.rundown.now.planned
        self._hold([*([now.clip] if now else []), *(item.clip for item in planned)])
        return [
            {
                "airing": item.airing,
                "entry": item.entry.id,
                "ts": str(item.clip.ts_path).removesuffix(".part"),
                "idx": str(item.clip.idx_path).removesuffix(".part"),
            }
            for item in planned
        ]

    def _hold(self, clips: list[PreparedClip]) -> None:
        self._means.preparer.hold(self.settings.id, [*([self._filler] if self._filler else []), *clips])

    def _tell_wants_soon(self) -> None:
        """Once for many clips that begin within a second."""
        if not self._is_telling_wants:
            self._is_telling_wants = True
            self._means.loop.later(1.0, self._tell_wants)

    def _tell_wants(self) -> None:
        self._is_telling_wants = False
        if self.state in (State.STOPPED, State.STOPPING):
            return
        elapsed_s = self._means.clock.wall_s() - self.rundown.now.started_wall_s if self.rundown.now.planned else 0.0
        self._means.preparer.want(self.settings.id, self.settings.profile, self.rundown.wants(elapsed_s))

    # -- what the host and the outputs tell ---------------------------------------------------------------------

    def host_told(self, kind: str, values: dict[str, Any]) -> None:
        """One message of the host about this channel."""
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "ring": lambda _: self._air_opened(),
            "started": self._started,
            "ended": self._ended,
            "failed": self._clip_failed,
            "stopped": lambda _: self._told_stopped(),
            "crashed": self._crashed,
            "start_failed": self._crashed,
        }
        if kind in handlers:
            handlers[kind](values)

    def progressed(self, progress: dict[str, Any]) -> None:
        """Once a second: how far the air is."""
        self.progress = progress

    def _air_opened(self) -> None:
        self._happen(Event.AIR_OPENED)

    def _told_stopped(self) -> None:
        self._happen(Event.AIR_CLOSED)

    def _started(self, values: dict[str, Any]) -> None:
        behind_s = (self._means.clock.monotonic_ns() - values["due_ns"]) / NS_PER_SECOND
        started_wall_s = self._means.clock.wall_s() - behind_s
        passed = self.rundown.started(values["serial"], values["airing"], started_wall_s)
        planned = self.rundown.now.planned
        self._happen(Event.FILLER_STARTED if values["airing"] is None else Event.CLIP_STARTED)
        facts = {"channel": self.settings.id, "entry": values["entry"], "serial": values["serial"], "at": iso_utc(started_wall_s)}
        title = planned.entry.title if planned else None
        log.info("entry_started", title=title, skew_ticks=values["skew"], **facts)
        self._means.publish("entry_started", title=title, path=planned.entry.locator if planned else None, **facts)
        for entry in passed:
            self.passed_over += 1
            log.warning("entry_passed_over", channel=self.settings.id, entry=entry.id, path=entry.locator)
            self._means.publish("entry_passed_over", channel=self.settings.id, entry=entry.id, path=entry.locator)
        self._replan()
        self._tell_wants_soon()

    def _ended(self, values: dict[str, Any]) -> None:
        planned = self.rundown.find(values["airing"])
        facts = {"entry": values["entry"], "frames": values["frames"], "reason": values["reason"], "error": values["error"]}
        if values["reason"] in ("damaged", "underrun"):
            self.underruns += 1
            log.warning("entry_broken_off", channel=self.settings.id, **facts)
        if values["reason"] == "damaged" and planned is not None:
            self._means.preparer.discard(self.settings.profile, planned.entry)
        path = planned.entry.locator if planned else None
        self._means.publish("entry_ended", channel=self.settings.id, serial=values["serial"], path=path, **facts)

    def _clip_failed(self, values: dict[str, Any]) -> None:
        planned = self.rundown.find(values["airing"])
        log.warning("clip_damaged", channel=self.settings.id, entry=values["entry"], error=values["error"])
        if planned is not None:
            self._means.preparer.discard(self.settings.profile, planned.entry)
        self.clips_changed()

    def _crashed(self, values: dict[str, Any]) -> None:
        self.last_error = str(values["error"]).strip().splitlines()[-1]
        log.error("channel_crashed", channel=self.settings.id, error=values["error"])
        self.rundown.stopped()
        self._happen(Event.CRASHED)

    def _output_changed(self, state: PushState) -> None:
        log.info(
            "output_changed", channel=state.channel, output=state.name, state=state.condition.value, reason=state.reason, pid=state.pid
        )
        self._means.publish("output_state", channel=state.channel, output=state.name, state=state.condition.value, reason=state.reason)

    # -- what people see ----------------------------------------------------------------------------------------

    def next_boundary(self) -> str | None:
        """When the playing clip ends and what was planned last begins, ISO 8601 in UTC; now while the filler airs."""
        ends_s = self.rundown.ends_wall_s()
        return iso_utc(ends_s if ends_s is not None else self._means.clock.wall_s())

    def describe_outputs(self) -> list[dict[str, Any]]:
        """CONTRACT's `outputs`."""
        return self._outputs.describe()

    def describe(self) -> dict[str, Any]:
        """CONTRACT's channel object."""
        stock = self._means.preparer.stock(self.settings.id)
        ticks = int(self.progress.get("dts", 0))
        return {
            "id": self.settings.id,
            "name": self.settings.name,
            "state": self.state.value,
            "profile": self.settings.profile.name,
            "revision": self.rundown.queue.revision,
            "edit_error": self.edit_error,
            "last_error": self.last_error,
            "now": self.rundown.describe_now(self._means.clock.wall_s()) if self.state is State.ON_AIR else None,
            "next": self.rundown.describe_next(SHOWN_NEXT),
            "outputs": self._outputs.describe(),
            "timeline": {"ticks": ticks, "wraps": ticks >> 33},
            "prepared": {"ready_s": round(stock.ready_s, 1), "needed_s": round(stock.needed_s, 1), "eta_s": stock.eta_s},
        }
