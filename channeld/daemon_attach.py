"""Opens the daemon to local readers: programs of this machine that read a channel's ring.

Rule: what a reader may is decided by `attach` of the configuration alone; without it there is no socket.
"""

import contextlib
import grp
import socket

import structlog

from channeld.base.errors import ChannelError, ConfigError
from channeld.channel.attach_desk import AttachDesk, AttachRules
from channeld.channel.host_hub import HostHub
from channeld.channel.registry import Registry
from channeld.config_values import Config

log = structlog.get_logger()


def open_attach(config: Config, registry: Registry, hosts: HostHub, parts: contextlib.ExitStack) -> None:
    """Listen for readers of every channel there is. What keeps us from it is told, and the air goes on without them."""
    if not config.attach.is_enabled:
        return

    def hand_over(channel: str, end: socket.socket) -> bool:
        return hosts.send("attach", (end.fileno(),), channel=channel, most=config.attach.max_readers)

    try:
        desk = AttachDesk(AttachRules(config.folders.runtime, attach_gid(config)), registry.present, hand_over)
        parts.callback(desk.close)
        desk.start()
    except ChannelError as error:
        log.error("attach_not_open", error=str(error), consequence="no program of this machine can read a channel")


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
