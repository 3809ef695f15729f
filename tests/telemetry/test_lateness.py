"""Lateness: counted by bucket, in plain numbers."""

import json
from dataclasses import asdict

from channeld.telemetry.lateness import LATENESS_BUCKETS_S, Lateness, LatenessFigures


def test_a_release_falls_into_the_bucket_whose_bound_it_does_not_pass() -> None:
    lateness = Lateness()
    lateness.observe(50_000_000)
    lateness.observe(50_000_001)
    counts = lateness.figures().counts
    at = LATENESS_BUCKETS_S.index(0.05)
    assert (counts[at], counts[at + 1], sum(counts)) == (1, 1, 2)


def test_an_early_release_counts_as_punctual_and_a_very_late_one_in_the_last_bucket() -> None:
    lateness = Lateness()
    lateness.observe(-5)
    lateness.observe(60_000_000_000)
    figures = lateness.figures()
    assert (figures.counts[0], figures.counts[-1], figures.sum_s) == (1, 1, 60.0)


def test_figures_survive_the_way_through_a_message() -> None:
    lateness = Lateness()
    lateness.observe(1)
    told = json.loads(json.dumps(asdict(lateness.figures())))
    assert LatenessFigures(tuple(told["counts"]), told["sum_s"]) == lateness.figures()
