"""Remedies come one at a time, ever more rarely, and only when what feeds the output goes on."""

from channeld.readback.judge import Condition, Verdict
from channeld.readback.recovery import COURSES, Recovery, Remedy

S = 1_000_000_000
STALE = Verdict(Condition.STALE, "no new segment", 0.0, 0)
UNREACHABLE = Verdict(Condition.UNREACHABLE, "no answer", 0.0, 0)
OK = Verdict(Condition.OK, None, 0.0, 0)


def treated(recovery: Recovery, verdict: Verdict, *, seconds: range, delivers_since_s: float | None = 0.0) -> list[tuple[int, Remedy]]:
    found = []
    for now_s in seconds:
        since_ns = None if delivers_since_s is None else round(delivers_since_s * S)
        remedy = recovery.consider(verdict, delivers_since_ns=since_ns, now_ns=now_s * S)
        if remedy is not None:
            found.append((now_s, remedy))
    return found


def test_a_push_whose_origin_stands_still_is_restarted_ever_more_rarely() -> None:
    found = treated(Recovery(COURSES["rtmp"], 20.0), STALE, seconds=range(2000))
    assert [at for at, _ in found] == [20, 50, 110, 230, 470, 950, 1550]
    assert {remedy for _, remedy in found} == {Remedy.RESTART_PUSH}


def test_a_push_that_is_not_up_is_left_to_itself() -> None:
    assert treated(Recovery(COURSES["rtmp"], 20.0), STALE, seconds=range(200), delivers_since_s=None) == []
    assert treated(Recovery(COURSES["rtmp"], 20.0), STALE, seconds=range(115), delivers_since_s=90.0) == [(110, Remedy.RESTART_PUSH)]


def test_an_origin_that_does_not_answer_is_no_reason_to_restart_the_push() -> None:
    assert treated(Recovery(COURSES["rtmp"], 20.0), UNREACHABLE, seconds=range(600)) == []


def test_the_embedded_origin_is_ordered_again_and_then_restarted() -> None:
    found = treated(Recovery(COURSES["hls"], 20.0), STALE, seconds=range(200))
    assert found == [(20, Remedy.ORDER_AGAIN), (50, Remedy.RESTART_WORKER), (110, Remedy.RESTART_WORKER)]


def test_a_worker_that_does_not_answer_takes_no_orders_either() -> None:
    found = treated(Recovery(COURSES["hls"], 20.0), UNREACHABLE, seconds=range(60))
    assert found == [(20, Remedy.RESTART_WORKER), (50, Remedy.RESTART_WORKER)]


def test_after_a_minute_of_health_trouble_is_new() -> None:
    recovery = Recovery(COURSES["hls"], 20.0)
    treated(recovery, STALE, seconds=range(60))
    treated(recovery, OK, seconds=range(60, 130))
    again = Verdict(Condition.STALE, "", 0.0, 130 * S)
    assert treated(recovery, again, seconds=range(130, 170)) == [(150, Remedy.ORDER_AGAIN)]
