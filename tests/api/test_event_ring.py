"""The ring of events: whatever the pace of a reader, it gets each event once, in order, or is told how many it missed."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from channeld.api.event_ring import KEPT, PIECE_EVENTS, EventRing, Wanted


def ring_of(count: int, first: int = 1) -> EventRing:
    ring = EventRing()
    for number in range(first, first + count):
        ring.put({"id": number, "kind": f"kind_{'ab'[number % 2]}", "at": "", "channel": f"c{number % 3}"})
    return ring


def told(piece: bytes) -> list[dict[str, Any]]:
    """The data of each event in a piece."""
    found: list[dict[str, Any]] = []
    for block in piece.decode().split("\n\n")[:-1]:
        lines = block.splitlines()
        assert lines[-1].startswith("data: "), block
        found.append(json.loads(lines[-1].removeprefix("data: ")))
    return found


def read_all(ring: EventRing, place: int, wanted: Wanted | None = None) -> list[dict[str, Any]]:
    found = []
    while place < ring.end:
        piece, place = ring.read(place, wanted or Wanted())
        found += told(piece)
    return found


def test_one_that_comes_for_the_first_time_begins_with_what_comes() -> None:
    ring = ring_of(5)
    place = ring.begin(None)
    ring.put({"id": 6, "kind": "new"})
    assert [event["id"] for event in read_all(ring, place)] == [6]


def test_one_that_comes_again_begins_behind_what_it_read() -> None:
    ring = ring_of(5)
    assert [event["id"] for event in read_all(ring, ring.begin(3))] == [4, 5]
    assert read_all(ring, ring.begin(5)) == []


def test_an_id_that_was_never_given_gets_all_that_is_kept() -> None:
    ring = ring_of(5)
    assert [event["id"] for event in read_all(ring, ring.begin(99))] == [1, 2, 3, 4, 5]


def test_a_piece_is_bounded() -> None:
    ring = ring_of(KEPT)
    piece, place = ring.read(0, Wanted())
    assert len(told(piece)) == PIECE_EVENTS == place


def test_a_filter_passes_over_what_is_not_wanted() -> None:
    ring = ring_of(12)
    wanted = Wanted.of("c0,c1", "kind_a")
    found = read_all(ring, 0, wanted)
    assert [event["id"] for event in found] == [4, 6, 10, 12]
    assert ring.newest(wanted, 3) == found[:0:-1]


def test_what_concerns_no_channel_is_not_wanted_of_one() -> None:
    assert not Wanted.of("c0", None).admits({"id": 1, "kind": "config_reloaded"})
    assert Wanted.of(None, "config_reloaded").admits({"id": 1, "kind": "config_reloaded"})


@settings(deadline=None, max_examples=30)
@given(steps=st.lists(st.tuples(st.integers(1, KEPT * 2), st.integers(0, 60)), max_size=4))
def test_every_event_comes_once_or_is_counted_as_missed(steps: list[tuple[int, int]]) -> None:
    """`steps`: so many events come, then so many pieces are read."""
    ring, place, given_ids, expected = EventRing(), 0, 0, 1
    for news, pieces in [*steps, (1, 1_000)]:
        for _ in range(news):
            given_ids += 1
            ring.put({"id": given_ids, "kind": "counted"})
        for _ in range(pieces):
            piece, place = ring.read(place, Wanted())
            for event in told(piece):
                if event["kind"] == "missed":
                    expected += event["count"]
                else:
                    assert event["id"] == expected
                    expected += 1
    assert expected == given_ids + 1
