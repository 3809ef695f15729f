"""Who is told what the hosts say: the channels, and the media workers that read their rings.

Rule: every descriptor that comes with a message has an owner when this is through with it. Control loop's thread only.
"""

import os
from collections.abc import Callable

import structlog

from channeld.base.wire import Message
from channeld.channel.host_hub import HostHub
from channeld.channel.hub import MediaHub
from channeld.channel.registry import Registry

log = structlog.get_logger()


class Switchboard:
    """Implements `HostEvents`; connected once all that it tells is there."""

    def __init__(self) -> None:
        self._hosts: HostHub
        self._media: MediaHub
        self._registry: Registry
        self._listeners: tuple[Callable[[Message], None], ...]

    def connect(self, hosts: HostHub, media: MediaHub, registry: Registry, *listeners: Callable[[Message], None]) -> None:
        """Before any host is started. `listeners` hear everything, behind the registry."""
        self._hosts, self._media, self._registry, self._listeners = hosts, media, registry, listeners

    def told(self, host: int, message: Message) -> None:
        """A host said something."""
        channel = str(message.values.get("channel", ""))
        if channel and channel not in self._registry.channels:
            self._refuse(channel, message)
            return
        if message.kind == "ring":
            self._take_ring(channel, message)
        elif message.kind == "present":
            self._find_ring(channel, int(message.values["ring_id"]))
        elif message.kind == "stopped":
            self._media.forget_ring(channel)
        self._registry.host_told(host, message)
        for listen in self._listeners:
            listen(message)

    def _take_ring(self, channel: str, message: Message) -> None:
        readable, *writable = message.fds
        self._media.ring(channel, message.values["ring_id"], readable)
        for fd in writable:
            self._registry.channels[channel].ring_made(fd)

    def _find_ring(self, channel: str, ring_id: int) -> None:
        """What airs already has a ring, that an earlier control left with the holder."""
        if not self._media.has_ring(channel, ring_id):
            readable = self._registry.channels[channel].lend_ring()
            if readable is not None:
                self._media.ring(channel, ring_id, readable)

    def _refuse(self, channel: str, message: Message) -> None:
        """A host airs what is in no configuration any more."""
        for fd in message.fds:
            os.close(fd)
        if message.kind == "present":
            log.info("channel_unknown", channel=channel, consequence="it is taken off the air")
            self._hosts.send("stop", channel=channel)

    def lost(self, host: int, reason: str, lived_s: float | None, was_killed: bool) -> None:
        """A host ended; see HostEvents."""
        channels = [name for name in self._registry.channels if self._hosts.host_of(name) == host]
        for channel in channels:
            if not self._registry.channels[channel].has_ring:
                self._media.forget_ring(channel)
        self._registry.host_lost(host, channels, reason, lived_s, was_killed)

    def started(self, host: int) -> None:
        """A host is there."""
        self._media.host_started(host)
