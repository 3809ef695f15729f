"""Metrics: what Prometheus reads of them, judged by its own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from channeld.telemetry.lateness import Lateness
from channeld.telemetry.metrics import METRICS, Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(with_process=False)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_every_metric_of_the_table_is_described_even_before_it_has_a_figure(metrics: Metrics) -> None:
    named = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert named == {spec.name for spec in METRICS}


def test_a_channel_is_in_one_state_and_channels_are_counted_by_state(metrics: Metrics) -> None:
    metrics.set_channel_state("a", "starting")
    metrics.set_channel_state("a", "on_air")
    metrics.set_channel_state("b", "on_air")
    got = samples(metrics)
    assert got["channeld_channels", (("state", "on_air"),)] == 2
    assert got["channeld_channels", (("state", "starting"),)] == 0
    assert got["channeld_channel_state", (("channel", "a"), ("state", "on_air"))] == 1
    assert got["channeld_channel_state", (("channel", "a"), ("state", "starting"))] == 0


def test_a_state_nobody_knows_is_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="flying"):
        metrics.set_channel_state("a", "flying")


def test_an_output_shows_its_state_and_its_restarts(metrics: Metrics) -> None:
    metrics.set_output("a", "rtmp", state="retrying", restarts=3)
    got = samples(metrics)
    assert got["channeld_output_state", (("channel", "a"), ("output", "rtmp"), ("state", "retrying"))] == 1
    assert got["channeld_output_restarts_total", (("channel", "a"), ("output", "rtmp"))] == 3


def test_a_hosts_lateness_becomes_a_cumulative_histogram(metrics: Metrics) -> None:
    lateness = Lateness()
    for late_ns in (100_000, 40_000_000, 9_000_000_000):
        lateness.observe(late_ns)
    metrics.set_release_lateness("0", lateness.figures())
    got = samples(metrics)
    name = "channeld_release_lateness_seconds"
    assert [got[f"{name}_bucket", (("host", "0"), ("le", le))] for le in ("0.0005", "0.05", "5.0", "+Inf")] == [1, 2, 2, 3]
    assert got[f"{name}_count", (("host", "0"),)] == 3
    assert got[f"{name}_sum", (("host", "0"),)] == pytest.approx(9.0401)


def test_playout_prepare_and_hls_figures_are_shown_as_told(metrics: Metrics) -> None:
    metrics.set_playout("a", head_sequence=77, underruns=1, passed_over=2)
    metrics.set_hls_sequence("a", "hls", 12)
    metrics.add_prepared(spent_s=2.0, media_s=10.0)
    metrics.add_prepared(spent_s=1.0, media_s=8.0)
    metrics.add_refused()
    got = samples(metrics)
    assert got["channeld_bus_head_sequence", (("channel", "a"),)] == 77
    assert got["channeld_underruns_total", (("channel", "a"),)] == 1
    assert got["channeld_entries_passed_over_total", (("channel", "a"),)] == 2
    assert got["channeld_hls_media_sequence", (("channel", "a"), ("output", "hls"))] == 12
    assert (got["channeld_prepare_seconds_total", ()], got["channeld_prepared_media_seconds_total", ()]) == (3.0, 18.0)
    assert got["channeld_prepare_speed_ratio", ()] == 8.0
    assert got["channeld_prepare_clips_total", (("result", "ready"),)] == 2
    assert got["channeld_prepare_clips_total", (("result", "refused"),)] == 1


def test_a_channel_that_is_gone_leaves_no_figure(metrics: Metrics) -> None:
    metrics.set_channel_state("a", "on_air")
    metrics.set_output("a", "rtmp", state="up", restarts=0)
    metrics.set_playout("a", head_sequence=1, underruns=0, passed_over=0)
    metrics.forget_channel("a")
    got = samples(metrics)
    assert not [key for key in got if ("channel", "a") in key[1]]
    assert got["channeld_channels", (("state", "on_air"),)] == 0
