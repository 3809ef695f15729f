"""Starts, stops and idle spells without end leave nothing behind: no process, descriptor, file or thread, and no memory.

With --long as many cycles as CHANNELD_TEST_CYCLES says: 1000 unless it is set.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cycling import IDLE_S, Cycles, at_rest, growth, prepared
from peers.mock_peer import MockPeer
from running import RunningDaemon

FEW = ("a", "b"), ("c",)
MANY = tuple("abcdef"), tuple("ghij")
"""Channels that are started and stopped, and channels that are watched for a while: as many as may have a source at a time."""
_LEAST_MEMORY = 24 << 20
"""What caches and allocators may take of a new daemon, whatever it does."""
_PER_CYCLE = 4 << 10


def channels(url: str, started: Iterable[str], watched: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Some that are started and stopped, and some whose source is wanted while somebody watches."""

    def source() -> dict[str, Any]:
        return {"name": "camera", "url": url, "timeout_seconds": 5}

    always = {name: {"sources": [source()], "outputs": [{"ts": {}}, {"hls": {"segment_seconds": 1}}]} for name in started}
    on_demand = {"lifecycle": "on_demand", "idle_seconds": IDLE_S}
    return {**always, **{name: {"sources": [source()], "outputs": [{"ts": {}}], **on_demand} for name in watched}}


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(30, marks=pytest.mark.timeout(600)),
        pytest.param(0, marks=[pytest.mark.long, pytest.mark.timeout(86_400)], id="many"),
    ],
)
def test_cycles_leave_nothing_behind(
    count: int,
    daemon_of: Callable[..., RunningDaemon],
    http_ts_server: Callable[..., MockPeer],
    record_property: Callable[[str, object], None],
) -> None:
    started, watched = FEW if count else MANY
    count = count or int(os.environ.get("CHANNELD_TEST_CYCLES", "1000"))
    daemon = daemon_of(channels(http_ts_server(size="320x180", fps="25").url, started, watched))
    daemon.start()
    # What is made once, with the first of its kind, is made now: the thread that reads live clips is one.
    daemon.wait_for(started[0], lambda shown: (shown["now"] or {}).get("title") == "camera", what="the source on air", timeout_s=120)
    for name in started:
        daemon.post(f"/api/v1/channels/{name}/stop")
    cycles = Cycles(daemon, started=started, watched=watched)
    cycles.run(2 * len(started + watched))
    prepared(daemon)
    before = at_rest(daemon, None)
    took_s = cycles.run(count)
    after = at_rest(daemon, before)
    grown = sum(after.memory.values()) - sum(before.memory.values())
    record_property("cycles", {"kinds": dict(cycles.done), "seconds": round(took_s, 1), "grown_bytes": grown})
    assert cycles.faults == []
    assert growth(before, after) == []
    assert grown < _LEAST_MEMORY + _PER_CYCLE * count
