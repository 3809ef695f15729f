"""The last ten minutes of every channel in figures, for graphs: how late it was released, how far ahead, how much, how old at the origin.

Rule: bounded (KEPT steps of STEP_S for each channel), and nothing here asks anybody: it writes down what hosts and read-back told.
Control loop's thread.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.supervisor import Supervisor

STEP_S = 5.0
KEPT = 120
_SILENT_S = 5.0
"""A host that has not turned for so long is not there: what it said last is no reading."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One step; None where nobody knows. `lateness_ms` is the 99th percentile of the host's releases, `ahead_s` what lies ready in
    memory behind the frame on air, `behind_slices` how far the slowest push is behind the bus.
    """

    at: str
    lateness_ms: float | None
    ahead_s: float | None
    behind_slices: int | None
    bitrate_kbps: float | None
    manifest_age_s: float | None


class Recent:
    """Writes a sample of each channel every STEP_S, once it was started."""

    def __init__(self, loop: ControlLoop, registry: Registry) -> None:
        self._loop, self._registry = loop, registry
        self._samples: dict[str, deque[Sample]] = {}
        self._bytes: dict[str, tuple[int, int]] = {}

    def start(self) -> None:
        """Begin. Any thread."""
        self._loop.post(self._turn)

    def since(self, channel: str, moment_s: float) -> list[dict[str, Any]]:
        """A channel's samples after a moment of the wall clock, oldest first."""
        return [asdict(sample) for sample in self._samples.get(channel, ()) if datetime.fromisoformat(sample.at).timestamp() > moment_s]

    def _turn(self) -> None:
        self._loop.later(STEP_S, self._turn)
        channels = self._registry.channels
        for gone in self._samples.keys() - channels.keys():
            del self._samples[gone]
            self._bytes.pop(gone, None)
        wall_s, now_ns = time.time(), time.monotonic_ns()
        alive = [told for told in self._registry.hosts.values() if now_ns - told["turned_ns"] < _SILENT_S * NS_PER_SECOND]
        hosts = {channel: told for told in alive for channel in told["channels"]}
        for channel, supervisor in channels.items():
            kept = self._samples.setdefault(channel, deque(maxlen=KEPT))
            kept.append(self._sample(supervisor, hosts.get(channel), wall_s=wall_s, now_ns=now_ns))

    def _sample(self, supervisor: Supervisor, host: Mapping[str, Any] | None, *, wall_s: float, now_ns: int) -> Sample:
        channel, at = supervisor.settings.id, iso_utc(wall_s)
        ages_s = [reading.age_s for reading in supervisor.outputs.readings.values() if reading.age_s is not None]
        age_s = round(max(ages_s), 2) if ages_s else None
        if host is None:
            self._bytes.pop(channel, None)
            return Sample(at, None, None, None, None, age_s)
        progress = host["channels"][channel]
        behind = [feed["behind"] for feed in host["feeds"] if feed["channel"] == channel and not feed.get("may_lag")]
        return Sample(
            at,
            host["lateness_ms"]["p99"],
            round(supervisor.settings.profile.fps.seconds(progress["ahead"]), 2),
            max(behind) if behind else None,
            self._bitrate_kbps(channel, progress.get("bytes"), now_ns),
            age_s,
        )

    def _bitrate_kbps(self, channel: str, published: int | None, now_ns: int) -> float | None:
        """Since the step before. None at the first, and of a host of older code, which does not tell."""
        if published is None:
            return None
        before, self._bytes[channel] = self._bytes.get(channel), (published, now_ns)
        if before is None or published < before[0] or now_ns <= before[1]:
            return None
        return round((published - before[0]) * 8 / 1000 / ((now_ns - before[1]) / NS_PER_SECOND), 1)
