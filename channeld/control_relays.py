"""What runs of relays, as the admin interface sees it: implements the API's `RelayRuns`.

Rule: figures are those of the watch's newest look; what is asked of one relay's channel is asked on the control loop. Any thread but that.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil

from channeld.api.control import Refused, Trigger
from channeld.base.clock import iso_utc
from channeld.base.relay_id import channel_of
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.state import State
from channeld.channel.supervisor import Supervisor
from channeld.control_relay_watch import RelayWatch, Seen
from channeld.daemon_relays import RelayChannels
from channeld.store.relay_records import RelayConfig, RelayEvent

TOLD_EVENTS = 20
REFUSED = "refused"
_WORST = ("unhealthy", "degraded", "healthy")


class RelayDesk:
    """`limit()`: how many sources there may be at a time."""

    def __init__(self, loop: ControlLoop, registry: Registry, stage: RelayChannels, watch: RelayWatch, limit: Callable[[], int]) -> None:
        self._loop, self._registry, self._stage, self._watch, self._limit = loop, registry, stage, watch, limit

    # -- one ----------------------------------------------------------------------------------------------------

    def status(self, config_id: int) -> dict[str, Any]:
        """All of one relay."""
        config = self._stage.relays.config(config_id)
        supervisor = self._supervisor(config)
        described = self._loop.call(supervisor.describe) if supervisor is not None else {"sources": [], "outputs": []}
        seen = self._seen(config)
        return {
            **self._figures(config),
            "source": seen.source if seen is not None else None,
            "error": self._stage.refusals.get(config_id) or (seen.error if seen is not None else None),
            "sources": described["sources"],
            "outputs": described["outputs"],
            "events": [_event(each) for each in self._stage.relays.events(config_id, limit=TOLD_EVENTS)],
        }

    def trigger(self, config_id: int, action: str) -> Trigger:
        """`start` or `stop`. Raises Refused."""
        config = self._stage.relays.config(config_id)
        supervisor = self._supervisor(config)
        if supervisor is None:
            reason = self._stage.refusals.get(config_id, "it is being taken in; try again")
            raise Refused(409, "Relay refused", reason)
        if action == "start":
            self._check_start(config)
        order = supervisor.start if action == "start" else supervisor.stop
        changed, revision = self._loop.call(lambda: (order(), supervisor.rundown.queue.revision))
        return Trigger(revision, iso_utc(time.time()), changed)

    def _check_start(self, config: RelayConfig) -> None:
        if not self._stage.rules.enabled:
            raise Refused(409, "Relays are off", "relay.enabled is false in the configuration")
        fault = self._stage.fault(self._stage.relays.channel(config.proxy_id, config.channel_id).url)
        if fault is not None:
            raise Refused(422, "Relay refused", fault)

    def _supervisor(self, config: RelayConfig) -> Supervisor | None:
        if channel_of(config.id) not in self._stage.ids:
            return None
        return self._registry.channels.get(channel_of(config.id))

    def _seen(self, config: RelayConfig) -> Seen | None:
        """How it was seen last; None too where a channel of the configuration has its id."""
        return self._watch.seen.get(channel_of(config.id)) if channel_of(config.id) in self._stage.ids else None

    # -- all ----------------------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, Any]:
        """Figures of each, of the configuration's channels of live sources, of all, and of the machine."""
        relays = [self._figures(config) for config in self._stage.relays.configs()]
        own = self._stage.ids
        channels = [self._told(seen) for seen in self._watch.seen.values() if seen.channel not in own]
        every = [*relays, *channels]
        totals = {key: sum(each[key] or 0 for each in every) for key in ("clients", "bytes", "bitrate_bps", "cpu_percent", "memory_bytes")}
        memory, load, disk = psutil.virtual_memory(), psutil.getloadavg(), self._watch.disk
        return {
            "at": iso_utc(time.time()),
            "enabled": self._stage.rules.enabled,
            "relays": relays,
            "channels": channels,
            "totals": {
                **totals,
                "relays": len(relays),
                "running": sum(each["pid"] is not None for each in relays),
                "processes": self._watch.processes,
                "max_concurrent_processes": self._limit(),
            },
            "system": {
                "cpus": psutil.cpu_count() or 1,
                "cpu_percent": self._watch.machine_cpu_percent,
                "load_1m": round(load[0], 2),
                "memory_bytes": memory.total,
                "memory_available_bytes": memory.available,
                "disk_bytes": disk.total_bytes if disk is not None else None,
                "disk_free_bytes": disk.free_bytes if disk is not None else None,
            },
        }

    def health(self) -> dict[str, Any]:
        """Of all."""
        relays = [self._health(config) for config in self._stage.relays.configs()]
        counts = Counter(each["status"] for each in relays)
        worst = next((status for status in _WORST if counts[status]), "healthy")
        return {"status": worst, "enabled": self._stage.rules.enabled, "counts": dict(counts), "relays": relays}

    def health_of(self, config_id: int) -> dict[str, Any]:
        """Of one."""
        return self._health(self._stage.relays.config(config_id))

    def _health(self, config: RelayConfig) -> dict[str, Any]:
        seen, state = self._seen(config), self._state(config)
        refused = self._stage.refusals.get(config.id)
        error = refused or (seen.error if seen is not None else None)
        if state in (REFUSED, State.FAILED.value):
            status = "unhealthy"
        elif state in (State.STOPPED.value, State.STOPPING.value):
            status, error = "stopped", None
        elif state == State.ON_AIR.value and seen is not None and seen.source is not None:
            status, error = "healthy", None
        else:
            status, error = "degraded", error or "its upstream does not air yet"
        told = {"config_id": config.id, "name": config.name, "status": status, "state": state}
        return {**told, "reasons": [error] if error is not None else []}

    def _state(self, config: RelayConfig) -> str:
        supervisor = self._supervisor(config)
        return REFUSED if supervisor is None else supervisor.state.value

    def _figures(self, config: RelayConfig) -> dict[str, Any]:
        channel, state = channel_of(config.id), self._state(config)
        seen = self._seen(config) or Seen(channel, config.name, state, 0.0)
        return {
            **self._told(seen),
            "config_id": config.id,
            "proxy_id": config.proxy_id,
            "channel_id": config.channel_id,
            "profile_id": config.profile_id,
            "name": config.name,
            "state": state,
            "enabled": config.enabled,
            "refused": self._stage.refusals.get(config.id),
        }

    def _told(self, seen: Seen) -> dict[str, Any]:
        losses, lately = self._watch.losses(seen.channel)
        started_s = seen.started_at_s
        return {
            "channel": seen.channel,
            "name": seen.name,
            "state": seen.state,
            "started_at": iso_utc(started_s) if started_s is not None else None,
            "uptime_s": round(max(0.0, time.time() - started_s), 1) if started_s is not None else None,
            "bytes": seen.bytes,
            "bitrate_bps": seen.bitrate_bps,
            "clients": seen.clients,
            "restarts": seen.restarts,
            "losses": losses,
            "losses_last_hour": lately,
            "cpu_percent": seen.cpu_percent,
            "memory_bytes": seen.memory_bytes,
            "pid": next(iter(seen.pids), None),
        }


def _event(event: RelayEvent) -> dict[str, Any]:
    return {"id": event.id, "at": iso_utc(event.at_s), "kind": event.kind, "details": event.details}
