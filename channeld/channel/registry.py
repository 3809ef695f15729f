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

from channeld.base.errors import PlaylistError
from channeld.base.wire import Message
from channeld.base.worker import Worker
from channeld.channel.means import Means
from channeld.channel.settings import ChannelSettings
from channeld.channel.state import State
from channeld.channel.supervisor import Supervisor
from channeld.playlist.parse import load
from channeld.playlist.settled import load_settled
from channeld.playlist.watch import ChangeKind, PlaylistWatch, Watcher

LOOK_AGAIN_S = 10.0
MAX_REREAD = 5_000
"""Entries of a list that is read again and again while files of it are missing; a longer one waits for an edit."""

log = structlog.get_logger()


class _Loader(Worker):
    """Reads and parses playlists, one at a time; a channel asked for twice is read once."""

    def __init__(self, on_loaded: Callable[[ChannelSettings], None]) -> None:
        super().__init__("playlists:loader")
        self._load = on_loaded
        self._asked: queue.SimpleQueue[ChannelSettings | None] = queue.SimpleQueue()
        self._pending: set[str] = set()
        self._lock = threading.Lock()  # guards _pending

    def ask(self, settings: ChannelSettings) -> None:
        """Have a channel's playlist read. Any thread."""
        with self._lock:
            if settings.id in self._pending:
                return
            self._pending.add(settings.id)
        self._asked.put(settings)

    def wake(self) -> None:
        self._asked.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            settings = self._asked.get()
            if settings is None:
                continue
            with self._lock:
                self._pending.discard(settings.id)
            try:
                self._load(settings)
            except Exception:  # a mistake in reading one list must not end the reading of all; it is logged with its traceback
                log.exception("playlist_not_read", channel=settings.id)


class Registry:
    """Supervisors by channel id. Public methods belong to the control loop's thread unless they say otherwise."""

    def __init__(self, settings: Iterable[ChannelSettings], means: Means) -> None:
        self._means = means
        self.channels: dict[str, Supervisor] = {item.id: Supervisor(item, means) for item in settings}
        self._loader = _Loader(self._load)
        self._watcher = Watcher()
        self.hosts: dict[int, dict[str, Any]] = {}
        """Last progress message of each host."""

    def start(self) -> None:
        """Watch and read every playlist, and put the enabled channels on air. Any thread."""
        self._loader.start()
        self._watcher.start()
        for supervisor in self.channels.values():
            settings = supervisor.settings
            self._watcher.add(PlaylistWatch(settings.playlist, lambda kind, settings=settings: self._playlist_changed(settings, kind)))  # type: ignore[misc]
            self._loader.ask(settings)
        self._means.loop.post(self._start_enabled)

    def _start_enabled(self) -> None:
        for supervisor in self.channels.values():
            if supervisor.settings.enabled:
                supervisor.start()
        self._means.loop.later(LOOK_AGAIN_S, self._look_again)

    def _playlist_changed(self, settings: ChannelSettings, kind: ChangeKind) -> None:
        log.debug("playlist_changed", channel=settings.id, kind=kind.value)
        self._loader.ask(settings)

    def reload(self, channel: str) -> None:
        """Read a channel's playlist again. Any thread."""
        self._loader.ask(self.channels[channel].settings)

    def _load(self, settings: ChannelSettings) -> None:
        """Loader's thread."""
        supervisor = self.channels[settings.id]
        reading = supervisor.readings.take()
        began = time.monotonic()
        try:
            playlist = load_settled(settings.playlist, settings.rules)
            if playlist is None and supervisor.rundown.playlist is None:
                playlist = load(settings.playlist, settings.rules)  # better than none at all, should its writer never close it
        except PlaylistError as error:
            refused = error
            self._means.loop.post(lambda: supervisor.refuse(refused, reading))
            return
        took_s = time.monotonic() - began
        if playlist is None:
            return  # it is being written: the watch tells when that is done
        log.debug("playlist_read", channel=settings.id, entries=len(playlist.entries), took_ms=round(took_s * 1000))
        self._means.loop.post(lambda: supervisor.apply(playlist, reading))

    def _look_again(self) -> None:
        """Files come late, or are replaced: a list whose entries have faults is read again, files that air soon are looked at."""
        for supervisor in self.channels.values():
            supervisor.look_again()
            playlist = supervisor.rundown.playlist
            if playlist is not None and len(playlist.entries) <= MAX_REREAD and any(entry.fault for entry in playlist.entries):
                self._loader.ask(supervisor.settings)
        self._means.loop.later(LOOK_AGAIN_S, self._look_again)

    def clips_changed(self, channel: str) -> None:
        """The clips of a channel stand otherwise: it plans again."""
        self.channels[channel].clips_changed()

    def host_told(self, host: int, message: Message) -> None:
        """One message of a playout host."""
        values = message.values
        if message.kind == "progress":
            self.hosts[host] = values
            for channel, progress in values["channels"].items():
                if channel in self.channels:
                    self.channels[channel].progressed(progress)
            return
        supervisor = self.channels.get(values.get("channel", ""))
        if supervisor is not None:
            supervisor.host_told(message.kind, values)

    def host_lost(self, host: int, channels: Iterable[str], reason: str) -> None:
        """A host ended: the channels that lived on it begin anew."""
        self.hosts.pop(host, None)
        for channel in channels:
            self.channels[channel].host_lost(reason)

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Whether viewers of at least one enabled channel see something, and each channel's state."""
        states = {name: supervisor.state for name, supervisor in self.channels.items()}
        enabled = [states[name] for name, supervisor in self.channels.items() if supervisor.settings.enabled]
        shown = any(state in (State.ON_AIR, State.FILLER) for state in enabled)
        return shown or not enabled, {name: state.value for name, state in states.items()}

    def describe(self) -> list[dict[str, Any]]:
        """CONTRACT's list of channels."""
        return [supervisor.describe() for supervisor in self.channels.values()]

    def stop(self) -> None:
        """Take every channel off the air."""
        for supervisor in self.channels.values():
            supervisor.stop()

    @property
    def is_stopped(self) -> bool:
        """No channel is on air or on its way, and all outputs are closed."""
        return all(supervisor.is_over for supervisor in self.channels.values())

    def close(self) -> None:
        """End the threads that watch and read. Any thread but the loop's."""
        self._watcher.close()
        self._loader.close()
