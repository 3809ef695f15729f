"""An edit and whoever waits for it: made, refused, left before it began, or not known; and no more of them than may wait."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection

from channeld.base.errors import StoreError
from channeld.store.backlog import MAX_EDITS, MAX_RELAY_EVENTS, Backlog
from channeld.store.database import Database
from channeld.store.edits import Edit
from channeld.store.relay_errors import ValueRefused
from channeld.store.relay_records import RelayEvent
from channeld.store.store import Store


def edit(committed: list[int] | None = None) -> Edit[int]:
    return Edit(lambda connection: 7, (committed if committed is not None else []).append)


def test_what_was_committed_is_noted_before_it_is_acknowledged() -> None:
    noted: list[int] = []
    one = edit(noted)
    assert one.begin()
    one.settle(7)
    assert one.wait(10.0) == 7 and noted == [7]


def test_an_edit_that_nobody_waits_for_any_more_is_never_begun() -> None:
    one = edit()
    with pytest.raises(StoreError, match="nothing was changed"):
        one.wait(0.01)
    assert not one.begin()


def test_an_edit_that_was_begun_and_not_finished_in_time_is_told_as_unknown() -> None:
    one = edit()
    assert one.begin()
    with pytest.raises(StoreError, match="it may still be"):
        one.wait(0.01)
    one.settle(7)


def test_a_refusal_reaches_whoever_waits() -> None:
    one = edit()
    thread = threading.Thread(target=lambda: one.begin() and one.fail(ValueRefused("name", "too long")))
    thread.start()
    with pytest.raises(ValueRefused, match="name: too long"):
        one.wait(10.0)
    thread.join(10.0)


def test_edits_that_wait_are_bounded_and_none_is_taken_after_the_last() -> None:
    backlog = Backlog()
    for _ in range(MAX_EDITS):
        backlog.ask(edit())
    with pytest.raises(StoreError, match="too many"):
        backlog.ask(edit())
    assert len(backlog.take_edits(is_last=True)) == MAX_EDITS
    with pytest.raises(StoreError, match="ends"):
        backlog.ask(edit())


def test_events_of_relays_that_wait_are_bounded_and_the_oldest_given_up() -> None:
    backlog = Backlog()
    for number in range(MAX_RELAY_EVENTS + 3):
        backlog.put(RelayEvent(number, 1, 0.0, "told"))
    assert backlog.given_up.relay_events == 3 and backlog.take().relay_events[0].id == 3


def test_what_an_edit_wrote_before_it_was_refused_is_undone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open()
    store.start()

    def half(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO meta VALUES ('half', 'made')")
        raise ValueRefused("name", "no")

    def fails(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO meta VALUES ('half', 'made')")
        raise RuntimeError("a fault of ours")

    with pytest.raises(ValueRefused):
        store._edit(half, lambda _: None, 10.0)
    with pytest.raises(StoreError, match="RuntimeError"):
        store._edit(fails, lambda _: None, 10.0)
    store.close()
    database = Database(tmp_path / "channeld.db")
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM meta WHERE key = 'half'").scalar() == 0
    database.close()
