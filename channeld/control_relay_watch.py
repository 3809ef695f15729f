"""Looks at every relay each few seconds: what comes in, who watches, what it costs; and writes down how it stands.

Rule: what is read of channels is read at one moment on the control loop, processes are looked at by this thread alone; nobody who asks
waits for either. Owns the thread `relays:watch`. Nothing on air depends on it.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import psutil
import structlog

from channeld.base.errors import StoreError
from channeld.base.relay_id import config_of
from channeld.base.worker import Worker
from channeld.channel.events import EventLog
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.relayed import SOURCE
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
    """One relay at one moment. `cpu_s` and `memory_bytes` of the processes that take its upstream in; rates since the look before."""

    config_id: int
    name: str
    state: str
    at_s: float
    started_at_s: float | None = None
    bytes: int = 0
    bitrate_bps: int = 0
    clients: int = 0
    restarts: int = 0
    pid: int | None = None
    cpu_s: float | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    source: str | None = None
    error: str | None = None


class RelayWatch(Worker):
    """`seen` and `machine_cpu_percent` are replaced at each look."""

    def __init__(self, loop: ControlLoop, registry: Registry, sources: SourceHub, events: EventLog, stage: RelayChannels) -> None:
        super().__init__("relays:watch")
        self._loop, self._registry, self._sources, self._events = loop, registry, sources, events
        self._stage, self._relays = stage, stage.relays
        self.seen: Mapping[int, Seen] = {}
        self.machine_cpu_percent = 0.0
        self._saved: dict[int, RelayStatus] = {}
        self._losses: dict[int, deque[float]] = {}
        self._counts: dict[int, int] = {}

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

    def losses(self, config_id: int) -> tuple[int, int]:
        """How often its upstream was lost: since the daemon began, and within the last hour. Any thread."""
        since_s = time.monotonic() - HOUR_S
        return self._counts.get(config_id, 0), sum(at_s > since_s for at_s in tuple(self._losses.get(config_id, ())))

    def _began(self) -> dict[int, float]:
        """When those began that an earlier control left on air."""
        try:
            return {each.config_id: each.started_at_s for each in self._relays.statuses().values() if each.started_at_s is not None}
        except StoreError as error:
            log.warning("relay_statuses_not_read", error=str(error))
            return {}

    def _told(self, event: dict[str, Any]) -> None:
        """An event, in the thread of whoever publishes; must not wait."""
        config_id = config_of(str(event.get("channel", "")))
        if config_id is None or event["kind"] not in KEPT_EVENTS:
            return
        if (event["kind"], event.get("state")) == _LOST:
            self._counts[config_id] = self._counts.get(config_id, 0) + 1
            self._losses.setdefault(config_id, deque(maxlen=MAX_LOSSES)).append(time.monotonic())
        facts = {key: value for key, value in event.items() if key not in ("id", "kind", "at", "channel")}
        self._relays.add_event(config_id, event["kind"], facts)

    # -- looking ------------------------------------------------------------------------------------------------

    def _look(self, began: Mapping[int, float]) -> None:
        self.machine_cpu_percent = psutil.cpu_percent()  # since it was asked last, by this thread alone
        try:
            if not self._stage.is_read:
                self._stage.follow()  # the store was not there when the daemon started
            found = self._loop.call(self._read)
        except TimeoutError:
            return  # control is busy: what was seen last stays
        self.seen = {each.config_id: self._compared(each, began.get(each.config_id)) for each in found}

    def _read(self) -> list[Seen]:
        """Control loop's thread."""
        now_s, pids = time.time(), self._sources.pids()
        found = []
        for channel, supervisor in self._registry.channels.items():
            config_id = config_of(channel)
            source = next(iter(supervisor.director.sources.describe()), None)
            if config_id is None or source is None or source["name"] != SOURCE:
                continue
            error = ": ".join(str(source[key]) for key in ("reason", "detail") if source[key]) if source["state"] == "lost" else None
            seen = Seen(config_id, supervisor.settings.name, supervisor.state.value, now_s)
            found.append(
                replace(
                    seen,
                    bytes=source["bytes"],
                    clients=sum(int(output.get("clients") or 0) for output in supervisor.outputs.describe()),
                    restarts=max(0, source["attempts"] - 1),
                    pid=pids.get((channel, SOURCE)),
                    source=SOURCE if source["on_air"] else None,
                    error=error or supervisor.last_error,
                )
            )
        return found

    def _compared(self, seen: Seen, began_s: float | None) -> Seen:
        """With what follows of the look before."""
        before = self.seen.get(seen.config_id)
        usage = None if seen.pid is None else _usage(seen.pid)
        cpu_s, memory = usage if usage is not None else (None, None)
        is_on = seen.state not in _OFF
        was_on = before is not None and before.state not in _OFF
        started_at_s = None if not is_on else before.started_at_s if before is not None and was_on else began_s or seen.at_s
        seen = replace(seen, cpu_s=cpu_s, memory_bytes=memory, started_at_s=started_at_s)
        if before is None or seen.at_s <= before.at_s:
            return seen
        passed_s = seen.at_s - before.at_s
        if before.pid == seen.pid and cpu_s is not None and before.cpu_s is not None:
            seen = replace(seen, cpu_percent=round(max(0.0, cpu_s - before.cpu_s) / passed_s * 100, 1))
        return replace(seen, bitrate_bps=round(max(0, seen.bytes - before.bytes) * 8 / passed_s))

    def _save(self) -> None:
        for each in self.seen.values():
            status = RelayStatus(
                each.config_id,
                each.state,
                each.pid,
                each.started_at_s,
                each.at_s,
                each.bytes,
                each.clients,
                each.source,
                each.restarts,
                each.error,
            )
            before = self._saved.get(each.config_id)
            if each.state in _OFF and before is not None and replace(before, last_seen_s=each.at_s) == status:
                continue  # of what is off there is no news
            self._saved[each.config_id] = status
            self._relays.save_status(status)


def _usage(pid: int) -> tuple[float, int] | None:
    """CPU seconds and resident bytes of a process and all below it; None where it is gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
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
