"""Retention: the past is forgotten a little at a time, and never because a clock jumped."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from channeld.base.clock import FakeClock
from channeld.store.backlog import Batch
from channeld.store.database import Database
from channeld.store.pruning import DAY_S, Pruner, Retention
from channeld.store.records import Airing, AudienceSpan, EventRecord, Outcome
from channeld.store.relay_records import RelayEvent
from channeld.store.schema import airings, audience, events, relay_events
from channeld.store.writes import PRUNED_ROWS, write

NOW_S = 1_800_000_000.0


class Past:
    """A database with history, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(wall_s=NOW_S)
        self.database = Database(folder / "channeld.db")
        self.database.prepare()
        self.pruner = self.begin_again()

    def begin_again(self) -> Pruner:
        """As after a restart."""
        self.pruner = Pruner(Retention(event_days=30, as_run_days=400), self.clock)
        return self.pruner

    def add(self, count: int, *, age_days: float) -> None:
        at_s = self.clock.wall_s() - age_days * DAY_S
        first = sum(self.counts()) + 1
        batch = Batch()
        batch.events.extend(EventRecord(number, at_s, {}) for number in range(first, first + count))
        batch.airings.extend(Airing(number, "one", at_s, Outcome.END) for number in range(first, first + count))
        with self.database.writer() as connection, connection.begin():
            write(connection, batch)

    def step(self, after_s: float = 0.0) -> tuple[int, int]:
        """One transaction of the writer; gives how many events and airings are left."""
        self.clock.advance(after_s)
        with self.database.writer() as connection, connection.begin():
            self.pruner.step(connection)
        return self.counts()

    def counts(self) -> tuple[int, int]:
        with self.database.reading() as connection:
            found = [len(connection.execute(table.select()).fetchall()) for table in (events, airings)]
        return found[0], found[1]


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path)
    yield made
    made.database.close()


def test_events_go_after_their_days_and_as_run_after_its_own(past: Past) -> None:
    past.add(10, age_days=29.9)
    past.add(10, age_days=31)
    past.add(10, age_days=399)
    past.add(10, age_days=401)
    assert past.step() == (10, 30)


def test_events_of_relays_go_with_all_others(past: Past) -> None:
    ages = {1: 29.9, 2: 31.0, 3: 399.0}
    batch = Batch(relay_events=deque(RelayEvent(number, 1, NOW_S - age * DAY_S, "told") for number, age in ages.items()))
    with past.database.writer() as connection, connection.begin():
        write(connection, batch)
    past.step()
    with past.database.reading() as connection:
        assert list(connection.execute(select(relay_events.c.id)).scalars()) == [1]


def test_much_is_forgotten_in_small_steps(past: Past) -> None:
    past.add(2 * PRUNED_ROWS + 10, age_days=31)
    left = [past.step(1.0)[0] for _ in range(4)]
    assert left == [PRUNED_ROWS + 10, 10, 0, 0]


def test_a_clock_that_jumps_ahead_prunes_nothing_until_it_went_on_for_a_day(past: Past) -> None:
    past.add(10, age_days=1)
    past.step()
    past.clock.jump(400 * DAY_S)
    assert past.step(61.0) == (10, 10)
    assert past.step(0.9 * DAY_S) == (10, 10)
    assert past.step(0.2 * DAY_S) == (0, 0)


def test_a_clock_that_jumps_ahead_and_back_costs_nothing(past: Past) -> None:
    past.add(10, age_days=1)
    past.step()
    past.clock.jump(400 * DAY_S)
    past.step(3_600.0)
    past.clock.jump(-400 * DAY_S)
    assert past.step(2 * DAY_S) == (10, 10)


def test_a_start_with_a_wrong_clock_prunes_nothing_nor_does_the_one_after(past: Past) -> None:
    past.add(10, age_days=1)
    past.step()
    past.clock.jump(400 * DAY_S)
    for _ in range(3):
        past.begin_again()
        assert past.step(3_600.0) == (10, 10)


def test_a_start_after_a_night_prunes_at_once(past: Past) -> None:
    past.add(10, age_days=30.5)
    past.step()
    past.add(10, age_days=29.9)
    past.begin_again()
    assert past.step(0.5 * DAY_S)[0] == 0


def test_minutes_of_viewers_are_kept_for_two_days_and_hours_as_long_as_told(past: Past) -> None:
    def at(days: float) -> int:
        return int(NOW_S - days * DAY_S)

    batch = Batch()
    for span_s, days in ((60, 1), (60, 3), (3600, 3), (3600, 399), (3600, 401)):
        key = "one", span_s, at(days), 1
        batch.spans[key] = AudienceSpan(*key, 1, 1.0, [0] * 10, 0.0, {}, {}, {})
    with past.database.writer() as connection, connection.begin():
        write(connection, batch)
    past.step()
    with past.database.reading() as connection:
        found = {(row.span_s, row.at_s) for row in connection.execute(select(audience))}
    assert found == {(60, at(1)), (3600, at(3)), (3600, at(399))}
