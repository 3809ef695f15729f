"""Opens the daemon to local readers: programs of this machine that read a channel's ring.

Rule: what a reader may is decided by `attach` of the configuration alone; without it there is no socket.
"""

import contextlib
import grp
import socket

from channeld.base.errors import ConfigError
from channeld.channel.attach_desk import AttachDesk, AttachRules
from channeld.channel.host_hub import HostHub
from channeld.channel.registry import Registry
from channeld.config_values import Config


def open_attach(config: Config, registry: Registry, hosts: HostHub, parts: contextlib.ExitStack) -> None:
    """Listen for readers of every channel there is. Raises ConfigError for a group that does not exist, ChannelError."""
    if not config.attach.is_enabled:
        return

    def hand_over(channel: str, end: socket.socket) -> bool:
        return hosts.send("attach", (end.fileno(),), channel=channel, most=config.attach.max_readers)

    desk = AttachDesk(AttachRules(config.folders.runtime, _gid(config)), registry.present, hand_over)
    parts.callback(desk.close)
    desk.start()


def _gid(config: Config) -> int | None:
    group = config.attach.group
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        hint = f"Make it with `groupadd --system {group}`, or leave `attach.group` out"
        raise ConfigError(f"attach.group: this machine has no group {group!r}. {hint}", path=config.path, key="attach.group") from None
