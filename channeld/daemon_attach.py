"""Opens the daemon to local readers: programs of this machine that read a channel's ring.

Rule: what a reader may is decided by `attach` of the configuration alone; without it there is no socket. What keeps us from letting readers
in is an alarm, and the air goes on without them.
"""

import grp
import socket
from collections.abc import Callable, Iterable

from channeld.base.errors import ChannelError, ConfigError
from channeld.channel.alarms import Alarms
from channeld.channel.attach_desk import AttachDesk, AttachRules
from channeld.channel.host_hub import HostHub
from channeld.channel.media_alarms import tell_attach, tell_attach_channel
from channeld.config_values import Config


class LocalReaders:
    """Owns the attach desk, and makes another where its rules change. One thread at a time."""

    def __init__(self, config: Config, channels: Callable[[], Iterable[str]], hosts: HostHub, alarms: Alarms) -> None:
        self._config, self._channels, self._hosts, self._alarms = config, channels, hosts, alarms
        self._desk: AttachDesk | None = None

    def open(self) -> None:
        """Listen for readers of every channel there is, if that is wanted."""
        if not self._config.attach.is_enabled:
            tell_attach(self._alarms, None)
            return
        try:
            rules = AttachRules(self._config.folders.runtime, attach_gid(self._config))
            self._desk = AttachDesk(rules, self._channels, self._hand_over, self._told)
            self._desk.start()
        except ChannelError as error:
            self.close()
            tell_attach(self._alarms, f"no program of this machine can read a channel: {error}")
        else:
            tell_attach(self._alarms, None)

    def change(self, config: Config) -> None:
        """Go by another configuration. Who reads already goes on; limits count for whoever comes, and so does the group."""
        before, self._config = self._config.attach, config
        after = config.attach
        if (before.is_enabled, before.group) != (after.is_enabled, after.group) or (after.is_enabled and self._desk is None):
            self.close()
            self.open()

    def close(self) -> None:
        """Listen no more; idempotent."""
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.close()

    def _hand_over(self, channel: str, end: socket.socket) -> bool:
        attach = self._config.attach
        return self._hosts.send("attach", (end.fileno(),), channel=channel, most=attach.max_readers, most_each=attach.max_readers_per_user)

    def _told(self, channel: str, error: str | None) -> None:
        tell_attach_channel(self._alarms, channel, error)


def attach_gid(config: Config) -> int | None:
    """The group that may read besides root and our own user. Raises ConfigError where there is no such group."""
    group = config.attach.group
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        hint = f"Make it with `groupadd --system {group}`, or leave `attach.group` out"
        raise ConfigError(f"attach.group: this machine has no group {group!r}. {hint}", path=config.path, key="attach.group") from None
