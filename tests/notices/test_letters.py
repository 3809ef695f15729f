"""Messages to one target: few, full and bounded, tried again until they are taken."""

from channeld.notices.alert_book import Fact, Notice, Phase
from channeld.notices.letters import GIVE_UP_S, LINES, WAITING, Letterbox, write
from channeld.notices.settings import AlertRule, Trouble

RULE = AlertRule("down", Trouble.OUTPUT_DOWN, ("ops",))


def notice(number: int = 0, phase: Phase = Phase.FIRING) -> Notice:
    return Notice(phase, RULE, Fact(Trouble.OUTPUT_DOWN, f"c{number}/rtmp", "connection lost", f"c{number}"), 42.0)


def test_what_happens_together_goes_in_one_message() -> None:
    box = Letterbox()
    box.add(notice(1, Phase.RESOLVED), 0)
    box.add(notice(2), 3)
    assert (box.due(9, 10), box.wait_s(9, 10)) == (None, 1)
    letter = box.due(10, 10)
    assert letter is not None and letter.is_bad
    assert letter.title == "channeld: 1 firing, 1 resolved"
    assert letter.body.splitlines() == ["FIRING down c2/rtmp: connection lost (for 42 s)", "RESOLVED down c1/rtmp, after 42 s"]
    box.taken()
    assert (box.due(100, 10), box.wait_s(100, 10), len(box), box.sent) == (None, None, 0, 1)


def test_a_single_notice_stands_in_the_title() -> None:
    letter = write([notice(1, Phase.RESOLVED)])
    assert (letter.title, letter.is_bad) == ("channeld: resolved down c1/rtmp", False)


def test_a_message_that_was_not_taken_is_tried_again_before_the_next_one() -> None:
    box = Letterbox()
    box.add(notice(1), 0)
    first = box.due(10, 10)
    box.failed("no connection", 10)
    box.add(notice(2), 10)
    assert box.due(10, 0) is None
    wait_s = box.wait_s(10, 0)
    assert wait_s is not None and 0 < wait_s <= 5
    assert box.due(15, 0) == first
    assert (box.last_error, box.failures) == ("no connection", 1)
    box.taken()
    second = box.due(15, 0)
    assert second is not None and "c2/rtmp" in second.body
    assert box.last_error is None


def test_a_message_that_nobody_takes_for_a_day_is_given_up() -> None:
    box = Letterbox()
    box.add(notice(1), 0)
    assert box.due(0, 0) is not None
    box.failed("no connection", GIVE_UP_S + 1)
    assert (box.dropped, len(box), box.due(GIVE_UP_S * 2, 0)) == (1, 0, None)


def test_what_waits_and_what_is_written_are_bounded() -> None:
    box = Letterbox()
    for number in range(WAITING + 5):
        box.add(notice(number), 0)
    assert (len(box), box.dropped) == (WAITING, 5)
    letter = box.due(0, 0)
    assert letter is not None
    assert len(letter.body.splitlines()) == LINES + 1
    assert letter.body.endswith(f"and {WAITING - LINES} more: GET /api/v1/status lists what stands")
