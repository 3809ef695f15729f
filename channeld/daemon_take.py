"""Gives the parts of a running daemon what a new configuration says.

Rule: only what a part can take while it works is given to it; `config_diff` knows what that is. Any thread but the loop's.
"""

from channeld.channel.clips import Clips
from channeld.channel.disk import DiskWatch, Level, Marks, Room
from channeld.channel.host_hub import HostHub
from channeld.channel.hub import MediaHub
from channeld.channel.loop import ControlLoop
from channeld.channel.pipe_desk import PipeDesk
from channeld.channel.settings import ChannelSettings
from channeld.channel.source_hub import SourceHub
from channeld.channel.watching import Watching
from channeld.config_values import ChannelSpec, Config
from channeld.daemon_attach import LocalReaders
from channeld.daemon_notices import Notices
from channeld.daemon_pipes import pipe_owner
from channeld.daemon_relays import RelayChannels, relay_rules
from channeld.daemon_settings import (
    channel_settings,
    disk_marks,
    fetch_rules,
    host_arguments,
    media_listener,
    source_limit,
    tolerance,
    watch_settings,
)
from channeld.telemetry.log import configure


class Taker:
    """The parts of one daemon that change with its configuration."""

    def __init__(
        self,
        loop: ControlLoop,
        hosts: HostHub,
        media: MediaHub,
        clips: Clips,
        watching: Watching,
        sources: SourceHub,
        *,
        relays: RelayChannels | None = None,
        disks: DiskWatch | None = None,
        notices: Notices | None = None,
        local: LocalReaders | None = None,
        pipes: PipeDesk | None = None,
        token: str,
    ) -> None:
        self._loop = loop
        self._hosts = hosts
        self._media = media
        self._clips = clips
        self._watching = watching
        self._sources = sources
        self._token = token
        self._relays = relays
        self._disks = disks
        self._notices = notices
        self._local = local
        self._pipes = pipes

    def settings(self, config: Config, spec: ChannelSpec, before: ChannelSettings | None) -> ChannelSettings:
        """One channel's settings; `before` are its present ones."""
        return channel_settings(config, spec, before)

    def take(self, config: Config) -> None:
        """Logs, caps, certificates, rules of fetching and preparing."""
        configure(config.log.level.value, config.log.format.value, file=config.log.file)
        self._clips.change(
            jobs=config.prepare.jobs,
            tolerance=tolerance(config),
            urls=fetch_rules(config),
            max_bytes=config.prepare.cache_limit.on(config.folders.state),
        )
        if self._relays is not None:
            self._relays.rules = relay_rules(config)
        if self._disks is not None:
            self._disks.marks = disk_marks(config)
        if self._notices is not None:
            self._notices.change(config)
        if self._local is not None:
            self._local.change(config)
        if self._pipes is not None:
            self._pipes.give_to(pipe_owner(config))
        level = config.log.level.value
        listener = media_listener(config, self._token)
        self._loop.call(lambda: self._hosts.change(*host_arguments(config), level=level))
        self._loop.call(
            lambda: self._sources.change(
                arguments=host_arguments(config), limit=source_limit(config), cleanup_s=config.relay.cleanup_interval_s
            )
        )
        self._loop.call(lambda: self._media.change(listener, level))
        self._loop.call(lambda: self._watching.change(watch_settings(config)))


def tell_cache(clips: Clips, marks: Marks, level: Level, room: Room | None) -> None:
    """Have the clips mind the room of the cache's disk."""
    is_critical = level is Level.CRITICAL
    if room is None or level is Level.OK:
        clips.mind_room(spare_bytes=None, lacking_bytes=0, pauses=is_critical)
        return
    # A disk that takes nothing at all, or lacks inodes, is not helped by clips that are given up.
    lacking = 0 if room.is_read_only else max(0, marks.critical(room.total_bytes) - room.free_bytes)
    clips.mind_room(spare_bytes=room.free_bytes - marks.low(room.total_bytes), lacking_bytes=lacking, pauses=is_critical)
