"""The processes that take live sources in, one for each source that a channel wants.

Rule: they belong to the holder and outlive control; one whose order is another now is replaced, one that nobody wants is ended, one that
died is started again after a back-off and told as lost meanwhile. What the dead left is removed, at the start and each `cleanup_s`.
Control loop's thread.
"""

import contextlib
import hashlib
import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from channeld.base.errors import SpawnError
from channeld.base.wire import Message
from channeld.channel.fork_server import ForkServer
from channeld.channel.link import Link, close_all, leave_all, wire_name
from channeld.channel.loop import ControlLoop
from channeld.channel.patience import Patience
from channeld.channel.source_folders import sweep
from channeld.channel.standstill import StandstillWatch
from channeld.process.holding import Holding
from channeld.sources.spec import Reason, SourceState

MODULE = "channeld.sources.ingest"
PREFIX = "source:"
CLOSE_S = 2.0
SETTLE_S = 30.0
"""How long channels may take after a start to want the sources that an earlier control left."""

log = structlog.get_logger()
Told = Callable[[str, str, str, dict[str, Any]], None]


@dataclass(slots=True)
class _Place:
    """One source of one channel: what is wanted of it, and who does it."""

    order: dict[str, Any] = field(repr=False)
    name: str
    yields: bool
    link: Link | None = None
    trouble: str = ""
    patience: Patience = field(default_factory=Patience)


class SourceHub:
    """All of them, at most `limit` processes. `told(channel, source, kind, values)` is connected before anything is wanted.

    Below `folder` each source has one of its own, best on a tmpfs.
    """

    def __init__(
        self,
        *,
        loop: ControlLoop,
        holder: Holding,
        arguments: tuple[str, ...],
        version: str,
        limit: int,
        folder: Path,
        cleanup_s: float = 30.0,
    ) -> None:
        self._loop, self._holder = loop, holder
        self.folder = folder
        self._arguments, self._version = arguments, version
        self.limit, self._cleanup_s = limit, cleanup_s
        self.told: Told = lambda channel, source, kind, values: None
        self._places: dict[tuple[str, str], _Place] = {}
        self._left: set[str] = set()
        self._ending: set[tuple[str, str]] = set()
        self._is_closing = False
        self._forks = ForkServer(MODULE, loop=loop, holder=holder, version=version)
        self._standstill = StandstillWatch(loop, self._living)

    def start(self) -> None:
        """Know what an earlier control left; what nobody wants soon is ended, and what the dead left is removed."""
        self._forks.adopt()
        self._left = {child.name for child in self._holder.held().children if child.name.startswith(PREFIX)}
        self._loop.later(SETTLE_S, self._end_left)
        self._clean()
        self._standstill.start()

    def _clean(self) -> None:
        """Remove what is left of those that are gone, now and later."""
        if self._is_closing:
            return
        self._loop.later(self._cleanup_s, self._clean)
        self._sweep()

    def _sweep(self) -> None:
        living = {name.removeprefix(PREFIX).rpartition(":")[0] for name in self._left}
        used = living | {f"{channel}/{source}" for channel, source in (*self._places, *self._ending)}
        if files := sweep(self.folder, used):
            log.info("source_leftovers_removed", folder=str(self.folder), files=files)

    def folder_of(self, channel: str, source: str) -> Path:
        """Where the newest of a source is kept."""
        return self.folder / channel / source

    def _end_left(self) -> None:
        for name in list(self._left):
            log.info("source_process_unwanted", process=name)
            self._end_orphan(name)

    def _end_orphan(self, name: str) -> None:
        """Of an earlier control, and wanted no more as it is. Never waits."""
        self._left.discard(name)
        with contextlib.suppress(KeyError):  # it may have ended meanwhile
            child = self._holder.adopt(name)
            child.signal(signal.SIGKILL)
            self._holder.release(wire_name(child))

    def change(self, *, arguments: tuple[str, ...], limit: int, cleanup_s: float = 30.0) -> None:
        """Processes that start later have other arguments, and there may be more or fewer of them."""
        self._arguments, self.limit, self._cleanup_s = arguments, limit, cleanup_s

    def want(self, channel: str, orders: Sequence[dict[str, Any]], *, yields: bool = False) -> None:
        """Have just these sources of a channel taken in; an order is a SourceSpec's message. `yields`: see SourcePort."""
        wanted = {(channel, str(order["name"])): order for order in orders}
        for key in [key for key in self._places if key[0] == channel and key not in wanted]:
            self._end(key)
        for key, order in wanted.items():
            name = self._name(key, order)
            place = self._places.get(key)
            if place is not None and place.name == name:
                place.yields = yields
                continue
            if place is not None:
                self._end(key)
            self._places[key] = _Place(order, name, yields)
            self._start(key)

    def _name(self, key: tuple[str, str], order: dict[str, Any]) -> str:
        text = json.dumps([order, self._version], sort_keys=True)
        return f"{PREFIX}{key[0]}/{key[1]}:{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"

    def _start(self, key: tuple[str, str]) -> None:
        place = self._places.get(key)
        if place is None or place.link is not None or self._is_closing:
            return
        adopts = place.name in self._left
        for name in [name for name in self._left if name.startswith(f"{PREFIX}{key[0]}/{key[1]}:") and name != place.name]:
            self._end_orphan(name)  # many a camera has room for one
        if not adopts and self._is_full() and not place.yields:
            self._make_room()
        if not adopts and self._is_full():
            detail = f"all {self.limit} source processes are in use (relay.max_concurrent_processes)"
            self._lost(key, detail if self.limit else "the relay is switched off (relay.enabled)")
            self._again(key, place)
            return
        if not adopts:
            self._forks.note_start()
        try:
            link = place.link = self._make_link(key, place, adopts=adopts)
        except SpawnError as error:
            self._left.discard(place.name)
            self._lost(key, str(error))
            self._again(key, place)
            return
        self._left.discard(place.name)
        place.patience.started()
        link.start()
        if adopts:
            link.send("sync")
        else:
            link.send("open", **place.order)

    def _living(self) -> list[Link]:
        return [] if self._is_closing else [place.link for place in self._places.values() if place.link is not None]

    def _is_full(self) -> bool:
        return sum(each.link is not None for each in self._places.values()) >= self.limit

    def _make_room(self) -> None:
        """The one that came last of those that are there for whoever watches gives way; it tries again, as any other."""
        for key, place in reversed(self._places.items()):
            if place.yields and place.link is not None and self.limit:
                link, place.link = place.link, None
                self._part(link)
                log.warning("source_gave_way", channel=key[0], source=key[1], limit=self.limit)
                self._lost(key, "its place was needed by a source that is always wanted (relay.max_concurrent_processes)")
                self._again(key, place)
                return

    def _make_link(self, key: tuple[str, str], place: _Place, *, adopts: bool) -> Link:
        made: list[Link] = []
        link = Link(
            place.name,
            MODULE,
            holder=self._holder,
            on_message=lambda message: self._loop.post(lambda: self._heard(key, made[0], message)),
            on_gone=lambda reason: self._loop.post(lambda: self._gone(key, made[0], reason)),
            arguments=self._arguments,
            adopt=adopts,
            forked_by=self._forks.name,
        )
        made.append(link)
        return link

    def _heard(self, key: tuple[str, str], link: Link, message: Message) -> None:
        place = self._places.get(key)
        if place is not None and place.link is link:
            if message.kind == "source" and message.values.get("state") == SourceState.LIVE.value:
                place.trouble = ""
            self.told(*key, message.kind, message.values)

    def _gone(self, key: tuple[str, str], link: Link, reason: str) -> None:
        close_all([link], CLOSE_S)
        place = self._places.get(key)
        if place is None or place.link is not link:
            return
        place.link = None
        log.error("source_process_ended", channel=key[0], source=key[1], reason=reason)
        self._lost(key, "the process that takes it in ended")
        self._again(key, place)

    def _again(self, key: tuple[str, str], place: _Place) -> None:
        def start() -> None:
            if self._places.get(key) is place:
                self._start(key)

        self._loop.later(place.patience.wait_s(), start)

    def _lost(self, key: tuple[str, str], detail: str) -> None:
        """Tell it, once for as long as it stays so."""
        place = self._places[key]
        if place.trouble == detail:
            return
        place.trouble = detail
        facts = {"since": time.time(), "since_ns": time.monotonic_ns(), "clip": None}
        self.told(*key, "source", {"state": SourceState.LOST.value, "reason": Reason.OTHER.value, "detail": detail, **facts})

    def _end(self, key: tuple[str, str]) -> None:
        place = self._places.pop(key)
        if place.link is not None:
            self._part(place.link)
        self._ending.add(key)

        def clear() -> None:
            self._ending.discard(key)
            self._sweep()

        # Not at once: what of it is on air is read by open descriptors, but what is planned is opened by its name.
        self._loop.later(CLOSE_S + CLOSE_S / 4, clear)

    def _part(self, link: Link) -> None:
        """Ask it to end, and see to it without waiting: its end breaks the wire, which is told as `_gone`, and that closes the link."""
        link.send("quit")
        self._loop.later(CLOSE_S, lambda: link.child.signal(signal.SIGKILL))  # nothing happens where it is gone, as it should be

    def pids(self) -> dict[tuple[str, str], int]:
        """Of each process, by channel and source."""
        return {key: place.link.child.pid for key, place in self._places.items() if place.link is not None}

    def leave(self) -> None:
        """Let all live on without us."""
        self._is_closing = True
        self._forks.close()
        leave_all(place.link for place in list(self._places.values()) if place.link is not None)

    def close(self) -> None:
        """End all."""
        self._is_closing = True
        self._forks.close()
        links = [place.link for place in list(self._places.values()) if place.link is not None]
        for link in links:
            link.send("quit")
        close_all(links, CLOSE_S)
