"""Metrics: what Prometheus reads of them, judged by its own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from channeld.telemetry import metric_table as table
from channeld.telemetry.lateness import Lateness, LatenessFigures
from channeld.telemetry.metric_table import METRICS
from channeld.telemetry.metrics import Metrics, one_of


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(with_process=False)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_every_metric_of_the_table_is_described_even_before_it_has_a_figure(metrics: Metrics) -> None:
    named = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert named == {spec.name for spec in METRICS}


def test_something_is_in_one_of_its_states(metrics: Metrics) -> None:
    metrics.replace(table.CHANNEL_STATE, one_of(table.CHANNEL_STATES, "on_air", "a"))
    got = samples(metrics)
    assert got["channeld_channel_state", (("channel", "a"), ("state", "on_air"))] == 1
    assert got["channeld_channel_state", (("channel", "a"), ("state", "starting"))] == 0


def test_a_state_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="flying"):
        one_of(table.CHANNEL_STATES, "flying", "a")


def test_a_figure_needs_a_value_for_each_label(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="channel, output"):
        metrics.set(table.READER_LAG, 1.0, "a")
    with pytest.raises(ValueError, match="none"):
        metrics.replace(table.CACHE_BYTES, {("a",): 1.0})


def test_what_is_not_among_the_new_figures_is_no_more(metrics: Metrics) -> None:
    metrics.replace(table.READER_LAG, {("a", "rtmp"): 1.0, ("b", "rtmp"): 2.0})
    metrics.replace(table.READER_LAG, {("b", "rtmp"): 3.0})
    name = "channeld_reader_lag_seconds"
    assert {key: value for key, value in samples(metrics).items() if key[0] == name} == {
        (name, (("channel", "b"), ("output", "rtmp"))): 3.0
    }


def test_a_counter_grows(metrics: Metrics) -> None:
    metrics.add(table.UNDERRUNS, 1, "a")
    metrics.add(table.UNDERRUNS, 2, "a")
    assert samples(metrics)["channeld_underruns_total", (("channel", "a"),)] == 3


def test_a_hosts_lateness_becomes_a_cumulative_histogram(metrics: Metrics) -> None:
    lateness = Lateness()
    for late_ns in (100_000, 40_000_000, 9_000_000_000):
        lateness.observe(late_ns)
    metrics.set_counts(table.LATENESS, lateness.figures(), "0")
    got = samples(metrics)
    name = "channeld_release_lateness_seconds"
    assert [got[f"{name}_bucket", (("host", "0"), ("le", le))] for le in ("0.0005", "0.05", "5.0", "+Inf")] == [1, 2, 2, 3]
    assert got[f"{name}_count", (("host", "0"),)] == 3
    assert got[f"{name}_sum", (("host", "0"),)] == pytest.approx(9.0401)


def test_buckets_of_another_version_are_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="3 buckets"):
        metrics.set_counts(table.LATENESS, LatenessFigures((1, 2, 3), 1.0), "0")


def test_a_duration_is_counted_in_its_bucket(metrics: Metrics) -> None:
    for seconds in (0.001, 0.3, 60.0):
        metrics.observe(table.HTTP_SECONDS, seconds, "GET", "/metrics", "200")
    got = samples(metrics)
    labels = (("method", "GET"), ("route", "/metrics"), ("status", "200"))
    name = "channeld_http_request_seconds"
    assert [got[f"{name}_bucket", (("le", le), *labels)] for le in ("0.001", "0.25", "0.5", "+Inf")] == [1, 1, 2, 3]
    assert got[f"{name}_sum", labels] == pytest.approx(60.301)
