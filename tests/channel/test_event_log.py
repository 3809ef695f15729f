"""What happened and what aired: nobody waits, nobody misses more than was promised."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from channeld.channel import events
from channeld.channel.events import EventLog
from channeld.store.store import Store

AT = "2026-11-21T10:00:00.000Z"


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Callable[[], EventLog]]:
    """Gives the log as a new process would have it; the one before ends first."""
    stores: list[Store] = []

    def run() -> EventLog:
        for store in stores:
            store.close()
        store = Store(tmp_path)
        store.open()
        log = EventLog(store)
        store.start(log.publish, log.remembered)
        stores.append(store)
        return log

    yield run
    for store in stores:
        store.close()


def ids_after(log: EventLog, last_id: int) -> list[int]:
    listener = log.subscribe(last_id)
    return [event["id"] for event in iter(lambda: listener.get(0), None)]


def start(log: EventLog, serial: int, *, channel: str = "one", entry: str = "e1", timeline: str = "life") -> None:
    facts = {"channel": channel, "serial": serial, "entry": entry, "timeline": timeline}
    log.publish("entry_started", title="T", path="t.mp4", at=AT, **facts)


def end(log: EventLog, serial: int, *, channel: str = "one", reason: str = "end", timeline: str = "life") -> None:
    facts = {"channel": channel, "serial": serial, "timeline": timeline, "ended_at": AT}
    log.publish("entry_ended", frames=25, reason=reason, error=None, **facts)


def test_a_listener_hears_what_comes_after_it_in_order() -> None:
    log = EventLog()
    log.publish("before")
    listener = log.subscribe(None)
    for number in range(3):
        log.publish("counted", number=number)
    assert [event["number"] for event in iter(lambda: listener.get(0), None)] == [0, 1, 2]


def test_a_listener_that_comes_again_gets_what_it_missed() -> None:
    log = EventLog()
    for number in range(5):
        log.publish("counted", number=number)
    listener = log.subscribe(2)
    assert [event["id"] for event in iter(lambda: listener.get(0), None)] == [3, 4, 5]


def test_a_listener_that_does_not_read_loses_only_its_own_oldest() -> None:
    log = EventLog()
    slow, quick = log.subscribe(None), log.subscribe(None)
    heard = []
    most = events.QUEUED_EVENTS + events.KEPT_EVENTS
    for number in range(most + 10):
        log.publish("counted", number=number)
        heard.append(quick.get(0))
    assert [event["number"] for event in heard if event] == list(range(most + 10))
    first = slow.get(0)
    assert first is not None and first["number"] == 10


def test_a_listener_that_is_closed_hears_no_more() -> None:
    log = EventLog()
    listener = log.subscribe(None)
    listener.close()
    listener.close()
    log.publish("unheard")
    assert listener.get(0) is None


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
    start(log, 1, entry="new", timeline="next life")
    end(log, 1, reason="cut", timeline="next life")
    assert [(airing["entry"], airing["ended"]) for airing in log.as_run("one", 10)] == [("new", "cut"), ("old", "end")]


def test_many_threads_publish_without_losing_or_doubling_an_id() -> None:
    log = EventLog()
    threads = [threading.Thread(target=lambda: [log.publish("counted") for _ in range(200)]) for _ in range(4)]
    listener = log.subscribe(None)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [event["id"] for event in iter(lambda: listener.get(0), None)]
    assert sorted(ids) == list(range(1, 801))


def test_ids_go_on_over_a_restart_and_a_listener_gets_what_it_missed(reopen: Callable[[], EventLog]) -> None:
    before = reopen()
    for number in range(5):
        before.publish("counted", number=number)
    after = reopen()
    after.publish("counted", number=5)
    assert ids_after(after, 2) == [3, 4, 5, 5 + events.ID_LEAP + 1]


def test_no_id_is_given_twice_when_a_killed_process_could_not_write_its_last_ones(reopen: Callable[[], EventLog]) -> None:
    """Who heard of events that no database holds gets what comes after a restart, and nothing again."""
    reopen().publish("counted")
    heard_last = 1 + events.KEPT_EVENTS  # these were told, not written, and the process was killed
    after = reopen()
    assert after.newest_id >= heard_last
    assert ids_after(after, heard_last) == []
    after.publish("counted")
    assert ids_after(after, heard_last) == [after.newest_id]


def test_only_the_newest_events_are_held_in_memory_after_a_restart(reopen: Callable[[], EventLog]) -> None:
    before = reopen()
    for number in range(events.KEPT_EVENTS + 100):
        before.publish("counted", number=number)
    kept = ids_after(reopen(), 0)
    assert (len(kept), kept[-1]) == (events.KEPT_EVENTS, events.KEPT_EVENTS + 100)


def test_a_listener_of_a_database_that_was_lost_gets_all_there_is(reopen: Callable[[], EventLog], tmp_path: Path) -> None:
    """Its last id was given by another life: nothing says that it heard the first ones of this life."""
    log = reopen()
    log.publish("counted")
    assert ids_after(log, 5_000) == [1]


def test_events_are_read_and_told_with_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "channeld.db").mkdir()
    store = Store(tmp_path)
    store.open()
    log = EventLog(store)
    store.start(log.publish, log.remembered)
    log.publish("counted")
    found = ids_after(log, 0)
    store.close()
    assert found and found[0] > 1_000_000_000_000  # greater than whatever the unreadable database holds
