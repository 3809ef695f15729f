"""The media workers of the daemon: who serves what, and what they tell.

Rule: a worker that ends is started again after a back-off; one that lives already and runs our code is adopted, and told again
all that it should do, which changes nothing where it does so already. One of other code serves until its successor is loaded.
Control loop's thread.
"""

import os
import signal
import socket
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.base.errors import SpawnError
from channeld.base.wire import Message
from channeld.channel.alarms import Alarms
from channeld.channel.audience import Audience, Inquiry
from channeld.channel.elders import Elders
from channeld.channel.host_hub import HostHub
from channeld.channel.link import Link, close_all, leave_all
from channeld.channel.loop import ControlLoop
from channeld.channel.media_alarms import clear_output, tell_cap, tell_certificate, tell_geoip, tell_output
from channeld.channel.origin import Origin, origin_of
from channeld.channel.output_set import order_of, packaged_of
from channeld.channel.patience import Patience
from channeld.channel.settings import ServedTarget
from channeld.outputs.hls_store import PackagingType
from channeld.outputs.http_ts import Limits
from channeld.process.holding import Holding
from channeld.store.records import HlsPosition
from channeld.store.store import Store

SILENT_S = 4.0
"""Every worker says once a second that it lives."""
CLOSE_S = 1.5
"""How long a child may take to end by itself when the daemon ends."""
MOST_LEAVING = 1000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MediaListener:
    """What media workers are configured with; see api.media_messages."""

    listen: str
    workers: int
    hls_dir: str
    hls_max_bytes: int | None
    access: str
    token: str | None
    tls: dict[str, str] | None
    limits: Limits = field(default_factory=Limits)
    geoip: str | None = None


class MediaHub:
    """All media workers: who serves what, and what they tell. Implements OutputSet's MediaPort.

    HLS and DASH of a channel are packaged by one worker (its files are served by all); HTTP-TS is served by every one.
    """

    def __init__(
        self,
        listener: MediaListener,
        *,
        loop: ControlLoop,
        holder: Holding,
        hosts: HostHub,
        level: str,
        version: str = "",
        alarms: Alarms | None = None,
        numbers: Store | None = None,
    ) -> None:
        self.audience = Audience()
        self.watched: Callable[[Sequence[str]], None] = lambda channels: None
        self._version = version
        self._numbers = numbers
        self._listener = listener
        self._alarms = alarms
        self._loop = loop
        self._holder = holder
        self._hosts = hosts
        self._level = level
        self._elders = Elders(loop, holder)
        self.links: dict[int, Link] = {}
        self._patience = [Patience() for _ in range(listener.workers)]
        self._rings: dict[str, tuple[int, int]] = {}
        self._served: dict[str, Sequence[ServedTarget]] = {}
        self._states: dict[tuple[str, str], dict[str, Any]] = {}
        self._keys: list[tuple[str, float | None]] = []
        self._certificate_error: str | None = None
        self._leaving: dict[tuple[str, PackagingType], float] = {}
        self._is_closing = False
        self.port: int | None = None
        self.problem: str | None = None

    def start(self) -> None:
        """Adopt every worker that lives and runs our code, start what is missing, and then end those of other code."""
        names = [f"media:{number}:{self._version}" for number in range(self._listener.workers)]
        living = {child.name for child in self._holder.held().children if child.name.startswith("media:")}
        self._elders.adopt(living.difference(names))
        for number, name in enumerate(names):
            self._start_one(number, adopt=name in living)

    def _start_one(self, number: int, *, adopt: bool = False) -> None:
        if self._is_closing:
            return
        try:
            link = Link(
                f"media:{number}:{self._version}",
                "channeld.api.media_worker",
                holder=self._holder,
                on_message=lambda message: self._loop.post(lambda: self._told(number, message)),
                on_gone=lambda reason: self._loop.post(lambda: self._gone(number, reason)),
                arguments=("--log-level", self._level),
                farewell="stop",
                adopt=adopt,
            )
        except SpawnError as error:
            self._retry(number, str(error))
            return
        self._patience[number].started()
        link.start()
        if self._elders:
            self._elders.successors[number] = link
        else:
            self._enter(number, link)

    def _enter(self, number: int, link: Link) -> None:
        """Tell a worker all that it should do."""
        self.links[number] = link
        self._configure(number, link)
        for host in self._hosts_in_use():
            self._join_heads(number, host)
        for channel in self._served:
            self._order(channel, number)
        for (channel, packaging), keep_s in self._leaving.items():
            if number == self._packager_of(channel):
                link.send("clean", channel=channel, type=packaging, keep_s=keep_s)

    def _enter_successors(self) -> None:
        while self._elders.successors:
            self._enter(*self._elders.successors.popitem())

    def _configure(self, number: int, link: Link) -> None:
        values = self._listener
        link.send(
            "configure",
            listen=values.listen,
            hls_dir=values.hls_dir,
            hls_max_bytes=self.cap_of(number),
            access=values.access,
            token=values.token,
            tls=values.tls,
            reuse_port=values.workers > 1,
            log_level=self._level,
            limits=asdict(values.limits),
            geoip=values.geoip,
        )
        self._tell_keys(link)

    def _tell_keys(self, link: Link) -> None:
        if self._listener.token is not None:
            link.send("viewers", keys=self._keys)

    def admit(self, keys: Sequence[tuple[str, float | None]]) -> None:
        """Whose tokens open the listener from now on, where it needs one: digests, and when each ends (seconds since 1970)."""
        self._keys = list(keys)
        for link in self.links.values():
            self._tell_keys(link)

    def change(self, listener: MediaListener, level: str) -> None:
        """Have every worker take another access, token, cap, certificate or log level; the rest must be as it was."""
        self._listener, self._level = listener, level
        for number, link in self.links.items():
            self._configure(number, link)

    def cap_of(self, number: int) -> int | None:
        """A worker's part of the cap on all HLS, in bytes: by the channels that it packages, for none counts what others write."""
        cap, workers = self._listener.hls_max_bytes, self._listener.workers
        if cap is None or workers == 1:
            return cap
        packaged = [self._packager_of(channel) for channel, targets in self._served.items() if packaged_of(targets)]
        return max(1, cap * packaged.count(number) // len(packaged)) if packaged else cap // workers

    def _tell_caps(self) -> None:
        if self._listener.workers > 1 and self._listener.hls_max_bytes is not None:
            for number, link in list(self.links.items()):
                link.send("cap", max_bytes=self.cap_of(number))

    def _hosts_in_use(self) -> set[int]:
        """Hosts of channels that are served: a worker is not woken for what it need not know."""
        return {self._hosts.host_of(channel) for channel in self._served}

    def host_started(self, host: int) -> None:
        """A host is there (again): have it tell every worker its heads."""
        if host not in self._hosts_in_use():
            return
        for number in self.links:
            self._join_heads(number, host)

    def _join_heads(self, number: int, host: int) -> None:
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ours:
            if self._hosts.listen(host, number, theirs):
                self.links[number].send("heads", (ours.fileno(),), host=host)

    def _gone(self, number: int, reason: str) -> None:
        link = self.links.pop(number, None) or self._elders.successors.pop(number, None)
        if link is not None:
            close_all([link], CLOSE_S)
        self.audience.lost(number)
        for state in self._states.values():
            state.update(state="retrying", last_error=reason, since=iso_utc(time.time()), restarts=state["restarts"] + 1)
        self._retry(number, reason)

    def _retry(self, number: int, reason: str) -> None:
        self.problem = reason
        log.error("media_worker_ended", worker=number, reason=reason)
        self._loop.later(self._patience[number].wait_s(), lambda: self._start_one(number))

    def _told(self, number: int, message: Message) -> None:
        values = message.values
        if number in self._elders.successors:
            self._elders.end(self._enter_successors)  # its first word: what it runs is loaded
        if message.kind in ("audience", "clients", "attendance"):
            self.audience.take(number, message.kind, values)
        elif message.kind == "geoip" and self._alarms is not None:
            tell_geoip(self._alarms, values["error"])
        elif message.kind == "watched":
            self.watched(values["channels"])
        elif message.kind == "ready":
            self.port, self.problem = values["port"], None
            log.info("media_listening", port=self.port)
        elif message.kind == "failed" and values.get("output") is None:
            self.problem = str(values.get("error"))
            log.error("media_order_failed", channel=values.get("channel"), error=self.problem)
        elif message.kind == "cap" and self._alarms is not None:
            tell_cap(self._alarms, values, "hls" if self._listener.workers == 1 else f"hls/media:{number}")
        elif message.kind == "certificate":
            self._certificate_error = values["error"]
            if self._alarms is not None:
                tell_certificate(self._alarms, "media", values["error"])
        elif message.kind in ("progress", "recovered", "failed"):
            state = self._states.get((values["channel"], values["output"]))
            if state is None:
                return  # withdrawn meanwhile
            state["last_error"] = values.get("error", state["last_error"])
            now = "retrying" if message.kind == "failed" else "up"
            if self._alarms is not None and (now == "retrying" or state["state"] != now):
                tell_output(self._alarms, values, failed=now == "retrying")
            if state["state"] != now:
                state.update(state=now, since=iso_utc(time.time()))
            state |= {name: values[name] for name in ("media_sequence", "segment_wait_s") if name in values}
            if "media_sequence" in values:
                state["published_at"] = iso_utc(values["published_wall_s"])
            if self._numbers is not None and "discontinuity_sequence" in values:
                names = values["channel"], values["output"]
                self._numbers.save_hls(HlsPosition(*names, values["media_sequence"], values["discontinuity_sequence"]))

    def ring(self, channel: str, ring_id: int, fd: int) -> None:
        """A channel's ring; the descriptor is owned here from now on."""
        if self.has_ring(channel, ring_id):
            os.close(fd)  # another host goes on with it: readers need not know
            return
        self.forget_ring(channel)
        self._rings[channel] = (ring_id, fd)
        if channel in self._served:
            for number in self.links:
                self._order(channel, number)

    def has_ring(self, channel: str, ring_id: int) -> bool:
        """This ring of the channel is known."""
        return channel in self._rings and self._rings[channel][0] == ring_id

    def forget_ring(self, channel: str) -> None:
        """The channel's ring is gone."""
        held = self._rings.pop(channel, None)
        if held is not None:
            os.close(held[1])

    def serve(self, channel: str, targets: Sequence[ServedTarget]) -> None:
        host = self._hosts.host_of(channel)
        is_host_new = host not in self._hosts_in_use()
        before = list(self._served.get(channel, ()))
        self._served[channel] = targets
        for packaging in packaged_of(targets):
            self._leaving.pop((channel, packaging), None)
        for gone in before:
            if gone not in targets:
                self._states.pop((channel, gone.name), None)
                if self._alarms is not None:
                    clear_output(self._alarms, channel, gone.name)
        for target in targets:
            self._states.setdefault((channel, target.name), _fresh("starting"))
        for number in self.links:
            if is_host_new:
                self._join_heads(number, host)
            self._order(channel, number)
        self._tell_caps()

    def _order(self, channel: str, number: int) -> None:
        ring = self._rings.get(channel)
        if ring is None:
            return
        wanted = (target for target in self._served[channel] if target.type == "ts" or self._packager_of(channel) == number)
        load = self._numbers.load_hls if self._numbers is not None else lambda channel, output: None
        outputs = [order_of(target, load(channel, target.name)) for target in wanted]
        host = self._hosts.host_of(channel)
        self.links[number].send("channel", (ring[1],), channel=channel, ring_id=ring[0], host=host, outputs=outputs)

    def withdraw(self, channel: str) -> None:
        if self._served.pop(channel, None) is None:
            return
        for key in [key for key in self._states if key[0] == channel]:
            del self._states[key]
            if self._alarms is not None:
                clear_output(self._alarms, *key)
        for link in list(self.links.values()):
            link.send("remove", channel=channel)
        self._tell_caps()

    def clean(self, channel: str, packaging: PackagingType, *, keep_s: float) -> None:
        if len(self._leaving) >= MOST_LEAVING:
            del self._leaving[next(iter(self._leaving))]  # cleaned long ago
        self._leaving[channel, packaging] = keep_s
        if (link := self.links.get(self._packager_of(channel))) is not None:  # who would make them again is who knows when it does
            link.send("clean", channel=channel, type=packaging, keep_s=keep_s)

    def state(self, channel: str, output: str) -> dict[str, Any]:
        state = dict(self._states.get((channel, output), _fresh("stopped")))
        is_stream = any(target.name == output and target.type == "ts" for target in self._served.get(channel, ()))
        return {**state, "clients": self.audience.clients(channel, output)} if is_stream else state

    def ask_clients(self, channel: str, most: int) -> Inquiry:
        """Ask every worker for the channel's clients, `most` of them."""
        inquiry = self.audience.inquire(list(self.links))
        for link in list(self.links.values()):
            link.send("clients", request=inquiry.number, channel=channel, most=most)
        return inquiry

    def origin(self) -> Origin | None:
        """Where this machine reaches what the workers serve; None before they listen."""
        listener = self._listener
        return origin_of(listener.listen, self.port, listener.token, listener.tls) if self.port is not None else None

    def order_again(self, channel: str) -> None:
        """Have the workers begin with a channel anew: what they listed goes on, from the ring as it is now."""
        if channel in self._served:
            for number, link in list(self.links.items()):
                link.send("remove", channel=channel)
                self._order(channel, number)

    def restart_hanging(self, channel: str) -> None:
        """Kill the workers that say nothing any more, else the one that packages the channel; each comes back after its back-off."""
        # Without a certificate that can be used its successor would not listen: what serves with the old one is left.
        for number in self.silent() or ([] if self._certificate_error else [self._packager_of(channel)]):
            if number in self.links:
                self.links[number].child.signal(signal.SIGKILL)

    def silent(self) -> list[int]:
        """The workers that have said nothing for SILENT_S."""
        then_ns = time.monotonic_ns() - round(SILENT_S * NS_PER_SECOND)
        return [number for number, link in self.links.items() if link.heard_ns < then_ns]

    def _packager_of(self, channel: str) -> int:
        return zlib.crc32(channel.encode()) % max(1, self._listener.workers)

    def pids(self) -> dict[str, int]:
        """Name and pid of each living worker."""
        return {f"media:{number}": link.child.pid for number, link in list(self.links.items())}

    def leave(self) -> None:
        """Let every worker live on without us."""
        self._is_closing = True
        leave_all([*self.links.values(), *self._elders.successors.values()])
        self._elders.successors.clear()
        for channel in list(self._rings):
            self.forget_ring(channel)

    def close(self) -> None:
        """End every worker."""
        self._is_closing = True
        self._elders.signal(signal.SIGINT)
        close_all([*self.links.values(), *self._elders.successors.values()], CLOSE_S)
        self.links.clear()
        self._elders.successors.clear()
        for channel in list(self._rings):
            self.forget_ring(channel)


def _fresh(state: str) -> dict[str, Any]:
    return {"state": state, "since": iso_utc(time.time()), "restarts": 0, "last_error": None}
