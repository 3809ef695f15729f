"""Fills the table of metrics when somebody asks for it.

Rule: everything is read at one moment on the control loop, except what would hold it up: processes are looked at, and counted in
the table, on the thread that asked. What is not there any more has no figure. One asker at a time.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from channeld.channel.clips import StockFigures
from channeld.channel.supervisor import Supervisor
from channeld.daemon_house import Running
from channeld.daemon_processes import ChannelWork, ProcessFigures
from channeld.daemon_reload import Reloader
from channeld.telemetry import metric_table as table
from channeld.telemetry.lateness import LatenessFigures
from channeld.telemetry.metric_table import CHANNEL_STATES, OUTPUT_STATES, SOURCE_STATES, VERDICTS, MetricSpec
from channeld.telemetry.metrics import Labels, Metrics, one_of

Rows = defaultdict[MetricSpec, dict[Labels, float]]
_SOURCE_GAUGES = (
    (table.SOURCE_JITTER, "jitter_ms", 1e-3),
    (table.SOURCE_DELAY, "air_delay_s", 1.0),
    (table.SEGMENT_DELAY, "segment_delay_s", 1.0),
    (table.SOURCE_DRIFT, "drift_ms", 1e-3),
)


class Figures:
    """The metrics of a running daemon. `holder`: its pid; `notices` describes webhooks and alerts."""

    def __init__(self, running: Running, reloader: Reloader, *, holder: int, notices: Callable[[], dict[str, Any]] = dict) -> None:
        self._running, self._reloader, self._notices = running, reloader, notices
        self._metrics = Metrics()
        self._processes = ProcessFigures(holder)
        self._asking = threading.Lock()  # one scrape at a time; held over the wait for the control loop, never by it

    def render(self) -> bytes:
        """The text that Prometheus reads. Any thread but the control loop's. Raises TimeoutError when control does not answer."""
        with self._asking:
            rows, pids, work = self._running.loop.call(self._measure)
            _measure_stock(rows, self._running.clips.figures())
            _measure_notices(rows, self._notices())
            self._processes.measure(rows, pids, work)
            for spec in table.METRICS:
                if spec.kind != "histogram":
                    self._metrics.replace(spec, rows[spec])
            return self._metrics.render()

    def answered(self, method: str, route: str, status: str, seconds: float) -> None:
        """The admin interface answered a request. Any thread."""
        self._metrics.observe(table.HTTP_SECONDS, seconds, method, route, status)

    def _measure(self) -> tuple[Rows, dict[str, int], list[ChannelWork]]:
        """Control loop's thread."""
        running, rows = self._running, Rows(dict)
        rows[table.CONFIG_OK][()] = float(self._reloader.error is None)
        rows[table.ALARM] = {(each["alarm"], each["subject"], each["level"]): 1.0 for each in running.alarms.standing()}
        readback = running.watching.readback
        rows[table.LOOK_CPU][()], rows[table.DECODE_CPU][()] = readback.effort.spent_s, readback.budget.spent_s
        rows[table.CHANNELS] = {(state,): 0.0 for state in CHANNEL_STATES}
        work, sources = [], running.sources.pids()
        for name, supervisor in running.registry.channels.items():
            _measure_channel(rows, name, supervisor)
            _measure_outputs(rows, name, supervisor)
            _measure_sources(rows, name, supervisor)
            pushes = [push.pid for push in supervisor.outputs.figures() if push.pid is not None]
            taken_in = tuple(pid for (channel, _), pid in sources.items() if channel == name)
            work.append(ChannelWork(name, f"host:{running.hosts.host_of(name)}" if supervisor.progress else None, tuple(pushes), taken_in))
        self._measure_audience(rows)
        for host, told in running.registry.hosts.items():
            counts = LatenessFigures(tuple(told["lateness_counts"]), told["lateness_sum_s"])
            self._metrics.set_counts(table.LATENESS, counts, str(host))
            _measure_feeds(rows, told["feeds"])
        return rows, {**running.hosts.pids(), **running.media.pids()}, work

    def _measure_audience(self, rows: Rows) -> None:
        stays: dict[Labels, LatenessFigures] = {}
        for channel, supervisor in self._running.registry.channels.items():
            for name in supervisor.outputs.streams():
                totals = self._running.media.audience.totals(channel, name)
                labels = channel, name
                rows[table.CLIENT_BYTES][labels], rows[table.CLIENT_SKIPS][labels] = totals.bytes, totals.skips
                rows[table.CLIENT_REFUSALS][labels], stays[labels] = totals.refused, totals.connections
        self._metrics.replace_counts(table.CONNECTION_SECONDS, stays)


def _measure_channel(rows: Rows, channel: str, supervisor: Supervisor) -> None:
    rows[table.CHANNEL_STATE] |= one_of(CHANNEL_STATES, supervisor.state.value, channel)
    rows[table.CHANNELS][(supervisor.state.value,)] += 1
    rows[table.UNDERRUNS][(channel,)] = supervisor.airings.counts["underruns"]
    rows[table.PASSED_OVER][(channel,)] = supervisor.airings.counts["passed_over"]
    rows[table.DEGRADED_STEP][(channel,)] = supervisor.restraint.step
    joins = supervisor.airings.joins
    rows[table.JOINS][(channel,)] = joins.count
    rows[table.JOIN_GAP] |= {(channel, "video"): joins.video_gap, (channel, "audio"): joins.audio_gap}
    rows[table.JOIN_SKEW][(channel,)], rows[table.JOIN_SKEW_MAX][(channel,)] = joins.skew, joins.skew_max
    progress = supervisor.progress
    rows[table.BUS_HEAD][(channel,)] = int(progress.get("head", 0))
    if "bus" in progress:
        held_bytes, held_s, capacity = progress["bus"]
        rows[table.BUS_BYTES][(channel,)], rows[table.BUS_SECONDS][(channel,)] = held_bytes, held_s
        rows[table.BUS_CAPACITY][(channel,)], rows[table.LOOKAHEAD][(channel,)] = capacity, progress["ahead_s"]
        rows[table.BUS_READERS][(channel,)] = int(progress.get("readers", 0))


def _measure_outputs(rows: Rows, channel: str, supervisor: Supervisor) -> None:
    for output in supervisor.outputs.describe():
        labels = channel, str(output["name"])
        if output["state"] != "disabled":
            rows[table.OUTPUT_STATE] |= one_of(OUTPUT_STATES, output["state"], *labels)
            rows[table.OUTPUT_RESTARTS][labels] = output["restarts"]
        if "media_sequence" in output:
            rows[table.HLS_SEQUENCE][labels] = output["media_sequence"]
            if output["type"] == "dash":  # nobody reads it back
                rows[table.MANIFEST_AGE][labels] = max(0.0, time.time() - datetime.fromisoformat(output["published_at"]).timestamp())
        if output.get("segment_wait_s") is not None:
            rows[table.SEGMENT_WAIT][labels] = output["segment_wait_s"]
        if output["type"] == "named_pipe" and output["state"] != "disabled":
            rows[table.PIPE_READERS][labels] = output["readers"]
            rows[table.PIPE_JUMPS][labels], rows[table.PIPE_STALLS][labels] = output["jumps"], output["stalls"]
        if "clients" in output:
            rows[table.CLIENTS][labels] = output["clients"]
    for push in supervisor.outputs.figures():
        rows[table.OUTPUT_RECONNECTS][channel, push.output] = push.reconnects
        if push.headroom_s is not None:
            rows[table.RTMP_HEADROOM][channel, push.output] = push.headroom_s
    for name, reading in supervisor.outputs.readings.items():
        if reading.verdict is not None:
            rows[table.VERDICT] |= one_of(VERDICTS, reading.verdict.condition.value, channel, name)
        if reading.age_s is not None:
            rows[table.MANIFEST_AGE][channel, name] = reading.age_s
        rows[table.SEGMENT_ERRORS][channel, name] = reading.segment_errors
        rows[table.DISCONTINUITIES][channel, name] = reading.discontinuities


def _measure_sources(rows: Rows, channel: str, supervisor: Supervisor) -> None:
    for source in supervisor.director.sources.describe():
        labels, figures = (channel, str(source["name"])), source["figures"]
        rows[table.SOURCE_STATE] |= one_of(SOURCE_STATES, source["state"], *labels)
        if figures is None:
            continue
        rows[table.SOURCE_BYTES][labels], rows[table.SOURCE_RECONNECTS][labels] = source["bytes"], figures["reconnects"]
        rows[table.SOURCE_LOSSES] |= {(*labels, kind): float(count) for kind, count in figures["losses"].items()}
        for spec, name, unit_s in _SOURCE_GAUGES:
            if figures[name] is not None:
                rows[spec][labels] = figures[name] * unit_s


def _measure_feeds(rows: Rows, feeds: list[dict[str, Any]]) -> None:
    for feed in feeds:
        labels = str(feed["channel"]), str(feed["output"])
        rows[table.READER_LAG][labels] = feed.get("behind_s", 0.0)
        rows[table.READER_JUMPS][labels] = feed["jumps"]
        if feed.get("fifo") is not None:
            rows[table.FIFO_BYTES][labels], rows[table.FIFO_CAPACITY][labels] = feed["fifo"]


def _measure_stock(rows: Rows, stock: StockFigures) -> None:
    prepare = stock.prepare
    rows[table.PREPARE_SECONDS][()], rows[table.PREPARED_MEDIA_SECONDS][()] = prepare.spent_s, prepare.media_s
    if prepare.speed is not None:
        rows[table.PREPARE_SPEED][()] = prepare.speed
    rows[table.PREPARE_CLIPS] = {(result,): float(count) for result, count in prepare.results.items()}
    rows[table.CLIP_ERRORS] = {(reason,): float(count) for reason, count in prepare.refusals.items()}
    rows[table.PREPARE_QUEUE] = {(stage,): float(count) for stage, count in stock.stages.items()}
    rows[table.CACHE_BYTES][()], rows[table.CACHE_MAX_BYTES][()] = stock.cache_bytes, stock.cache_max_bytes


def _measure_notices(rows: Rows, told: dict[str, Any]) -> None:
    for hook in told.get("webhooks", []):
        name = str(hook["name"])
        rows[table.WEBHOOK_EVENTS] |= {(name, result): hook[result] for result in ("delivered", "dropped")}
        rows[table.WEBHOOK_FAILURES][(name,)], rows[table.WEBHOOK_WAITING][(name,)] = hook["failures"], hook["waiting"]
    alerts = told.get("alerts", {"firing": [], "targets": []})
    rows[table.ALERTS_FIRING] = {(rule,): count for rule, count in Counter(str(each["rule"]) for each in alerts["firing"]).items()}
    for target in alerts["targets"]:
        name = str(target["name"])
        rows[table.ALERT_MESSAGES] |= {(name, result): target[result] for result in ("sent", "dropped")}
        rows[table.ALERT_FAILURES][(name,)] = target["failures"]
