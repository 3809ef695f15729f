"""The store on PostgreSQL: the same rows, and a server that goes away and comes back costs nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql_server import Server, running_server
from station import until

from channeld.store.records import Airing, Ending, EventRecord, HlsPosition, Outcome, Position
from channeld.store.store import AiringFilter, Store


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


def test_everything_is_kept_while_the_server_is_away_and_is_there_again(server: Server, tmp_path: Path) -> None:
    now = time.time()
    here = Position({"played": ["\udcff"]}, "tag", "a\0b.mp4", 1, None, now, 2**40)
    store = Store(tmp_path, url=server.url)
    store.open()
    store.start()
    store.add_airing(Airing(1, "one", now, Outcome.ON_AIR, "life", 1, "e1", "films/a.mp4"))
    store.flush(20)
    server.stop()
    store.save_position("one", here)
    store.save_hls(HlsPosition("one", "hls", 3, 4))
    store.add_event(EventRecord(1, now, {"id": 1}))
    store.add_airing(Ending(2, "one", "life", 1, Outcome.CUT, now + 1, 25, "skip"))
    store.add_airing(Airing(3, "one", now, Outcome.END, "life", 2**70))  # no column takes that
    until(lambda: store.problem is not None, "the problem")
    server.start()
    until(lambda: store.problem is None, "the end of the problem")
    store.flush(20)
    store.close()
    again = Store(tmp_path, url=server.url)
    again.open()
    (line,) = again.airings(AiringFilter(path="a.mp4"), 10)
    assert (line.outcome, line.frames, line.reason) == (Outcome.CUT, 25, "skip")
    assert again.totals(AiringFilter())[0].frames == 25 and again.newest_ids() == (1, 1)
    found = again.load_position("one")
    assert found is not None and (found.memory, found.path, found.ticks) == ({"played": ["\udcff"]}, "a\\x00b.mp4", 2**40)
    assert again.load_hls("one", "hls") == HlsPosition("one", "hls", 3, 4)
    again.close()
