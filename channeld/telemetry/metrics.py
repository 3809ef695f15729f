"""What Prometheus reads: one table of metrics, filled from plain values.

Rule: a metric exists only if it stands in METRICS. Hosts and workers send totals by message, so that every figure
here is *set*; a total that starts again at 0 (a new host) is what Prometheus expects of a counter reset.
Made by the daemon; safe to use from any thread.
"""

import threading
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from channeld.telemetry.lateness import LATENESS_BUCKETS_S, LatenessFigures

CONTENT_TYPE = CONTENT_TYPE_LATEST
CHANNEL_STATES = ("starting", "on_air", "filler", "stopping", "stopped", "failed")
OUTPUT_STATES = ("starting", "up", "retrying", "resting", "stopped")
VERDICTS = ("ok", "late", "stale", "broken", "silent", "frozen", "unreachable")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One row of the table. Counter names carry no `_total`: the library adds it."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


CHANNELS = MetricSpec("channeld_channels", "gauge", "Channels by state.", ("state",))
CHANNEL_STATE = MetricSpec("channeld_channel_state", "gauge", "1 for the state a channel is in.", ("channel", "state"))
DEGRADED_STEP = MetricSpec(
    "channeld_channel_degraded_step", "gauge", "0 none, 1 outputs rest, 2 an entry is passed over, 3 filler.", ("channel",)
)
OUTPUT_STATE = MetricSpec("channeld_output_state", "gauge", "1 for the state an output is in.", ("channel", "output", "state"))
OUTPUT_RESTARTS = MetricSpec("channeld_output_restarts", "counter", "Times an output's process was started again.", ("channel", "output"))
LATENESS = MetricSpec("channeld_release_lateness_seconds", "histogram", "How late slices were released.", ("host",))
UNDERRUNS = MetricSpec("channeld_underruns", "counter", "Times filler aired because the next clip was not in memory.", ("channel",))
PASSED_OVER = MetricSpec("channeld_entries_passed_over", "counter", "Entries not ready at their boundary.", ("channel",))
BUS_HEAD = MetricSpec("channeld_bus_head_sequence", "gauge", "Newest slice published on a channel's bus.", ("channel",))
PREPARE_SECONDS = MetricSpec("channeld_prepare_seconds", "counter", "Seconds spent conforming clips.")
PREPARED_MEDIA_SECONDS = MetricSpec("channeld_prepared_media_seconds", "counter", "Seconds of media conformed.")
PREPARE_SPEED = MetricSpec("channeld_prepare_speed_ratio", "gauge", "Media seconds per second of the newest conformed clip.")
PREPARE_CLIPS = MetricSpec("channeld_prepare_clips", "counter", "Clips conformed or refused.", ("result",))
HLS_SEQUENCE = MetricSpec("channeld_hls_media_sequence", "gauge", "Media sequence number of the manifest.", ("channel", "output"))

CONFIG_OK = MetricSpec("channeld_config_ok", "gauge", "1 while the newest configuration is in use, 0 while it is refused.")
ALARM = MetricSpec("channeld_alarm", "gauge", "1 for each alarm that stands.", ("alarm", "subject", "level"))

VERDICT = MetricSpec("channeld_output_verdict", "gauge", "1 for what viewers find at an output.", ("channel", "output", "verdict"))
MANIFEST_AGE = MetricSpec("channeld_manifest_age_seconds", "gauge", "Since an output's manifest last grew.", ("channel", "output"))
SEGMENT_ERRORS = MetricSpec("channeld_segment_errors", "counter", "Published segments found faulty.", ("channel", "output"))
DISCONTINUITIES = MetricSpec("channeld_hls_discontinuities", "counter", "Discontinuities seen in a manifest.", ("channel", "output"))
LOOK_CPU = MetricSpec("channeld_readback_look_cpu_seconds", "counter", "CPU time spent on loading and parsing what is published.")
DECODE_CPU = MetricSpec("channeld_readback_decode_cpu_seconds", "counter", "CPU time spent on decoding samples.")

WEBHOOK_EVENTS = MetricSpec("channeld_webhook_events", "counter", "Events at a webhook: delivered, dropped.", ("webhook", "result"))
WEBHOOK_FAILURES = MetricSpec("channeld_webhook_failures", "counter", "Attempts that a webhook's target did not take.", ("webhook",))
WEBHOOK_WAITING = MetricSpec("channeld_webhook_waiting", "gauge", "Events that wait for a webhook's target.", ("webhook",))
ALERTS_FIRING = MetricSpec("channeld_alerts_firing", "gauge", "Alerts that stand, by their rule.", ("rule",))
ALERT_MESSAGES = MetricSpec("channeld_alert_messages", "counter", "Messages to an alert target: sent, dropped.", ("target", "result"))
ALERT_FAILURES = MetricSpec("channeld_alert_failures", "counter", "Attempts that an alert target did not take.", ("target",))

METRICS = (
    *(CHANNELS, CHANNEL_STATE, DEGRADED_STEP, OUTPUT_STATE, OUTPUT_RESTARTS, LATENESS, UNDERRUNS, PASSED_OVER, BUS_HEAD),
    *(CONFIG_OK, ALARM),
    *(WEBHOOK_EVENTS, WEBHOOK_FAILURES, WEBHOOK_WAITING, ALERTS_FIRING, ALERT_MESSAGES, ALERT_FAILURES),
    *(VERDICT, MANIFEST_AGE, SEGMENT_ERRORS, DISCONTINUITIES, LOOK_CPU, DECODE_CPU),
    *(PREPARE_SECONDS, PREPARED_MEDIA_SECONDS, PREPARE_SPEED, PREPARE_CLIPS, HLS_SEQUENCE),
)

Labels = tuple[str, ...]


class Metrics(Collector):
    """The figures of one daemon."""

    def __init__(self, *, with_process: bool = True) -> None:
        self._lock = threading.Lock()  # guards the two dicts; held for single reads and writes only
        self._values: dict[MetricSpec, dict[Labels, float]] = {spec: {} for spec in METRICS}
        self._lateness: dict[Labels, LatenessFigures] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        if with_process:
            ProcessCollector(registry=self._registry)

    def set_channel_state(self, channel: str, state: str) -> None:
        """Record the state of a channel, one of CHANNEL_STATES. Raises ValueError for another."""
        self._set_state(CHANNEL_STATE, (channel,), state, CHANNEL_STATES)
        with self._lock:
            states = self._values[CHANNEL_STATE]
            for each in CHANNEL_STATES:
                self._values[CHANNELS][(each,)] = sum(value for labels, value in states.items() if labels[1] == each)

    def set_degraded_step(self, channel: str, step: int) -> None:
        """Record what a channel does without, 0 to 3."""
        self._set(DEGRADED_STEP, (channel,), step)

    def set_output(self, channel: str, output: str, *, state: str, restarts: int) -> None:
        """Record the state of an output, one of OUTPUT_STATES, and how often its process was started again."""
        self._set_state(OUTPUT_STATE, (channel, output), state, OUTPUT_STATES)
        self._set(OUTPUT_RESTARTS, (channel, output), restarts)

    def set_release_lateness(self, host: str, figures: LatenessFigures) -> None:
        """Record what a host counted since it started. Raises ValueError when the buckets are not LATENESS_BUCKETS_S."""
        if len(figures.counts) != len(LATENESS_BUCKETS_S) + 1:
            raise ValueError(f"{len(figures.counts)} lateness buckets, expected {len(LATENESS_BUCKETS_S) + 1}")
        with self._lock:
            self._lateness[(host,)] = figures

    def set_playout(self, channel: str, *, head_sequence: int, underruns: int, passed_over: int) -> None:
        """Record what a host tells of a channel: newest slice on the bus and two totals."""
        self._set(BUS_HEAD, (channel,), head_sequence)
        self._set(UNDERRUNS, (channel,), underruns)
        self._set(PASSED_OVER, (channel,), passed_over)

    def set_hls_sequence(self, channel: str, output: str, sequence: int) -> None:
        """Record the media sequence number of an output's manifest."""
        self._set(HLS_SEQUENCE, (channel, output), sequence)

    def set_verdict(self, channel: str, output: str, verdict: str) -> None:
        """Record what viewers find, one of VERDICTS. Raises ValueError for another."""
        self._set_state(VERDICT, (channel, output), verdict, VERDICTS)

    def set_reading(self, channel: str, output: str, *, age_s: float | None, segment_errors: int, discontinuities: int) -> None:
        """Record what looking at an output found; the totals count from the first look."""
        if age_s is not None:
            self._set(MANIFEST_AGE, (channel, output), age_s)
        self._set(SEGMENT_ERRORS, (channel, output), segment_errors)
        self._set(DISCONTINUITIES, (channel, output), discontinuities)

    def begin_readings(self, look_cpu_s: float, decode_cpu_s: float) -> None:
        """Record the CPU time spent so far, and forget what was found at outputs: some are looked at no more."""
        with self._lock:
            for spec in (VERDICT, MANIFEST_AGE):
                self._values[spec].clear()
        self._set(LOOK_CPU, (), look_cpu_s)
        self._set(DECODE_CPU, (), decode_cpu_s)

    def add_prepared(self, *, spent_s: float, media_s: float) -> None:
        """Count one conformed clip: the time it took and the time it lasts, in seconds."""
        self._add(PREPARE_CLIPS, ("ready",), 1)
        self._add(PREPARE_SECONDS, (), spent_s)
        self._add(PREPARED_MEDIA_SECONDS, (), media_s)
        if spent_s > 0:
            self._set(PREPARE_SPEED, (), media_s / spent_s)

    def add_refused(self) -> None:
        """Count one clip that could not be conformed."""
        self._add(PREPARE_CLIPS, ("refused",), 1)

    def set_config_ok(self, is_ok: bool) -> None:
        """Record whether the newest configuration is in use."""
        self._set(CONFIG_OK, (), float(is_ok))

    def set_alarms(self, alarms: Iterable[Mapping[str, str]]) -> None:
        """Record the alarms that stand, each with `alarm`, `subject` and `level`; others stand no more."""
        with self._lock:
            self._values[ALARM] = {(each["alarm"], each["subject"], each["level"]): 1.0 for each in alarms}

    def set_notices(self, told: Mapping[str, Any]) -> None:
        """Record what webhooks and alerts tell of themselves; those that are configured no more are forgotten."""
        hooks, alerts = told.get("webhooks", []), told.get("alerts", {"firing": [], "targets": []})
        firing = [str(each["rule"]) for each in alerts["firing"]]
        rows: dict[MetricSpec, dict[Labels, float]] = {
            WEBHOOK_EVENTS: {(each["name"], result): each[result] for each in hooks for result in ("delivered", "dropped")},
            WEBHOOK_FAILURES: {(each["name"],): each["failures"] for each in hooks},
            WEBHOOK_WAITING: {(each["name"],): each["waiting"] for each in hooks},
            ALERTS_FIRING: {(rule,): firing.count(rule) for rule in firing},
            ALERT_MESSAGES: {(each["name"], result): each[result] for each in alerts["targets"] for result in ("sent", "dropped")},
            ALERT_FAILURES: {(each["name"],): each["failures"] for each in alerts["targets"]},
        }
        with self._lock:
            self._values.update(rows)

    def keep_channels(self, channels: Container[str]) -> None:
        """Drop every figure of channels that are not among these."""
        with self._lock:
            known = {labels[0] for labels in self._values[CHANNEL_STATE]}
        for channel in known:
            if channel not in channels:
                self.forget_channel(channel)

    def forget_channel(self, channel: str) -> None:
        """Drop every figure of a channel that is no longer configured."""
        with self._lock:
            for spec, values in self._values.items():
                if spec.labels[:1] == ("channel",):
                    for labels in [labels for labels in values if labels[0] == channel]:
                        del values[labels]
            for state in CHANNEL_STATES:
                self._values[CHANNELS][(state,)] = sum(v for labels, v in self._values[CHANNEL_STATE].items() if labels[1] == state)

    def render(self) -> bytes:
        """The text that `GET /metrics` answers, of type CONTENT_TYPE."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry: every family of the table, in its order."""
        with self._lock:
            values = {spec: dict(rows) for spec, rows in self._values.items()}
            lateness = dict(self._lateness)
        for spec in METRICS:
            yield _lateness_family(spec, lateness) if spec is LATENESS else _family(spec, values[spec])

    def _set_state(self, spec: MetricSpec, labels: Labels, state: str, states: tuple[str, ...]) -> None:
        if state not in states:
            raise ValueError(f"unknown state {state!r} (one of {', '.join(states)})")
        with self._lock:
            for each in states:
                self._values[spec][(*labels, each)] = float(each == state)

    def _set(self, spec: MetricSpec, labels: Labels, value: float) -> None:
        with self._lock:
            self._values[spec][labels] = value

    def _add(self, spec: MetricSpec, labels: Labels, amount: float) -> None:
        with self._lock:
            self._values[spec][labels] = self._values[spec].get(labels, 0.0) + amount


def _family(spec: MetricSpec, rows: Mapping[Labels, float]) -> Metric:
    family: GaugeMetricFamily | CounterMetricFamily
    if spec.kind == "counter":
        family = CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
    else:
        family = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, value in rows.items():
        family.add_metric(labels, value)
    return family


def _lateness_family(spec: MetricSpec, rows: Mapping[Labels, LatenessFigures]) -> Metric:
    family = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, figures in rows.items():
        buckets, total = [], 0
        for bound, count in zip((*map(str, LATENESS_BUCKETS_S), "+Inf"), figures.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets, figures.sum_s)
    return family
