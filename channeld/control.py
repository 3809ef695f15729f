"""The daemon as the admin interface sees it: implements `api.control.Control` over the registry.

Rule: questions and orders run on the control loop, so that they see one moment; playlist files are written here, on
the caller's thread, whole or not at all.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import structlog

from channeld import __version__
from channeld.api.control import Edited, Health, PlaylistDocument, Readiness, Refused, Tags, Trigger, UnknownChannel
from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.base.errors import PlaylistError, StoreError
from channeld.channel.alarms import Alarms
from channeld.channel.as_run import Page
from channeld.channel.events import EventLog, Tell
from channeld.channel.host_hub import HostHub
from channeld.channel.hub import MediaHub
from channeld.channel.loop import ControlLoop
from channeld.channel.recent import STEP_S, Recent
from channeld.channel.registry import Registry
from channeld.channel.supervisor import Supervisor
from channeld.control_playlist import NO_LIST, PlaylistDesk
from channeld.daemon_reload import Reloader
from channeld.playlist.model import Playlist
from channeld.playlist.orders import Order
from channeld.playlist.parse import load, parse
from channeld.store.questions import AiringFilter
from channeld.store.records import ClipRecord

STALLED_S = 5.0

log = structlog.get_logger()
TURN_S = 1.0


class DaemonControl:
    """Answers for a running daemon. Any thread but the control loop's."""

    def __init__(
        self,
        loop: ControlLoop,
        registry: Registry,
        events: EventLog,
        hosts: HostHub,
        media: MediaHub,
        reloader: Reloader,
        alarms: Alarms,
        *,
        metrics: Callable[[], bytes],
        recent: Recent,
        restart: Callable[[], None],
        notices: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._loop = loop
        self._registry = registry
        self._events = events
        self._hosts = hosts
        self._media = media
        self._reloader = reloader
        self._alarms = alarms
        self._recent = recent
        self._restart = restart
        self._notices = notices
        self._since = iso_utc(time.time())
        self._metrics = metrics
        self._desk = PlaylistDesk(loop, registry.reload)

    # -- questions ----------------------------------------------------------------------------------------------

    def channels(self) -> list[dict[str, Any]]:
        return self._loop.call(self._registry.describe)

    def channel(self, channel: str) -> dict[str, Any] | None:
        supervisor = self._registry.channels.get(channel)
        return self._loop.call(supervisor.describe) if supervisor is not None else None

    def health(self) -> Health:
        now_ns = time.monotonic_ns()
        parts: dict[str, Any] = {"control": {"ok": True, "idle_s": (now_ns - self._loop.turned_ns) / NS_PER_SECOND}}
        for host in range(self._hosts.count):
            told = self._registry.hosts.get(host)
            parts[f"host:{host}"] = {"ok": told is not None, "idle_s": (now_ns - told["turned_ns"]) / NS_PER_SECOND if told else None}
        for part in parts.values():
            idle_s = part["idle_s"]
            part["ok"] = idle_s is not None and idle_s < STALLED_S
            part["idle_s"] = round(idle_s, 2) if idle_s is not None else None
        return Health(all(part["ok"] for part in parts.values()), parts)

    def is_turning(self) -> bool:
        """Control itself does its work: asked now, not looked up, so that one that hangs is known within TURN_S."""
        return self._loop.answers(TURN_S)

    def readiness(self) -> Readiness:
        return Readiness(*self._loop.call(self._registry.readiness), self._events.problem)

    def metrics(self) -> bytes:
        return self._metrics()

    def status(self) -> dict[str, Any]:
        reloader = self._reloader
        return {
            "version": __version__,
            "since": self._since,
            "hosts": self._hosts.pids(),
            "config": str(reloader.config.path),
            "config_error": reloader.error,
            "needs_restart": list(reloader.needs_restart),
            "alarms": self._alarms.standing(),
            "store_problem": self._events.problem,
            **self._notices(),
        }

    def settings(self) -> dict[str, Any]:
        reloader = self._reloader
        return {
            "path": str(reloader.config.path),
            "error": reloader.error,
            "needs_restart": list(reloader.needs_restart),
            "settings": [asdict(setting) for setting in reloader.config.told],
        }

    def readings(self, channel: str, since_s: float) -> dict[str, Any]:
        self._find(channel)
        return {"step_s": STEP_S, "samples": self._loop.call(lambda: self._recent.since(channel, since_s))}

    def follow(self, tell: Tell, last_id: int | None) -> Callable[[], None]:
        return self._events.follow(tell, last_id)

    def as_run(self, wanted: AiringFilter, limit: int) -> Page:
        return self._of_known_channel(wanted, self._events.airings.lines(wanted, limit))

    def as_run_totals(self, wanted: AiringFilter) -> Page:
        return self._of_known_channel(wanted, self._events.airings.totals(wanted))

    def clips(self, after: str | None, limit: int) -> list[dict[str, Any]]:
        try:
            return [_describe_clip(clip) for clip in self._events.clips(after, limit)]
        except StoreError as error:
            raise Refused(503, "Not now", str(error)) from error

    def _of_known_channel(self, wanted: AiringFilter, page: Page) -> Page:
        if wanted.channel is not None and not page.rows:
            self._find(wanted.channel)  # one that was removed keeps its past
        return page

    def reload(self) -> dict[str, Any]:
        return self._reloader.reload()

    # -- orders -------------------------------------------------------------------------------------------------

    def trigger(self, channel: str, action: str, *, path: str | None = None) -> Trigger:
        supervisor = self._find(channel)
        if action == "reload":
            return self._reload(supervisor)
        if action == "play-next":
            return self._play_next(supervisor, path or "")
        orders: dict[str, Callable[[], bool]] = {
            "start": supervisor.start,
            "stop": supervisor.stop,
            "restart": lambda: _done(supervisor.restart),
            "skip": lambda: self._skip(supervisor),
        }
        changed = self._loop.call(orders[action])
        return Trigger(self._revision(supervisor), iso_utc(time.time()), changed)

    def restart(self, part: str) -> dict[str, Any]:
        if part == "hosts":
            self._loop.call(lambda: [self._hosts.replace(number) for number in range(self._hosts.count)])
        else:
            self._restart()
        return {"part": part, "since": self._since}

    def _skip(self, supervisor: Supervisor) -> bool:
        if not supervisor.skip():
            raise Refused(409, "Not on air", "the channel is not on air: start it first")
        return True

    def _reload(self, supervisor: Supervisor) -> Trigger:
        if not supervisor.settings.has_list:
            raise Refused(409, "No list", NO_LIST)
        reading = supervisor.readings.take()
        playlist = self._load(supervisor, reading)
        self._loop.call(lambda: supervisor.apply(playlist, reading))
        return self._effect(supervisor)

    def _play_next(self, supervisor: Supervisor, path: str) -> Trigger:
        settings = supervisor.settings
        if not path or "\n" in path or "\r" in path or path.startswith("#"):
            raise Refused(422, "No such media", "path must be one path or URL, as it would stand in a playlist")
        listed = parse(path.encode(), source=settings.playlist.with_suffix(".txt"), rules=settings.rules).entries
        if len(listed) != 1 or listed[0].fault is not None:
            raise Refused(422, "Cannot air", f"{path}: {listed[0].fault if listed else 'not a path'}")
        if self._registry.is_full:
            raise Refused(507, "Not kept", "the disk of state_dir is full: a restart would lose what is put in now. Make room first")
        self._loop.call(lambda: supervisor.play_next(listed[0]))
        try:
            self._registry.keep()
        except StoreError as error:
            log.warning("edit_not_kept", channel=supervisor.settings.id, error=str(error), consequence="a restart would lose it")
        return self._effect(supervisor)

    def _effect(self, supervisor: Supervisor) -> Trigger:
        return Trigger(self._revision(supervisor), self._loop.call(supervisor.next_boundary), True)

    def _find(self, channel: str) -> Supervisor:
        supervisor = self._registry.channels.get(channel)
        if supervisor is None:
            raise UnknownChannel(channel)
        return supervisor

    def _revision(self, supervisor: Supervisor) -> int:
        return self._loop.call(lambda: supervisor.rundown.queue.revision)

    # -- playlists ----------------------------------------------------------------------------------------------

    def read_playlist(self, channel: str, after: str | None = None, limit: int | None = None) -> PlaylistDocument:
        return self._desk.read(self._find(channel), after, limit)

    def write_playlist(
        self, channel: str, *, text: str | None, entries: list[dict[str, Any]] | None, if_match: Tags, dry_run: bool = False
    ) -> Edited:
        return self._desk.write(self._find(channel), text=text, entries=entries, if_match=if_match, dry_run=dry_run)

    def edit_playlist(self, channel: str, order: Order, *, if_match: Tags, dry_run: bool = False) -> Edited:
        return self._desk.edit(self._find(channel), order, if_match=if_match, dry_run=dry_run)

    def _load(self, supervisor: Supervisor, reading: int) -> Playlist:
        try:
            return load(supervisor.settings.playlist, supervisor.settings.rules)
        except PlaylistError as error:
            refused = error
            self._loop.call(lambda: supervisor.refuse(refused, reading))
            raise Refused(422, "Invalid playlist", str(error)) from error


def _describe_clip(clip: ClipRecord) -> dict[str, Any]:
    described = asdict(clip)
    made_at_s = described.pop("prepared_at_s")
    return {**described, "prepared_at": iso_utc(made_at_s) if made_at_s is not None else None}


def _done(action: Callable[[], None]) -> bool:
    action()
    return True
