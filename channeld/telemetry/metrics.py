"""What Prometheus reads: the table of metrics, filled from plain values.

Rule: hosts, workers and threads send totals, so that every figure here is *set*; a total that starts again at 0 (a new host) is what
Prometheus expects of a counter reset. Only what is asked of this process itself is counted here. Safe to use from any thread.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from channeld.telemetry.lateness import LATENESS_BUCKETS_S, LatenessFigures
from channeld.telemetry.metric_table import (
    CONNECTION_BUCKETS_S,
    CONNECTION_SECONDS,
    HTTP_BUCKETS_S,
    HTTP_SECONDS,
    LATENESS,
    METRICS,
    MetricSpec,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

Labels = tuple[str, ...]
BOUNDS_S: dict[MetricSpec, Sequence[float]] = {
    LATENESS: LATENESS_BUCKETS_S,
    HTTP_SECONDS: HTTP_BUCKETS_S,
    CONNECTION_SECONDS: CONNECTION_BUCKETS_S,
}
"""Upper bounds of each histogram's buckets, in seconds; one more counts what is above."""


class Metrics(Collector):
    """The figures of one daemon."""

    def __init__(self, *, with_process: bool = True) -> None:
        self._lock = threading.Lock()  # guards the two dicts; held for single reads and writes only
        self._values: dict[MetricSpec, dict[Labels, float]] = {spec: {} for spec in METRICS if spec.kind != "histogram"}
        self._counts: dict[MetricSpec, dict[Labels, LatenessFigures]] = {spec: {} for spec in METRICS if spec.kind == "histogram"}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        if with_process:
            ProcessCollector(registry=self._registry)

    def set(self, spec: MetricSpec, value: float, *labels: str) -> None:
        """Record one figure, with a value for each of the metric's labels. Raises ValueError for another number of them."""
        _check(spec, labels)
        with self._lock:
            self._values[spec][labels] = value

    def add(self, spec: MetricSpec, amount: float, *labels: str) -> None:
        """Let one figure grow. Raises ValueError for another number of labels."""
        _check(spec, labels)
        with self._lock:
            self._values[spec][labels] = self._values[spec].get(labels, 0.0) + amount

    def replace(self, spec: MetricSpec, rows: Mapping[Labels, float]) -> None:
        """Record all figures of a metric; what is not among them is no more."""
        for labels in rows:
            _check(spec, labels)
        with self._lock:
            self._values[spec] = dict(rows)

    def set_counts(self, spec: MetricSpec, figures: LatenessFigures, *labels: str) -> None:
        """Record a histogram as it was counted elsewhere. Raises ValueError when its buckets are not the metric's."""
        _check(spec, labels)
        if len(figures.counts) != len(BOUNDS_S[spec]) + 1:
            raise ValueError(f"{len(figures.counts)} buckets of {spec.name}, expected {len(BOUNDS_S[spec]) + 1}")
        with self._lock:
            self._counts[spec][labels] = figures

    def replace_counts(self, spec: MetricSpec, rows: Mapping[Labels, LatenessFigures]) -> None:
        """Record all of a histogram as it was counted elsewhere; what is not among them is no more. Raises as set_counts."""
        with self._lock:
            self._counts[spec] = {}
        for labels, figures in rows.items():
            self.set_counts(spec, figures, *labels)

    def observe(self, spec: MetricSpec, seconds: float, *labels: str) -> None:
        """Count one duration in a histogram."""
        _check(spec, labels)
        bounds = BOUNDS_S[spec]
        with self._lock:
            before = self._counts[spec].get(labels) or LatenessFigures((0,) * (len(bounds) + 1), 0.0)
            counts = list(before.counts)
            counts[bisect_left(bounds, seconds)] += 1
            self._counts[spec][labels] = LatenessFigures(tuple(counts), before.sum_s + seconds)

    def render(self) -> bytes:
        """The text that `GET /metrics` answers, of type CONTENT_TYPE."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry: every family of the table, in its order."""
        with self._lock:
            values = {spec: dict(rows) for spec, rows in self._values.items()}
            counts = {spec: dict(rows) for spec, rows in self._counts.items()}
        for spec in METRICS:
            yield _histogram(spec, counts[spec]) if spec.kind == "histogram" else _family(spec, values[spec])


def one_of(states: Sequence[str], state: str, *labels: str) -> dict[Labels, float]:
    """Rows that say which of its states something is in. Raises ValueError for a state that is none."""
    if state not in states:
        raise ValueError(f"unknown state {state!r} (one of {', '.join(states)})")
    return {(*labels, each): float(each == state) for each in states}


def _check(spec: MetricSpec, labels: Labels) -> None:
    if len(labels) != len(spec.labels):
        raise ValueError(f"{spec.name} has the labels {', '.join(spec.labels) or 'none'}, not {len(labels)} values")


def _family(spec: MetricSpec, rows: Mapping[Labels, float]) -> Metric:
    family: GaugeMetricFamily | CounterMetricFamily
    if spec.kind == "counter":
        family = CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
    else:
        family = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, value in rows.items():
        family.add_metric(labels, value)
    return family


def _histogram(spec: MetricSpec, rows: Mapping[Labels, LatenessFigures]) -> Metric:
    family = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, figures in rows.items():
        buckets, total = [], 0
        for bound, count in zip((*map(str, BOUNDS_S[spec]), "+Inf"), figures.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets, figures.sum_s)
    return family
