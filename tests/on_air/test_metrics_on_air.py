"""The metrics of a channel on air, with every kind of output: all that is documented is there, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from metric_pages import documented, shown
from nginx_origin import NginxOrigin
from prometheus_client.parser import text_string_to_metric_families
from running import RunningDaemon, wait_until

from channeld.media.tally import REASONS
from channeld.telemetry.metric_table import CHANNEL_STATES, OUTPUT_STATES, VERDICTS

WITHOUT_FIGURES = {
    *("channeld_alarm", "channeld_prepare_speed_ratio", "channeld_alerts_firing", "channeld_alert_messages_total"),
    *("channeld_alert_failures_total", "channeld_webhook_events_total", "channeld_webhook_failures_total", "channeld_webhook_waiting"),
    *(f"channeld_source_{name}" for name in ("state", "bytes_total", "losses_total", "jitter_seconds", "reconnects_total")),
    *(f"channeld_source_{name}_seconds" for name in ("air_delay", "segment_delay", "drift")),
}
"""Nothing is wrong, all clips were prepared before, nobody is told of anything, and there is no live source."""
JOIN_ERROR_TICKS = 960


@pytest.fixture
def on_air(daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path, tmp_path: Path, nginx_rtmp: NginxOrigin) -> RunningDaemon:
    """Short clips round and round, to every kind of output."""
    playlist = tmp_path / "list.txt"
    playlist.write_text("".join(f"{deck / name}\n" for name in ("d0.mp4", "d1.mp4", "missing.mp4", "d2.mp4")))
    rtmp = {"rtmp": {"url": nginx_rtmp.rtmp_url("one"), "manifest": nginx_rtmp.hls_url("one")}}
    outputs = [rtmp, {"hls": {"segment_seconds": 1, "window": 4}}, {"ts": {}}, {"named_pipe": {}}]
    daemon = daemon_of({"one": {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": outputs}}, cache=prepared)
    daemon.start()
    return daemon


def page(daemon: RunningDaemon) -> str:
    with daemon.client() as client:
        return client.get("/metrics").raise_for_status().text


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    return {(s.name, *s.labels.values()): s.value for family in text_string_to_metric_families(text) for s in family.samples}


def test_document_and_daemon_agree_in_names_kinds_and_labels(on_air: RunningDaemon) -> None:
    rows = documented()

    def without_figures() -> set[str]:
        return {name for name, (_, samples) in shown(page(on_air)).items() if not samples}

    wait_until(lambda: without_figures() <= WITHOUT_FIGURES, what="a figure of every metric", timeout_s=40)
    found = shown(page(on_air))
    assert sorted(found) == sorted(rows)
    assert {name: kind for name, (kind, _) in found.items()} == {name: row.kind for name, row in rows.items()}
    strange = {(name, *sorted(labels)) for name, (_, samples) in found.items() for labels in samples if labels.keys() != rows[name].labels}
    assert strange == set()
    bounded = {"state": {*CHANNEL_STATES, *OUTPUT_STATES}, "verdict": set(VERDICTS), "reason": set(REASONS), "channel": {"one"}}
    for label, allowed in bounded.items():
        values = {labels[label] for _, samples in found.values() for labels in samples if label in labels}
        assert values <= allowed, label


def test_the_figures_are_those_of_a_channel_that_is_well(on_air: RunningDaemon) -> None:
    wait_until(lambda: figures(page(on_air)).get(("channeld_joins_total", "one"), 0) >= 3, what="three joins")
    wait_until(lambda: figures(page(on_air)).get(("channeld_output_state", "one", "rtmp", "up")) == 1, what="the push to be up")
    wait_until(lambda: ("channeld_manifest_age_seconds", "one", "hls") in figures(page(on_air)), what="a look at the manifest")
    got = figures(page(on_air))
    assert got["channeld_join_gap_ticks_total", "one", "video"] == got["channeld_join_gap_ticks_total", "one", "audio"] == 0
    assert abs(got["channeld_join_skew_ticks", "one"]) <= got["channeld_join_skew_max_ticks", "one"] <= JOIN_ERROR_TICKS
    assert 0 < got["channeld_bus_bytes", "one"] <= got["channeld_bus_capacity_bytes", "one"]
    assert got["channeld_bus_seconds", "one"] > 1
    assert got["channeld_fifo_bytes", "one", "rtmp"] <= got["channeld_fifo_capacity_bytes", "one", "rtmp"]
    assert got["channeld_reader_lag_seconds", "one", "rtmp"] < 10
    assert 24 * 86_400 < got["channeld_rtmp_clock_headroom_seconds", "one", "rtmp"] <= 2**31 / 1000
    assert got[("channeld_cache_bytes",)] > 0 and got["channeld_prepare_queue_clips", "ready"] >= 3
    assert got["channeld_channels", "on_air"] == 1
    assert got["channeld_channel_cpu_seconds_total", "one", "push"] > 0
    assert all(got["channeld_process_resident_bytes", name] > 1e6 for name in ("control", "holder", "host:0", "media:0"))


def test_requests_are_timed_by_their_route_not_by_what_they_name(on_air: RunningDaemon) -> None:
    with on_air.client() as client:
        for number in range(3):
            client.get(f"/api/v1/channels/no-{number}")
            client.get(f"/nowhere/{number}")
    httpx.get(f"{on_air.admin_url}/api/v1/channels")
    got = figures(page(on_air))
    name = "channeld_http_request_seconds_count"
    assert got[name, "GET", "/api/v1/channels/{channel}", "404"] == 3
    assert got[name, "GET", "none", "404"] == 3
    assert got[name, "GET", "none", "401"] == 1
