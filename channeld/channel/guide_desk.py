"""Keeps the programme guide in step with the channels, as two files that the media workers serve.

Rule: a channel's part is made again when its list, its settings or its state change, when what airs is not what the guide said, and
when it is old; the files are replaced whole, and not more often than their size allows. A guide that cannot be written stays as
it was, and is tried again. Runs on its own thread; supervisors are asked on the control loop, one channel at a time.
"""

import os
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from channeld.base.worker import Worker
from channeld.channel.events import EventLog
from channeld.channel.guide import PAST_S, Outlook, listed, look_out, programmes
from channeld.channel.guide_text import ListedChannel, Programme, m3u_entries, xmltv, xmltv_programmes
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.supervisor import Supervisor
from channeld.outputs.hls_store import CHANNELS_NAME, GUIDE_NAME
from channeld.store.questions import AiringFilter

TURN_S = 1.0
STALE_S = 60.0
ESTIMATE_STALE_S = 5.0
"""How old a part may grow: one that stands on lengths not known yet is made again soon."""
OFF_S = 1.0
"""How far what airs may be from what was told."""
REST = 20
"""Writing takes at most one part in so many of the time."""
MOST_PROGRAMMES = 30_000
FEWEST, MOST = 100, 3_000
"""Airings told one by one: of all channels together, of one channel at least and at most."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Part:
    """One channel's share of the guide: what it was made from, and when, by the monotonic clock."""

    mark: Hashable
    made_s: float
    serial: int
    is_estimated: bool
    told: list[Programme] = field(default_factory=list)
    xml: str = ""


@dataclass(frozen=True, slots=True)
class _Look:
    """A channel as it is now: what makes a new part of the guide necessary, and what airs since when."""

    channel: ListedChannel
    mark: Hashable
    serial: int
    entry: str | None
    started_s: float


class GuideDesk(Worker):
    """Writes GUIDE_NAME and CHANNELS_NAME into a folder."""

    def __init__(self, folder: Path, loop: ControlLoop, registry: Registry, events: EventLog) -> None:
        super().__init__("guide")
        self._folder = folder
        self._loop, self._registry, self._events = loop, registry, events
        self._parts: dict[str, _Part] = {}
        self._written: dict[str, str] = {}
        self._rests_until_s = 0.0
        self._problem: str | None = None

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.turn()
            except TimeoutError:
                log.warning("guide_late", reason="control has not answered")
            except Exception:  # a mistake in the guide must not end it for good; it is logged with its traceback
                log.exception("guide_not_made")
            self.stopping.wait(TURN_S)

    def turn(self) -> None:
        """Make again what is not as it was told, and write it. Raises TimeoutError."""
        looks = self._loop.call(lambda: [_look(supervisor) for supervisor in self._registry.channels.values()])
        limit = max(FEWEST, min(MOST, MOST_PROGRAMMES // max(1, len(looks))))
        self._parts = {look.channel.id: self._parts[look.channel.id] for look in looks if look.channel.id in self._parts}
        for look in looks:
            if self.stopping.is_set():
                return
            if self._is_due(look):
                self._make(look, limit)
        if time.monotonic() >= self._rests_until_s:
            self._write([look.channel for look in looks])

    def _is_due(self, look: _Look) -> bool:
        part = self._parts.get(look.channel.id)
        if part is None or part.mark != look.mark:
            return True
        if time.monotonic() - part.made_s > (ESTIMATE_STALE_S if part.is_estimated else STALE_S):
            return True
        if part.serial == look.serial:
            return False
        part.serial = look.serial
        return not any(each.entry == look.entry and abs(each.starts_s - look.started_s) < OFF_S for each in part.told)

    def _make(self, look: _Look, limit: int) -> None:
        supervisor = self._registry.channels.get(look.channel.id)
        if supervisor is None:
            return  # removed meanwhile
        outlook = self._loop.call(lambda: self._look_out(supervisor, limit))
        page = self._events.airings.lines(AiringFilter(look.channel.id, from_s=outlook.wall_s - PAST_S), limit)
        told = programmes(look.channel.name, page.rows, outlook)
        xml = xmltv_programmes(look.channel.id, told)
        self._parts[look.channel.id] = _Part(look.mark, time.monotonic(), look.serial, outlook.is_estimated, told, xml)

    def _look_out(self, supervisor: Supervisor, limit: int) -> Outlook:
        return look_out(supervisor, now_ns=time.monotonic_ns(), wall_s=time.time(), limit=limit)

    def _write(self, channels: list[ListedChannel]) -> None:
        began_s = time.monotonic()
        parts = (self._parts[channel.id].xml for channel in channels if channel.id in self._parts)
        for name, text in ((GUIDE_NAME, xmltv(channels, parts)), (CHANNELS_NAME, m3u_entries(channels))):
            if self._written.get(name) == text and (self._folder / name).exists():
                continue
            try:
                _replace(self._folder / name, text)
            except OSError as error:
                if self._problem != error.strerror:
                    self._problem = error.strerror
                    log.warning("guide_not_written", file=name, error=error.strerror, consequence="viewers get the one before")
                continue
            self._written[name], self._problem = text, None
        self._rests_until_s = time.monotonic() + REST * (time.monotonic() - began_s)


def _look(supervisor: Supervisor) -> _Look:
    rundown = supervisor.rundown
    now, queue = rundown.now, rundown.queue
    entry = None if now.planned is None else now.planned.entry.id
    mark = listed(supervisor.settings), supervisor.state, queue.revision, queue.insertions_waiting
    return _Look(mark[0], mark, now.serial, entry, now.started_wall_s)


def _replace(path: Path, text: str) -> None:
    # Not synced: after a power loss the daemon writes another before anybody asks. A fixed name: what is left of one is written over.
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)  # noqa: PTH105
