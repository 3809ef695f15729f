"""How long a control waits for a holder that dies: not at all the first time, then longer and longer, over its successors."""

import contextlib

import pytest

from channeld.daemon_losses import HEALTHY_S, LONGEST_WAIT_S, VARIABLE, HolderLosses, closed_anyway


def test_the_first_loss_is_not_waited_for_and_later_ones_wait_longer_up_to_a_limit() -> None:
    environ: dict[str, str] = {}
    counted = [HolderLosses(environ, now_s=100.0).count(now_s=101.0) for _ in range(9)]
    assert [in_a_row for in_a_row, _ in counted] == list(range(1, 10))
    assert [wait_s for _, wait_s in counted] == [0, 1, 2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_control_that_ran_well_begins_to_count_anew() -> None:
    environ = {VARIABLE: "7"}
    assert HolderLosses(environ, now_s=0.0).count(now_s=HEALTHY_S) == (1, 0.0)
    assert environ[VARIABLE] == "1"


def test_what_somebody_else_put_into_the_environment_is_no_count() -> None:
    assert HolderLosses({VARIABLE: "²"}, now_s=0.0).count(now_s=1.0) == (1, 0.0)


def test_a_part_that_does_not_end_does_not_keep_a_successor_from_its_place() -> None:
    def fail() -> None:
        raise RuntimeError("thread playlists:loader did not end within 10.0 s")

    with closed_anyway(lambda: True), contextlib.ExitStack() as parts:
        parts.callback(fail)
    with pytest.raises(RuntimeError), closed_anyway(lambda: False):
        fail()
