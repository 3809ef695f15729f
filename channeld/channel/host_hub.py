"""The playout hosts of the daemon, as one port that channels send to.

Rule: a channel always lives on the same host (its name decides). A host that ends is started again after a back-off, one
that turns no more is ended first, one that lives already is adopted; who lives on it is told each time. Hosts belong to the
holder, so that they outlive this process. Control loop's thread, but for `send` and `is_ready`, which any thread may call.
"""

import os
import signal
import socket
import time
import zlib
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.errors import SpawnError
from channeld.base.wire import Message
from channeld.channel.link import Link, close_all, leave_all
from channeld.channel.loop import ControlLoop
from channeld.channel.patience import Patience
from channeld.process.holding import Holding

CLOSE_S = 1.5
"""How long a host may take to end by itself when the daemon ends."""
SYNC_S = 3.0
"""How long an adopted host may take to tell what it airs."""
FROZEN_S = 3.0
STARTING_S = 15.0
"""How long a new host may take to tell anything: on a machine that is busy beyond its means its code is loaded in seconds, and whoever ends
it for that makes the next one slower.
"""
WATCH_S = 0.5
FROZEN_LOOKS = 3
"""Looks in a row that find a host frozen before it is ended: one alone may only mean that we were."""
LEAD_S = 4.0
LED_S = 3.0
"""How long a host may take to run ahead before it is replaced."""

log = structlog.get_logger()


class HostEvents(Protocol):
    """Who is told about hosts; on the control loop."""

    def told(self, host: int, message: Message) -> None:
        """A host said something."""

    def lost(self, host: int, reason: str, lived_s: float | None, was_killed: bool) -> None:
        """A host ended, so long after its start or its adoption; None: by order, for another that takes its place.

        `was_killed`: somebody else sent it SIGKILL; not we, for its standing still.
        """

    def started(self, host: int) -> None:
        """A host is there: a new one, or one that was adopted and has told all it airs."""


@dataclass(slots=True)
class _Host:
    """One place for a host. `is_ready`: it may be asked to start channels. `version` of its code, once it told.

    `has_turned`: it has begun. `is_condemned`: we end it, for its standing still.
    """

    link: Link | None = None
    is_ready: bool = False
    version: str | None = None
    since_ns: int = 0
    turned_ns: int = 0
    looks: int = 0
    has_turned: bool = False
    is_condemned: bool = False
    successor: Link | None = None
    patience: Patience = field(default_factory=Patience)


class HostHub:
    """All playout hosts."""

    def __init__(
        self, count: int, *, loop: ControlLoop, holder: Holding, arguments: tuple[str, ...], events: HostEvents, version: str = ""
    ) -> None:
        self.count = count
        self._loop = loop
        self._holder = holder
        self._arguments = arguments
        self._events = events
        self._version = version
        self._hosts = [_Host() for _ in range(count)]
        self._is_closing = False

    def start(self) -> None:
        """Adopt every host that lives, and start the others."""
        living: dict[int, list[str]] = {}
        for child in self._holder.held().children:
            if child.name.startswith("host:"):
                living.setdefault(int(child.name.split(":")[1]), []).append(child.name)
        for number in range(self.count):
            if number in living:
                self._adopt(number, living[number])
            else:
                self._start_one(number)
        self._loop.later(WATCH_S, self._watch)

    def _make_link(self, number: int, adopted: str | None = None) -> Link:
        made: list[Link] = []

        def gone(reason: str) -> None:
            self._loop.post(lambda: self._gone(number, made[0], reason))

        link = Link(
            adopted or f"{_name(number)}:{time.monotonic_ns()}",
            "channeld.playout.host",
            holder=self._holder,
            on_message=lambda message: self._loop.post(lambda: self._told(number, made[0], message)),
            on_gone=gone,
            arguments=self._arguments,
            adopt=adopted is not None,
        )
        made.append(link)
        return link

    def _start_one(self, number: int) -> None:
        host = self._hosts[number]
        if self._is_closing or host.link is not None:
            return
        try:
            link = self._make_link(number)
        except SpawnError as error:
            log.error("host_not_started", host=number, error=str(error))
            self._loop.later(host.patience.wait_s(), lambda: self._start_one(number))
            return
        self._enter(number, link)

    def _enter(self, number: int, link: Link) -> None:
        """A new host takes its place."""
        host = self._hosts[number]
        host.link, host.is_ready, host.version = link, True, self._version
        host.since_ns = host.turned_ns = time.monotonic_ns()
        host.looks, host.has_turned = 0, False
        host.patience.started()
        link.start()
        self._events.started(number)

    def _adopt(self, number: int, names: list[str]) -> None:
        """Go on with the oldest of the hosts that live in a place: a younger one was to replace it, and airs nothing yet."""
        for name in names[1:]:
            self._holder.adopt(name).signal(signal.SIGKILL)
        try:
            link = self._make_link(number, names[0])
        except SpawnError as error:
            log.warning("host_not_adopted", host=number, error=str(error))
            self._start_one(number)
            return
        host = self._hosts[number]
        host.link, host.is_ready, host.has_turned = link, False, True
        host.since_ns = host.turned_ns = time.monotonic_ns()
        host.patience.started()
        link.start()
        link.send("sync")
        self._loop.later(SYNC_S, lambda: self._end_if_deaf(number, link))

    def _end_if_deaf(self, number: int, link: Link) -> None:
        host = self._hosts[number]
        if host.link is link and not host.is_ready and not self._is_closing:
            log.error("host_deaf", host=number, consequence="it is ended; another goes on from its rings")
            link.child.signal(signal.SIGKILL)

    def _told(self, number: int, link: Link, message: Message) -> None:
        host = self._hosts[number]
        if link is not host.link:
            _close_all(message)
            return
        if message.kind == "progress":
            # A host whose heap or feeder stands still goes on telling: it is their own marks that must move.
            turned_ns = min(int(message.values["turned_ns"]), int(message.values["feeder_turned_ns"]))
            if turned_ns > host.turned_ns:
                host.turned_ns, host.looks, host.has_turned = turned_ns, 0, True
        elif message.kind == "synced":
            host.version = str(message.values["version"])
        elif message.kind == "led":
            link.send("quit")
        self._events.told(number, message)
        if message.kind == "synced" and not host.is_ready:
            host.is_ready = True
            log.info("host_adopted", host=number, channels=len(message.values["channels"]))
            self._events.started(number)
            if host.version != self._version:
                self.replace(number)

    def _watch(self) -> None:
        """End a host that lives and does not turn."""
        for number, host in enumerate(self._hosts):
            link = host.link
            if link is None or not host.is_ready:
                continue
            idle_s = (time.monotonic_ns() - host.turned_ns) / NS_PER_SECOND
            host.looks = host.looks + 1 if idle_s > (FROZEN_S if host.has_turned else STARTING_S) else 0
            if host.looks and host.looks % FROZEN_LOOKS == 0:
                log.error("host_frozen", host=number, pid=link.child.pid, idle_s=round(idle_s, 1), consequence="it is ended and replaced")
                host.is_condemned = True
                link.child.signal(signal.SIGKILL)
        if not self._is_closing:
            self._loop.later(WATCH_S, self._watch)

    def _gone(self, number: int, link: Link, reason: str) -> None:
        host = self._hosts[number]
        close_all([link], CLOSE_S)
        if host.successor is link:
            log.error("host_successor_ended", host=number, reason=reason)
            host.successor = None
            return
        if host.link is not link:
            return
        successor, host.link, host.successor, host.is_ready = host.successor, None, None, False
        if successor is None:
            log.error("host_ended", host=number, reason=reason)
        was_killed = link.child.poll() == -signal.SIGKILL and not host.is_condemned
        host.is_condemned = False
        lived_s = (time.monotonic_ns() - host.since_ns) / NS_PER_SECOND if successor is None else None
        self._events.lost(number, reason, lived_s, was_killed)
        if successor is not None:
            log.info("host_replaced", host=number, pid=successor.child.pid)
            self._enter(number, successor)
            return
        self._loop.later(host.patience.wait_s(), lambda: self._start_one(number))

    def replace(self, number: int) -> bool:
        """Have a host's channels go over to a new one without a gap; False when it is not there, or being replaced already."""
        host = self._hosts[number]
        link = host.link
        if link is None or host.successor is not None or not host.is_ready:
            return False
        try:
            host.successor = self._make_link(number)
        except SpawnError as error:
            log.error("host_not_replaced", host=number, error=str(error))
            return False
        link.send("lead", seconds=LEAD_S)
        self._loop.later(LED_S, lambda: self._quit(number, link))
        return True

    def _quit(self, number: int, link: Link) -> None:
        if self._hosts[number].link is link:
            link.send("quit")
            self._loop.later(CLOSE_S, lambda: link.child.signal(signal.SIGKILL))

    def change(self, *arguments: str, level: str) -> None:
        """Have every host log from another level on, and those that start later begin with other arguments."""
        self._arguments = arguments
        for link in self._links():
            link.send("log", level=level)

    # -- what channels and others ask ------------------------------------------------------------------------------

    def host_of(self, channel: str) -> int:
        """Which host a channel lives on."""
        return zlib.crc32(channel.encode()) % self.count

    def is_ready(self, channel: str) -> bool:
        """Whether the host of `channel` is there, and has told what it airs."""
        return self._hosts[self.host_of(channel)].is_ready

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool:
        """Send to the host of `channel`; False when it is not there."""
        link = self._hosts[self.host_of(values["channel"])].link
        return link.send(kind, fds, **values) if link is not None else False

    def listen(self, number: int, worker: int, heads: socket.socket) -> bool:
        """Have a host tell a media worker its heads."""
        link = self._hosts[number].link
        return link.send("heads", (heads.fileno(),), worker=worker) if link is not None else False

    def _links(self) -> list[Link]:
        return [link for host in self._hosts for link in (host.link, host.successor) if link is not None]

    def pids(self) -> dict[str, int]:
        """Name and pid of each living host."""
        return {_name(number): host.link.child.pid for number, host in enumerate(self._hosts) if host.link is not None}

    def leave(self) -> None:
        """Let every host live on without us."""
        self._is_closing = True
        leave_all(self._links())

    def close(self) -> None:
        """End every host."""
        self._is_closing = True
        close_all(self._links(), CLOSE_S)


def _name(number: int) -> str:
    """Of a place; each host in it has a name of its own behind this one."""
    return f"host:{number}"


def _close_all(message: Message) -> None:
    for fd in message.fds:
        os.close(fd)
