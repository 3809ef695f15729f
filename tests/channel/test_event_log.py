"""What happened and what aired: nobody waits, nobody misses more than was promised."""

import threading

from channeld.channel import events
from channeld.channel.events import EventLog


def start(log: EventLog, serial: int, *, channel: str = "one", entry: str = "e1") -> None:
    log.publish("entry_started", channel=channel, serial=serial, entry=entry, title="T", path="t.mp4", at="2026-11-21T10:00:00.000Z")


def end(log: EventLog, serial: int, *, channel: str = "one", reason: str = "end") -> None:
    log.publish("entry_ended", channel=channel, serial=serial, frames=25, reason=reason, error=None)


def test_a_listener_hears_what_comes_after_it_in_order() -> None:
    log = EventLog()
    log.publish("before")
    listener = log.subscribe(None)
    assert listener is not None
    for number in range(3):
        log.publish("counted", number=number)
    assert [event["number"] for event in iter(lambda: listener.get(0), None)] == [0, 1, 2]


def test_a_listener_that_comes_again_gets_what_it_missed() -> None:
    log = EventLog()
    for number in range(5):
        log.publish("counted", number=number)
    listener = log.subscribe(2)
    assert listener is not None
    assert [event["id"] for event in iter(lambda: listener.get(0), None)] == [3, 4, 5]


def test_a_listener_that_does_not_read_loses_only_its_own_oldest() -> None:
    log = EventLog()
    slow, quick = log.subscribe(None), log.subscribe(None)
    assert slow is not None and quick is not None
    heard = []
    for number in range(events.QUEUED_EVENTS + 10):
        log.publish("counted", number=number)
        heard.append(quick.get(0))
    assert [event["number"] for event in heard if event] == list(range(events.QUEUED_EVENTS + 10))
    first = slow.get(0)
    assert first is not None and first["number"] == 10


def test_too_many_listeners_are_refused_and_a_closed_one_makes_room() -> None:
    log = EventLog()
    listeners = [log.subscribe(None) for _ in range(events.MAX_LISTENERS)]
    assert log.subscribe(None) is None
    assert listeners[0] is not None
    listeners[0].close()
    listeners[0].close()
    assert log.subscribe(None) is not None


def test_an_airing_is_told_with_its_end() -> None:
    log = EventLog()
    start(log, 1)
    start(log, 1, channel="two")
    end(log, 1, reason="cut")
    newest_of_one = log.as_run("one", 1)[0]
    assert (newest_of_one["ended"], newest_of_one["frames"]) == ("cut", 25)
    assert log.as_run("two", 1)[0]["ended"] is None


def test_serials_that_begin_again_after_a_restart_are_not_mixed_up() -> None:
    log = EventLog()
    start(log, 1, entry="old")
    end(log, 1)
    start(log, 1, entry="new")
    end(log, 1, reason="cut")
    assert [(airing["entry"], airing["ended"]) for airing in log.as_run("one", 10)] == [("new", "cut"), ("old", "end")]


def test_many_threads_publish_without_losing_or_doubling_an_id() -> None:
    log = EventLog()
    threads = [threading.Thread(target=lambda: [log.publish("counted") for _ in range(200)]) for _ in range(4)]
    listener = log.subscribe(None)
    assert listener is not None
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [event["id"] for event in iter(lambda: listener.get(0), None)]
    assert sorted(ids) == list(range(1, 801))
