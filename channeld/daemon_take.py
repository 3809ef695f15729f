"""Gives the parts of a running daemon what a new configuration says.

Rule: only what a part can take while it works is given to it; `config_diff` knows what that is. Any thread but the loop's.
"""

from channeld.channel.clips import Clips
from channeld.channel.hub import HostHub, MediaHub
from channeld.channel.loop import ControlLoop
from channeld.channel.settings import ChannelSettings
from channeld.config_values import ChannelSpec, Config
from channeld.daemon_settings import channel_settings, fetch_rules, host_arguments, media_listener, tolerance
from channeld.telemetry.log import configure


class Taker:
    """The parts of one daemon that change with its configuration."""

    def __init__(self, *, loop: ControlLoop, hosts: HostHub, media: MediaHub, clips: Clips, token: str) -> None:
        self._loop = loop
        self._hosts = hosts
        self._media = media
        self._clips = clips
        self._token = token

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
        level = config.log.level.value
        listener = media_listener(config, self._token)
        self._loop.call(lambda: self._hosts.change(*host_arguments(config), level=level))
        self._loop.call(lambda: self._media.change(listener, level))
