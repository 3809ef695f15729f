"""Days of air in minutes: nothing is lost, and a seed is a story."""

from dataclasses import replace
from pathlib import Path

import pytest

from channeld.soak.faults import FAULTS
from channeld.soak.report import Report
from channeld.soak.run import Order, Progress, run_soak
from channeld.soak.stock import Stock

IN_A_HURRY = tuple(replace(fault, every_s=fault.every_s / 12) for fault in FAULTS)


def soak(stock: Stock, folder: Path, order: Order) -> Report:
    seen: list[Progress] = []
    report = run_soak(order, stock, folder, seen.append)
    assert [each.share for each in seen] == sorted(each.share for each in seen) and seen[-1].joins <= report.joins
    return report


def test_channels_live_through_every_fault_to_the_frame(stock: Stock, tmp_path: Path):
    report = soak(stock, tmp_path, Order(0.12, channels=3, seed=3, faults=IN_A_HURRY))
    assert report.complaints == () and report.is_good
    assert set(report.faults) == {fault.name for fault in FAULTS}
    assert report.joins > 100 and report.counts["frames"] > 0.9 * 3 * 0.12 * 36_000 and report.counts["readers lapped"] > 0


def test_the_same_seed_is_the_same_story(stock: Stock, tmp_path: Path):
    order = Order(0.02, channels=2, seed=5, faults=IN_A_HURRY)
    first, second, other = (soak(stock, tmp_path / name, replace(order, seed=seed)) for name, seed in (("1", 5), ("2", 5), ("3", 6)))
    assert first.digest == second.digest != other.digest
    assert (first.joins, first.faults, first.counts) == (second.joins, second.faults, second.counts)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_three_channels_for_72_hours(stock: Stock, tmp_path: Path):
    report = soak(stock, tmp_path, Order(72.0, channels=3, seed=1))
    assert report.complaints == () and report.is_good
    assert report.joins > 50_000 and report.continuity_errors == 0
