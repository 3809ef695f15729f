"""Row 12: nobody listens at the push's target for a long time."""

import threading

import pytest
from stage import Stage, poll_s

from channeld.process.backoff import LONGEST_S, Backoff

pytestmark = pytest.mark.long

CLOSED_S = 6.0
HOUR_S = 3600.0


def test_a_closed_port_is_tried_at_bounded_cost_and_used_as_soon_as_it_opens(stage: Stage) -> None:
    with stage.row(12) as row:
        stage.push_pid("air")
        stage.wire.is_refusing = True
        stage.wire.hang_up()
        attempts = stage.wire.attempts
        threading.Event().wait(CLOSED_S)  # the fault's own length
        row.measured["attempts_each_second"] = round((stage.wire.attempts - attempts) / CLOSED_S, 1)
        assert stage.output("air")["state"] == "retrying"
        stage.wire.is_refusing = False
        row.measured["back_after_open_s"] = poll_s(lambda: stage.output("air")["state"] == "up", what="the push to be up")
        stage.wait_for_news(["air"])
        embedded = stage.look("air", row.since["air"])
    assert embedded.complaints() == []
    assert row.measured["back_after_open_s"] <= 2 * LONGEST_S


def test_an_hour_of_failures_is_a_few_hundred_attempts_never_more_than_10_s_apart() -> None:
    """By the waits themselves: an hour passes in no time."""
    backoff, waits = Backoff(), list[float]()
    while sum(waits) < HOUR_S:
        waits.append(backoff.next_s(healthy_for_s=0.0))
    assert max(waits) <= LONGEST_S
    assert HOUR_S / LONGEST_S <= len(waits) <= 500
    assert len(set(waits[10:])) == len(waits[10:]), "no jitter"
