"""What is counted of relays' sources, as long as there are the relays."""

from types import SimpleNamespace
from typing import Any

from channeld.control_relay_watch import RelayWatch


def test_losses_are_counted_and_those_of_a_removed_channel_are_forgotten() -> None:
    parts: Any = SimpleNamespace(channels={"one": None}, relays=None, ids=frozenset())
    watch = RelayWatch(parts, parts, parts, parts, parts)
    for channel in ("one", "two", "two"):
        watch._told({"kind": "source_state", "state": "lost", "channel": channel})
        watch._told({"kind": "source_state", "state": "live", "channel": channel})
    assert (watch.losses("one"), watch.losses("two")) == ((1, 1), (2, 2))
    watch._save()
    assert (watch.losses("one"), watch.losses("two")) == ((1, 1), (0, 0))
