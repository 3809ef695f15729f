"""CPU time and memory of the daemon's processes, and of each channel.

Rule: a channel has what its pushes and those who take its live sources in take, and an equal share of what its host takes with the others
on it: a host copies about as much for one as for another. Shares are of what came since the last look, so that they only grow. One caller
at a time.
"""

import os
import resource
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import psutil

from channeld.telemetry import metric_table as table
from channeld.telemetry.metric_table import MetricSpec
from channeld.telemetry.metrics import Labels


@dataclass(frozen=True, slots=True)
class ChannelWork:
    """Who works for a channel: the name of its host while it is on air, the pids of its pushes, and those of its sources' processes."""

    channel: str
    host: str | None
    pushes: tuple[int, ...]
    sources: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Usage:
    cpu_s: float
    resident_bytes: int


class ProcessFigures:
    """Remembers what was used when it was last looked."""

    def __init__(self, holder: int) -> None:
        self._holder = holder
        self._seen: dict[tuple[str, int], float] = {}
        self._shares: defaultdict[tuple[str, str], float] = defaultdict(float)

    def measure(self, rows: Mapping[MetricSpec, dict[Labels, float]], pids: Mapping[str, int], work: list[ChannelWork]) -> None:
        """Put in the figures. `pids`: of hosts and media workers by name."""
        grown: dict[str, float] = {}
        named = {"control": os.getpid(), "holder": self._holder, **pids}
        for name, pid in named.items():
            usage = _usage(pid)
            if usage is not None:
                rows[table.PROCESS_CPU][(name,)], rows[table.PROCESS_BYTES][(name,)] = usage.cpu_s, usage.resident_bytes
                grown[name] = self._growth(name, pid, usage.cpu_s)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        rows[table.CHILDREN_CPU][()] = children.ru_utime + children.ru_stime
        work = [replace(each, sources=_families(each.sources)) for each in work]
        self._share(rows, grown, work)
        living = {*named.values(), *(pid for each in work for pid in (*each.pushes, *each.sources))}
        self._seen = {key: cpu_s for key, cpu_s in self._seen.items() if key[1] in living}

    def _share(self, rows: Mapping[MetricSpec, dict[Labels, float]], grown: Mapping[str, float], work: list[ChannelWork]) -> None:
        on_host: defaultdict[str, int] = defaultdict(int)
        for each in work:
            on_host[each.host or ""] += 1
        kept = {each.channel for each in work}
        for key in [key for key in self._shares if key[0] not in kept]:
            del self._shares[key]
        for each in work:
            channel = each.channel
            if each.host is not None:
                self._shares[channel, "playout"] += grown.get(each.host, 0.0) / on_host[each.host]
            resident_bytes = 0
            for part, pids in (("push", each.pushes), ("source", each.sources)):
                usages = [(pid, usage) for pid in pids if (usage := _usage(pid)) is not None]
                self._shares[channel, part] += sum(self._growth(channel, pid, usage.cpu_s) for pid, usage in usages)
                resident_bytes += sum(usage.resident_bytes for _, usage in usages)
            for part in ("playout", "push", "source"):
                rows[table.CHANNEL_CPU][channel, part] = self._shares[channel, part]
            rows[table.CHANNEL_BYTES][(channel,)] = resident_bytes

    def _growth(self, name: str, pid: int, cpu_s: float) -> float:
        before = self._seen.get((name, pid), 0.0)
        self._seen[name, pid] = cpu_s
        return max(0.0, cpu_s - before)


def _families(pids: tuple[int, ...]) -> tuple[int, ...]:
    """Those processes, and all that they started: each FFmpeg that takes a source in."""
    found = []
    for pid in pids:
        try:
            found += [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        except psutil.Error:
            continue
    return tuple(found)


def _usage(pid: int) -> _Usage | None:
    """None for a process that is gone, or that we may not look at."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return _Usage(times.user + times.system, process.memory_info().rss)
    except psutil.Error:
        return None
