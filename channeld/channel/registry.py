"""All channels of a daemon: their supervisors, the watching of their playlists, and what is told between them.

Rule: supervisors live on the control loop; playlists are read and parsed on a thread of their own (a list of
100,000 entries takes a while), and only the newest reading of a file counts.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.errors import PlaylistError
from channeld.base.wire import Message
from channeld.base.worker import Worker
from channeld.channel.budget import Answer
from channeld.channel.inquest import Inquest
from channeld.channel.loop import LoopBusy
from channeld.channel.means import Means
from channeld.channel.output_set import window_s
from channeld.channel.settings import ChannelSettings
from channeld.channel.state import State
from channeld.channel.supervisor import Supervisor
from channeld.outputs.hls_store import PACKAGINGS
from channeld.playlist.model import Playlist
from channeld.playlist.parse import load, parse
from channeld.playlist.settled import read_settled
from channeld.playlist.shelf import Shelf
from channeld.playlist.watch import ChangeKind, PlaylistWatch, Watcher

LOOK_AGAIN_S = 10.0
LEAVE_POLL_S = 0.1
MAX_REREAD = 5_000
"""Entries of a list that is read again and again while files of it are missing; a longer one waits for an edit."""

log = structlog.get_logger()


class _Loader(Worker):
    """Reads and parses playlists, one at a time; a channel asked for twice is read once."""

    def __init__(self, load: Callable[[str], None]) -> None:
        super().__init__("playlists:loader")
        self._load = load
        self._asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pending: set[str] = set()
        self._lock = threading.Lock()  # guards _pending

    def ask(self, channel: str) -> None:
        """Have a channel's playlist read. Any thread."""
        with self._lock:
            if channel in self._pending:
                return
            self._pending.add(channel)
        self._asked.put(channel)

    def wake(self) -> None:
        self._asked.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            channel = self._asked.get()
            if channel is None:
                continue
            with self._lock:
                self._pending.discard(channel)
            try:
                self._load(channel)
            except Exception:  # a mistake in reading one list must not end the reading of all; it is logged with its traceback
                log.exception("playlist_not_read", channel=channel)


class Registry:
    """Supervisors by channel id. Public methods belong to the control loop's thread unless they say otherwise."""

    def __init__(self, settings: Iterable[ChannelSettings], means: Means) -> None:
        self._means = means
        self.channels: dict[str, Supervisor] = {item.id: Supervisor(item, means) for item in settings}
        self._loader = _Loader(self._load)
        self._shelf = Shelf(means.lists_dir)
        self._watcher = Watcher()
        self._watches: dict[str, PlaylistWatch] = {}  # of the thread that starts or reloads
        self._leaving: set[str] = set()
        self._inquests: dict[int, Inquest] = {}
        self.hosts: dict[int, dict[str, Any]] = {}
        """Last progress message of each host."""

    def start(self) -> None:
        """Watch and read every playlist, and put the enabled channels on air. Any thread."""
        self._loader.start()
        self._watcher.start()
        for supervisor in self.channels.values():
            self._watch(supervisor.settings)
        self._means.loop.post(self._start_enabled)

    def _watch(self, settings: ChannelSettings) -> None:
        """Watch a channel's list, in place of the one before, and read it. Any thread but the loop's."""
        if not settings.has_list:
            self._unwatch(settings.id)
            self._loader.ask(settings.id)
            return
        before = self._watches.get(settings.id)
        if before is None or before.path != settings.playlist:
            self._unwatch(settings.id)
            watch = PlaylistWatch(settings.playlist, lambda kind: self._playlist_changed(settings.id, kind))
            self._watches[settings.id] = watch
            self._watcher.add(watch)
        self._loader.ask(settings.id)

    def _unwatch(self, channel: str) -> None:
        watch = self._watches.pop(channel, None)
        if watch is not None:
            self._watcher.remove(watch)

    def renew(self, wanted: Iterable[ChannelSettings]) -> list[str]:
        """Have just these channels: others leave, new ones come, changed ones change. Gives those that restart.

        Any thread but the loop's, one at a time.
        """
        settings = {item.id: item for item in wanted}
        changed = [item for item in settings.values() if item.id in self._leaving or not self._is_as(item)]
        for channel in self._watches.keys() - settings.keys():
            self._unwatch(channel)
        try:
            restarting = self._means.loop.call(lambda: self._renew(settings, changed))
        except LoopBusy:
            self._watch_all(changed)  # it is done before anything is heard of a list
            raise
        self._watch_all(changed)
        return restarting

    def _watch_all(self, settings: Iterable[ChannelSettings]) -> None:
        for item in settings:
            self._watch(item)

    def keep(self) -> None:
        """Wait until what was ordered is written down. Raises StoreError. Any thread but the loop's."""
        self._means.positions.flush()

    @property
    def is_full(self) -> bool:
        """There is no room to write down what is ordered."""
        return self._means.positions.is_full

    def present(self) -> dict[str, ChannelSettings]:
        """The settings of every channel. Any thread."""
        return {name: supervisor.settings for name, supervisor in self.channels.items()}

    def _is_as(self, item: ChannelSettings) -> bool:
        return item.id in self.channels and self.channels[item.id].settings == item

    def _renew(self, settings: dict[str, ChannelSettings], changed: list[ChannelSettings]) -> list[str]:
        coming_back = self._leaving & settings.keys()
        self._leaving -= coming_back
        for channel in self.channels.keys() - settings.keys() - self._leaving:
            self._leaving.add(channel)
            self._leave(channel)
        return [item.id for item in changed if self._take(item, is_new=item.id in coming_back or item.id not in self.channels)]

    def _take(self, item: ChannelSettings, *, is_new: bool) -> bool:
        """Give a channel its settings, made where there is none; True when it restarts."""
        if item.id not in self.channels:
            self.channels = {**self.channels, item.id: Supervisor(item, self._means)}
        supervisor = self.channels[item.id]
        was_enabled = supervisor.settings.enabled and not is_new
        restarts = supervisor.change(item)
        if item.enabled and not was_enabled:
            supervisor.start()
        elif was_enabled and not item.enabled:
            supervisor.stop()
        return restarts

    def _leave(self, channel: str) -> None:
        """Forget a channel that is configured no more, once nothing of it is left."""
        if channel not in self._leaving:
            return
        supervisor = self.channels[channel]
        supervisor.stop()
        if not supervisor.is_over:
            self._means.loop.later(LEAVE_POLL_S, lambda: self._leave(channel))
            return
        self._leaving.discard(channel)
        for packaging in PACKAGINGS:
            self._means.media.clean(channel, packaging, keep_s=window_s(supervisor.settings.targets, packaging))
        self.channels = {name: each for name, each in self.channels.items() if name != channel}
        for inquest in self._inquests.values():
            inquest.clear(channel)
        log.info("channel_removed", channel=channel)
        self._means.publish("channel_removed", channel=channel)

    def _start_enabled(self) -> None:
        for supervisor in self.channels.values():
            if supervisor.settings.enabled:
                supervisor.start()
        self._means.loop.later(LOOK_AGAIN_S, self._look_again)

    def _playlist_changed(self, channel: str, kind: ChangeKind) -> None:
        log.debug("playlist_changed", channel=channel, kind=kind.value)
        self._loader.ask(channel)

    def reload(self, channel: str) -> None:
        """Read a channel's playlist again. Any thread."""
        self._loader.ask(channel)

    def _load(self, channel: str) -> None:
        """Loader's thread."""
        supervisor = self.channels.get(channel)
        if supervisor is None:
            return  # removed meanwhile
        settings, reading = supervisor.settings, supervisor.readings.take()
        began = time.monotonic()
        try:
            playlist = self._read(settings, is_first=supervisor.rundown.playlist is None)
        except PlaylistError as error:
            refused = error
            last = self._last_valid(settings) if supervisor.rundown.playlist is None else None
            if last is not None:
                self._means.loop.post(lambda: supervisor.apply(last, reading))
            self._means.loop.post(lambda: supervisor.refuse(refused, reading))
            return
        took_s = time.monotonic() - began
        if playlist is None:
            return  # it is being written: the watch tells when that is done
        log.debug("playlist_read", channel=settings.id, entries=len(playlist.entries), took_ms=round(took_s * 1000))
        self._means.loop.post(lambda: supervisor.apply(playlist, reading))

    def _read(self, settings: ChannelSettings, *, is_first: bool) -> Playlist | None:
        """The list as it stands; None while it is being written and there is another. Raises PlaylistError."""
        path, rules = settings.playlist, settings.rules
        if not settings.has_list:
            return Playlist((), path)
        if path.is_dir():
            return load(path, rules)
        content = read_settled(path)
        if content is None:
            return load(path, rules) if is_first else None  # better than none at all, should its writer never close it
        playlist = parse(content, source=path, rules=rules)
        self._shelf.keep(settings.id, content)
        return playlist

    def _last_valid(self, settings: ChannelSettings) -> Playlist | None:
        """The list that an earlier control took last."""
        content = self._shelf.last(settings.id)
        if content is None:
            return None
        try:
            playlist = parse(content, source=settings.playlist, rules=settings.rules)
        except PlaylistError as error:
            log.warning("kept_playlist_refused", channel=settings.id, error=str(error))
            return None
        log.warning("playlist_kept_used", channel=settings.id, entries=len(playlist.entries), reason="the file itself is no valid list")
        return playlist

    def _look_again(self) -> None:
        """Files come late, or are replaced: a list whose entries have faults is read again, files that air soon are looked at."""
        for supervisor in self.channels.values():
            supervisor.planner.look_again()
            playlist = supervisor.rundown.playlist
            if playlist is not None and len(playlist.entries) <= MAX_REREAD and any(entry.fault for entry in playlist.entries):
                self._loader.ask(supervisor.settings.id)
        self._means.loop.later(LOOK_AGAIN_S, self._look_again)

    def clips_changed(self, channel: str) -> None:
        """The clips of a channel stand otherwise: it plans again."""
        if channel in self.channels:
            self.channels[channel].view.renew()
            self.channels[channel].planner.clips_changed()

    def host_told(self, host: int, message: Message) -> None:
        """One message of a playout host."""
        values = message.values
        if message.kind == "progress":
            self.hosts[host] = values
            for channel, progress in values["channels"].items():
                if channel in self.channels:
                    self.channels[channel].progressed(progress)
                    self.channels[channel].director.sources.figures.aired(progress)
            return
        supervisor = self.channels.get(values.get("channel", ""))
        if supervisor is None:
            return
        if message.kind == "late":
            log.warning("channel_late", channel=values["channel"], seconds=values["seconds"])
            self._means.publish("channel_late", channel=values["channel"], seconds=values["seconds"])
        supervisor.host_told(message.kind, values)

    def host_lost(self, host: int, channels: Iterable[str], reason: str, lived_s: float | None, was_killed: bool) -> None:
        """A host ended: the channels that lived on it go on with another. `lived_s` and `was_killed` are HostEvents'."""
        self.hosts.pop(host, None)
        lost = [self.channels[channel] for channel in channels if channel in self.channels]
        if lived_s is not None:
            self._inquire(host, lost, lived_s, was_killed)
        for supervisor in lost:
            supervisor.host_lost(reason)

    def _inquire(self, host: int, lost: list[Supervisor], lived_s: float, was_killed: bool) -> None:
        """See whose doing the end of a host may be."""
        inquest = self._inquests.setdefault(host, Inquest())
        scenes = [scene for supervisor in lost if (scene := supervisor.scene()) is not None]
        now_s = self._means.clock.monotonic_ns() / NS_PER_SECOND
        found = inquest.ended(scenes, lived_s=lived_s, now_s=now_s, was_killed=was_killed)
        if found is None:
            return
        if found.cleared is not None:
            log.info("channel_cleared", channel=found.cleared, reason="the host ends without what was held back of it, too")
            self.channels[found.cleared].restraint.clear()
        answer = self.channels[found.channel].suspected("the playout host ended", ends=found.ends)
        if answer is Answer.HELD:
            inquest.held(found.channel)
        elif answer is Answer.CLEARED:
            inquest.clear(found.channel)

    def watched(self, channels: Iterable[str]) -> None:
        """Somebody watches these just now."""
        for channel in channels:
            if channel in self.channels:
                self.channels[channel].director.sources.watched()

    def source_told(self, channel: str, source: str, kind: str, values: dict[str, Any]) -> None:
        """Something of a channel's live source."""
        if channel in self.channels:
            self.channels[channel].director.told(source, kind, values)

    def readiness(self) -> tuple[bool, dict[str, str], dict[str, dict[str, str]]]:
        """Whether viewers of at least one enabled channel see something, each channel's state and its outputs' verdicts."""
        states = {name: supervisor.state for name, supervisor in self.channels.items()}
        enabled = [name for name, supervisor in self.channels.items() if supervisor.settings.enabled]
        shown = any(states[name] in (State.ON_AIR, State.FILLER) and self.channels[name].outputs.can_be_watched for name in enabled)
        verdicts = {name: supervisor.outputs.conditions() for name, supervisor in self.channels.items()}
        return shown or not enabled, {name: state.value for name, state in states.items()}, verdicts

    def describe(self) -> list[dict[str, Any]]:
        """CONTRACT's list of channels."""
        return [supervisor.describe() for supervisor in self.channels.values()]

    def stop(self) -> None:
        """Take every channel off the air."""
        for supervisor in self.channels.values():
            supervisor.stop(by_order=False)

    def leave(self) -> None:
        """Let go of every channel, and leave it on air."""
        for supervisor in self.channels.values():
            supervisor.leave()

    @property
    def is_stopped(self) -> bool:
        """No channel is on air or on its way, and all outputs are closed."""
        return all(supervisor.is_over for supervisor in self.channels.values())

    def close(self) -> None:
        """End the threads that watch and read. Any thread but the loop's."""
        self._watcher.close()
        self._loader.close()
