"""The refresher: lists are fetched when due or asked for, one at a time, and one that fails is left alone for a while."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nginx_origin import wait_until

from channeld.base.clock import FakeClock
from channeld.channel.proxy_refresh import Refresh
from channeld.channel.proxy_worker import Refresher
from channeld.store.relay_errors import UnknownRecord
from channeld.store.relay_records import ChannelChanges, ProxyDraft
from channeld.store.store import Store


class Bench:
    """A real store and refresher; what fetching gives is said by the test."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(wall_s=1_000.0)
        self.store = Store(folder, clock=self.clock)
        self.store.open()
        self.store.start()
        self.fetched: list[str] = []
        self.changes = 0
        self.gate = threading.Event()
        self.gate.set()
        self.error: str | None = None
        self.refresher = Refresher(self.store.relays, self.attempt, self.clock, self.changed)

    def changed(self) -> None:
        self.changes += 1

    def attempt(self, proxy_id: str, should_stop: Callable[[], bool]) -> Refresh:
        self.fetched.append(proxy_id)
        self.gate.wait(30)
        if self.error is not None:
            self.store.relays.note_failure(proxy_id, self.error)
            return Refresh(proxy_id, self.clock.wall_s(), self.error)
        changes = self.store.relays.replace_channels(proxy_id, [], self.clock.wall_s())
        return Refresh(proxy_id, self.clock.wall_s(), None, 1, ChannelChanges(1, changes.changed, 0))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.gate.set()
    made.refresher.close()
    made.store.close()


def test_a_list_that_was_never_fetched_is_due_at_once_and_what_it_changed_is_told(bench: Bench) -> None:
    bench.store.relays.add_proxy(ProxyDraft("TV", "x"))
    bench.refresher.start()
    wait_until(lambda: bench.changes == 1, what="a change", timeout_s=30)
    assert bench.fetched == ["tv"]


def test_who_asks_gets_what_came_of_it_and_who_does_not_wait_is_told_so(bench: Bench) -> None:
    bench.store.relays.add_proxy(ProxyDraft("TV", "x"))
    bench.gate.clear()
    bench.refresher.start()
    assert bench.refresher.refresh("tv", 0.01) is None
    bench.gate.set()
    done = bench.refresher.refresh("tv", 30)
    assert done is not None and done.channels == 1
    with pytest.raises(UnknownRecord):
        bench.refresher.refresh("nobody", 30)


def test_a_list_that_fails_is_left_alone_until_somebody_asks_or_a_minute_went_by(bench: Bench) -> None:
    bench.error = "no"
    bench.store.relays.add_proxy(ProxyDraft("TV", "x"))
    bench.refresher.start()
    wait_until(lambda: bench.fetched == ["tv"], what="the first attempt", timeout_s=30)
    bench.refresher.wake()
    done = bench.refresher.refresh("tv", 30)
    assert done is not None and done.error == "no" and bench.changes == 0
    count = len(bench.fetched)
    bench.clock.advance(3_700)
    bench.refresher.wake()
    wait_until(lambda: len(bench.fetched) > count, what="another attempt", timeout_s=30)
