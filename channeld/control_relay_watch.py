"""Looks at every channel of live sources each few seconds: what comes in, who watches, what it costs; and writes down how relays stand.

Rule: what is read of channels is read at one moment on the control loop, processes are looked at by this thread alone; nobody who asks
waits for either. Owns the thread `relays:watch`. Nothing on air depends on it.
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import structlog

from channeld.base.errors import StoreError
from channeld.base.relay_id import channel_of, config_of
from channeld.base.worker import Worker
from channeld.channel.disk import Room
from channeld.channel.events import EventLog
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.source_hub import SourceHub
from channeld.channel.state import State
from channeld.daemon_relays import RelayChannels
from channeld.store.relay_records import RelayStatus

LOOK_S = 2.0
SAVE_S = 6.0
HOUR_S = 3_600.0
MAX_LOSSES = 10_000
KEPT_EVENTS = frozenset({"source_state", "channel_state", "channel_degraded", "channel_recovered"})
_OFF = frozenset({State.STOPPED.value, State.FAILED.value})
_LOST = ("source_state", "lost")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seen:
    """One channel of live sources at one moment. `cpu_s`, `memory_bytes`: of the processes that take them in; rates since the last look."""

    channel: str
    name: str
    state: str
    at_s: float
    started_at_s: float | None = None
    bytes: int = 0
    bitrate_bps: int = 0
    clients: int = 0
    restarts: int = 0
    pids: tuple[int, ...] = ()
    cpu_s: float | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    source: str | None = None
    error: str | None = None


class RelayWatch(Worker):
    """`seen` (by channel), `machine_cpu_percent`, `processes` and `disk` (None: it cannot be looked at) are replaced at each look."""

    def __init__(self, loop: ControlLoop, registry: Registry, sources: SourceHub, events: EventLog, stage: RelayChannels) -> None:
        super().__init__("relays:watch")
        self._loop, self._registry, self._sources, self._events = loop, registry, sources, events
        self._stage, self._relays = stage, stage.relays
        self.seen: Mapping[str, Seen] = {}
        self.machine_cpu_percent = 0.0
        self.processes = 0
        self.disk: Room | None = None
        self._saved: dict[str, RelayStatus] = {}
        self._losses: dict[str, deque[float]] = {}
        self._counts: dict[str, int] = {}

    def run(self) -> None:
        unfollow = self._events.follow(self._told, None)
        try:
            began = self._began()
            next_save_s = 0.0
            while not self.stopping.is_set():
                self._look(began)
                began = {}
                if time.monotonic() >= next_save_s:
                    next_save_s = time.monotonic() + SAVE_S
                    self._save()
                self.stopping.wait(LOOK_S)
        finally:
            unfollow()

    def losses(self, channel: str) -> tuple[int, int]:
        """How often its sources were lost: since the daemon began, and within the last hour. Any thread."""
        since_s = time.monotonic() - HOUR_S
        return self._counts.get(channel, 0), sum(at_s > since_s for at_s in tuple(self._losses.get(channel, ())))

    def _began(self) -> dict[str, float]:
        """When those began that an earlier control left on air."""
        try:
            statuses = self._relays.statuses().values()
            return {channel_of(each.config_id): each.started_at_s for each in statuses if each.started_at_s is not None}
        except StoreError as error:
            log.warning("relay_statuses_not_read", error=str(error))
            return {}

    def _told(self, event: dict[str, Any]) -> None:
        """An event, in the thread of whoever publishes; must not wait."""
        channel = str(event.get("channel", ""))
        if (event["kind"], event.get("state")) == _LOST:
            self._counts[channel] = self._counts.get(channel, 0) + 1
            self._losses.setdefault(channel, deque(maxlen=MAX_LOSSES)).append(time.monotonic())
        config_id = config_of(channel)
        if config_id is None or event["kind"] not in KEPT_EVENTS:
            return
        facts = {key: value for key, value in event.items() if key not in ("id", "kind", "at", "channel")}
        self._relays.add_event(config_id, event["kind"], facts)

    # -- looking ------------------------------------------------------------------------------------------------

    def _look(self, began: Mapping[str, float]) -> None:
        try:
            self.machine_cpu_percent = psutil.cpu_percent()  # since it was asked last, by this thread alone
            self.disk = _room(self._sources.folder)
            if not self._stage.is_read:
                self._stage.follow()  # the store was not there when the daemon started
            found = self._loop.call(self._read)
        except (TimeoutError, OSError):
            return  # control is busy, or no descriptor free: what was seen last stays
        self.seen = {each.channel: self._compared(each, began.get(each.channel)) for each in found}

    def _read(self) -> list[Seen]:
        """Control loop's thread."""
        now_s, pids = time.time(), self._sources.pids()
        self.processes = len(pids)
        found = []
        for channel, supervisor in self._registry.channels.items():
            sources = supervisor.director.sources.describe()
            if not sources:
                continue
            on_air = next((source["name"] for source in sources if source["on_air"]), None)
            found.append(
                Seen(
                    channel,
                    supervisor.settings.name,
                    supervisor.state.value,
                    now_s,
                    bytes=sum(source["bytes"] for source in sources),
                    clients=sum(int(output.get("clients") or 0) for output in supervisor.outputs.describe()),
                    restarts=sum(max(0, source["attempts"] - 1) for source in sources),
                    pids=tuple(pids[key] for source in sources if (key := (channel, source["name"])) in pids),
                    source=on_air,
                    error=_error(sources[0]) or supervisor.last_error,
                )
            )
        return found

    def _compared(self, seen: Seen, began_s: float | None) -> Seen:
        """With what follows of the look before."""
        before = self.seen.get(seen.channel)
        usage = _usage(seen.pids) if seen.pids else None
        cpu_s, memory = usage if usage is not None else (None, None)
        is_on = seen.state not in _OFF
        was_on = before is not None and before.state not in _OFF
        started_at_s = None if not is_on else before.started_at_s if before is not None and was_on else began_s or seen.at_s
        seen = replace(seen, cpu_s=cpu_s, memory_bytes=memory, started_at_s=started_at_s)
        if before is None or seen.at_s <= before.at_s:
            return seen
        passed_s = seen.at_s - before.at_s
        if before.pids == seen.pids and cpu_s is not None and before.cpu_s is not None:
            seen = replace(seen, cpu_percent=round(max(0.0, cpu_s - before.cpu_s) / passed_s * 100, 1))
        return replace(seen, bitrate_bps=round(max(0, seen.bytes - before.bytes) * 8 / passed_s))

    def _save(self) -> None:
        for known in (self._saved, self._losses, self._counts):
            for channel in [channel for channel in list(known) if channel not in self._registry.channels]:
                known.pop(channel, None)  # it is removed, and its number is not given again
        relays = self._stage.ids
        for each in self.seen.values():
            config_id = config_of(each.channel) if each.channel in relays else None
            if config_id is None:
                continue
            status = RelayStatus(
                config_id,
                each.state,
                next(iter(each.pids), None),
                each.started_at_s,
                each.at_s,
                each.bytes,
                each.clients,
                each.source,
                each.restarts,
                each.error,
            )
            before = self._saved.get(each.channel)
            if each.state in _OFF and before is not None and replace(before, last_seen_s=each.at_s) == status:
                continue  # of what is off there is no news
            self._saved[each.channel] = status
            self._relays.save_status(status)


def _error(source: Mapping[str, Any]) -> str | None:
    """Why a source is lost."""
    if source["state"] != "lost":
        return None
    return ": ".join(str(source[key]) for key in ("reason", "detail") if source[key])


def _room(folder: Path) -> Room | None:
    """What is free where sources are kept; None where there is no such folder yet, or it cannot be looked at."""
    try:
        return Room.of(folder)
    except OSError:
        return None


def _usage(pids: Iterable[int]) -> tuple[float, int] | None:
    """CPU seconds and resident bytes of processes and all below them; None where one is gone."""
    try:
        roots = [psutil.Process(pid) for pid in pids]
        family = [process for root in roots for process in (root, *root.children(recursive=True))]
    except psutil.Error:
        return None
    cpu_s, resident = 0.0, 0
    for process in family:
        try:
            with process.oneshot():
                times = process.cpu_times()
                cpu_s += times.user + times.system
                resident += process.memory_info().rss
        except psutil.Error:
            continue
    return cpu_s, resident
