"""Which source airs: the rules of loss and return, by a clock that the test moves."""

from dataclasses import replace

import pytest

from channeld.channel.failover import Failover, FailoverRules, OnAir, Standing
from channeld.sources.spec import SWITCH_S, Reason, SourceState

RULES = FailoverRules(loss_grace_s=2.0, recovery_grace_s=5.0, buffer_s=1.0)
LIVE = Standing(SourceState.LIVE, clip="main-1")
LOST = Standing(SourceState.LOST, Reason.CANNOT_CONNECT)


@pytest.fixture
def failover() -> Failover:
    return Failover(["main", "backup", "last"], RULES)


def live(name: str, since_s: float, number: int = 1) -> Standing:
    return replace(LIVE, clip=f"{name}-{number}", since_s=since_s)


def test_a_source_airs_once_enough_of_it_is_in_store(failover: Failover) -> None:
    failover.told("main", live("main", 10.0))
    assert failover.best(11.0, None) is None
    assert failover.look_again_in_s(11.0) == pytest.approx(0.5)
    assert failover.best(11.5, None) == "main"


def test_one_that_was_lost_has_to_stay_for_the_grace(failover: Failover) -> None:
    failover.told("main", LOST)
    failover.told("main", live("main", 10.0))
    assert failover.best(14.9, None) is None and failover.best(15.0, None) == "main"


def test_a_source_that_flaps_does_not_flap_the_air(failover: Failover) -> None:
    failover.told("main", LOST)
    failover.told("backup", live("backup", 0.0))
    on_air = OnAir("backup", "backup-1")
    for second in range(10, 60, 4):
        failover.told("main", live("main", second, second))
        assert failover.best(second + 3.9, on_air) == "backup"
        failover.told("main", replace(LOST, since_s=second + 3.9))
    failover.told("main", live("main", 60.0))
    assert failover.best(65.0, on_air) == "main"


def test_what_is_on_air_and_live_stays_on_air(failover: Failover) -> None:
    failover.told("main", LOST)
    failover.told("main", live("main", 10.0))
    assert failover.best(10.1, OnAir("main", "main-1")) == "main"
    assert failover.best(10.1, OnAir("main", "main-0")) is None  # of the connection before


def test_backups_are_connected_to_one_after_the_other(failover: Failover) -> None:
    assert failover.wanted(0.0, None) == ("main",)
    failover.told("main", LOST)
    assert failover.wanted(0.0, None) == ("main", "backup")
    failover.told("backup", LOST)
    assert failover.wanted(0.0, None) == ("main", "backup", "last")
    failover.told("backup", live("backup", 0.0))
    assert failover.wanted(10.0, OnAir("backup", "backup-1")) == ("main", "backup")
    failover.told("main", live("main", 10.0))
    assert failover.wanted(11.0, OnAir("backup", "backup-1")) == ("main", "backup")
    assert failover.wanted(20.0, OnAir("backup", "backup-1")) == ("main",)


def test_hot_standby_connects_to_all() -> None:
    assert Failover(["main", "backup"], replace(RULES, standby="hot")).wanted(0.0, None) == ("main", "backup")


def test_a_lost_source_airs_what_of_it_is_in_store_for_the_grace_at_most(failover: Failover) -> None:
    failover.told("main", replace(LOST, reason=Reason.ENDED, since_s=10.0))
    assert failover.must_leave_in_s("main", 10.5) == pytest.approx(1.5 - 2 * SWITCH_S)
    failover.told("main", replace(LOST, reason=Reason.TIMED_OUT, since_s=10.0))
    assert failover.must_leave_in_s("main", 10.0) == 0.0


def test_the_grace_begins_with_the_silence_and_another_reason_does_not_lengthen_it(failover: Failover) -> None:
    failover.told("main", live("main", 0.0))
    failover.told("main", replace(LOST, reason=Reason.ENDED, since_s=10.1, silent_s=10.0))
    failover.told("main", replace(LOST, reason=Reason.CANNOT_CONNECT, since_s=10.7, silent_s=10.0))
    failover.told("main", replace(LOST, reason=Reason.OTHER, since_s=11.5))  # the process that took it in was killed, and knows of nothing
    assert failover.must_leave_in_s("main", 11.5) == pytest.approx(0.5 - 2 * SWITCH_S)
    failover.told("main", live("main", 20.0))
    failover.told("main", replace(LOST, reason=Reason.ENDED, since_s=30.0))
    assert failover.must_leave_in_s("main", 30.0) == pytest.approx(2.0 - 2 * SWITCH_S)


def test_a_source_that_ran_dry_proves_itself_again(failover: Failover) -> None:
    failover.told("main", live("main", 0.0))
    failover.underran("main", 10.0)
    assert failover.look_again_in_s(10.0) is None
    assert failover.heard("main", 10.5, idle_s=0.2) and failover.look_again_in_s(10.5) == pytest.approx(4.5)
    assert failover.best(14.0, None) is None and failover.best(15.0, None) == "main"


def test_one_that_ran_dry_and_sends_nothing_does_not_prove_itself_and_the_next_is_connected_to(failover: Failover) -> None:
    failover.told("main", live("main", 0.0))
    failover.underran("main", 10.0)
    for second in range(11, 60):
        failover.heard("main", second, idle_s=second - 8.0)
        assert failover.best(second + 0.9, None) is None
    assert failover.wanted(60.0, None) == ("main", "backup")
    failover.heard("main", 60.0, idle_s=0.1)
    assert failover.wanted(60.0, None) == ("main",)
    assert failover.best(64.1, None) == "main"


def test_a_process_that_begins_anew_is_lost_until_it_is_there_and_the_backup_stays_connected(failover: Failover) -> None:
    failover.told("main", LOST)
    failover.told("main", Standing(SourceState.CONNECTING))
    assert failover.wanted(0.0, None) == ("main", "backup")


def test_more_is_kept_than_was_asked_for_never_less_however_often_it_runs_dry() -> None:
    failover = Failover(["main"], replace(RULES, buffer_s=30.0))
    failover.told("main", live("main", 0.0))
    for second in range(3000):
        failover.underran("main", second)
    assert failover.store_s("main") == 30.0


def test_the_oftener_a_source_runs_dry_the_more_of_it_is_kept_until_it_is_connected_to_anew(failover: Failover) -> None:
    failover.told("main", live("main", 0.0))
    stores = [failover.store_s("main")]
    for second in range(10):
        failover.underran("main", second)
        stores.append(failover.store_s("main"))
    assert stores[0] == 1.0 and stores == sorted(stores) and stores[-1] == 10.0
    failover.told("main", LOST)
    assert failover.store_s("main") == 1.0
