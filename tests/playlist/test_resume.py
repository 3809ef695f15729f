"""Where a channel goes on after an outage, against a clock that plays the list frame by frame."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channeld.base.units import FrameRate
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.queue import Order, Queue
from channeld.playlist.resume import Position, ResumeRules, Resumption, resume

RATE = FrameRate(25, 1)
LENGTHS = {"a": 100, "b": 50, "c": 7, "d": 1, "x": 30}


def entry(name: str, repeat: int = 1) -> Entry:
    return Entry("e0", name, Path("/media", name), None, name, repeat=repeat)


def playlist(*names: str, repeat: dict[str, int] | None = None) -> Playlist:
    return Playlist(tuple(entry(name, (repeat or {}).get(name, 1)) for name in names), Path("/media/list.txt"))


def air(queue: Queue) -> Entry:
    first = queue.plan(1, lambda _: Readiness.READY)[0]
    queue.started(first.id)
    return first


def queue_playing(*names: str, aired: int = 1, order: Order = "sequential", **more: dict[str, int]) -> Queue:
    queue = Queue(order, 3)
    queue.apply(playlist(*names, **more))
    for _ in range(aired):
        air(queue)
    return queue


def restarted(queue: Queue, order: Order, listed: Playlist) -> Queue:
    memory = json.loads(json.dumps(queue.memory()))
    other = Queue(order, 3)
    other.restore(memory)
    other.apply(listed)
    return other


def resumed(queue: Queue, rule: str, frame: int, outage: int, lengths: dict[str, int | None] | None = None) -> tuple[str | None, int]:
    """Name and frame that a queue goes on with."""
    rules = ResumeRules(*rule.split())  # type: ignore[arg-type]
    known = LENGTHS | (lengths or {})
    position = Position(queue.current.id, frame, 1000.0) if queue.current else None
    now = 1000 + outage / 25
    found = resume(queue, position, rules, now_wall_s=now, rate=RATE, length=lambda each: known[each.locator])
    return found.entry and found.entry.locator, found.frame


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("exact hold", ("a", 60)),
        ("exact continue", ("b", 10)),
        ("entry hold", ("a", 0)),
        ("entry continue", ("b", 0)),
        ("start hold", (None, 0)),
        ("start continue", (None, 0)),
    ],
)
def test_each_rule_goes_on_at_its_place(rule: str, expected: tuple[str | None, int]):
    assert resumed(queue_playing("c", "a", "b", "d", aired=2), rule, 60, 50) == expected


def names(queue: Queue, count: int) -> str:
    return "".join(each.locator for each in queue.plan(count, lambda _: Readiness.READY))


def test_what_goes_on_is_planned_first_and_its_start_moves_nothing():
    queue = queue_playing(*"abcd")
    assert resumed(queue, "exact hold", 10, 0) == ("a", 10) and names(queue, 5) == "abcda"
    assert air(queue).locator == "a" and names(queue, 4) == "bcda"


def test_the_clock_lands_in_an_entry_and_the_list_goes_on_after_it():
    queue = queue_playing(*"abcd")
    assert resumed(queue, "exact continue", 10, 145) == ("c", 5) and names(queue, 4) == "cdab"
    assert air(queue).locator == "c" and names(queue, 2) == "da"


def test_the_list_starts_anew_without_any_memory_of_its_place():
    queue = queue_playing(*"abc", aired=2)
    inserted = queue.play_next(entry("x"))
    assert resumed(queue, "start hold", 10, 0) == (None, 0) and names(queue, 4) == "xabc"
    queue.apply(playlist(*"zbac"))
    assert air(queue) == inserted and names(queue, 3) == "zba"


def test_an_entry_that_was_spent_or_will_not_air_any_more_hands_over_to_the_next():
    assert resumed(queue_playing(*"ab"), "exact hold", 100, 0) == (None, 0)
    queue = queue_playing(*"ab")
    assert resumed(queue, "exact hold", 30, 0, {"a": 0}) == (None, 0) and names(queue, 2) == "ba"
    assert resumed(queue_playing(*"abc"), "exact continue", 30, 100, {"a": 0, "b": 0}) == ("c", 130 % 7)


def test_an_entry_of_unknown_length_ends_the_walk_at_its_start():
    assert resumed(queue_playing(*"abc"), "exact continue", 0, 200, {"b": None}) == ("b", 0)
    assert resumed(queue_playing(*"abc"), "exact continue", 30, 200, {"a": None}) == ("a", 0)
    assert resumed(queue_playing(*"abc"), "exact hold", 30, 200, {"a": None}) == ("a", 30)
    assert resumed(queue_playing(*"abc", aired=3), "exact continue", 0, 10**9, {"b": None}) == ("b", 0)


def test_a_removed_entry_hands_over_to_its_successor_and_the_clock_counts_it():
    for rule, expected in (("exact hold", (None, 0)), ("exact continue", ("c", 3)), ("entry continue", ("c", 0))):
        queue = restarted(queue_playing(*"abcd", aired=2), "sequential", playlist(*"acd"))
        assert resumed(queue, rule, 20, 33) == expected
        assert names(queue, 2) == "cd"
        air(queue)
        assert names(queue, 2) == "da"


def test_what_was_put_in_between_is_not_lost_in_an_outage():
    queue = queue_playing(*"abc")
    queue.play_next(entry("x"))
    assert resumed(queue, "exact continue", 0, 120) == ("b", 20) and names(queue, 4) == "bxca"
    air(queue), air(queue)
    assert queue.current is not None and queue.current.locator == "x"
    assert resumed(queue, "exact hold", 12, 50) == ("x", 12) and names(queue, 3) == "xca"


def test_an_outage_inside_of_repeats_goes_on_with_the_repeat_that_would_air():
    queue = queue_playing("a", "b", repeat={"a": 5})
    assert resumed(queue, "exact continue", 0, 230) == ("a", 30)
    air(queue)
    assert names(queue, 4) == "aaba"


def test_a_clock_that_went_back_is_no_outage():
    assert resumed(queue_playing(*"abc"), "exact continue", 30, -500) == ("a", 30)


def test_nothing_that_airs_is_no_place():
    assert resumed(queue_playing(*"abc"), "exact continue", 30, 500, dict.fromkeys("abc", 0)) == (None, 0)
    assert resumed(Queue("shuffle", 1), "exact continue", 30, 500) == (None, 0)


def test_a_position_of_another_entry_is_not_believed():
    queue = queue_playing(*"abc", aired=2)
    stale = Position(queue.listed(0).id, 90, 0.0)
    found = resume(queue, stale, ResumeRules(), now_wall_s=1e9, rate=RATE, length=lambda each: LENGTHS[each.locator])
    assert found == Resumption(queue.listed(1))


def test_a_second_outage_before_the_resumed_entry_began_begins_it_anew():
    queue = queue_playing(*"abc")
    assert resumed(queue, "exact continue", 0, 120) == ("b", 20)
    queue = restarted(queue, "sequential", playlist(*"abc"))
    assert resumed(queue, "exact continue", 0, 120) == ("b", 0) and names(queue, 2) == "bc"


def played(queue: Queue) -> Iterator[tuple[str, int]]:
    """Frame for frame from the start of the playing entry, for ever."""
    assert queue.current is not None
    entry = queue.current
    while True:
        yield from ((entry.locator, frame) for frame in range(LENGTHS[entry.locator]))
        entry = air(queue)


lists = st.lists(st.sampled_from("abcd"), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@example("shuffle", ["a", "d", "d"], 2, 101, 1)  # the old round's last is the new round's first
@given(st.sampled_from(["sequential", "shuffle"]), lists, st.integers(1, 12), st.integers(0, 700), st.integers(1, 3))
def test_the_clock_lands_where_the_list_would_have_played_to(order: Order, clips: list[str], aired: int, frames: int, repeat: int):
    listed = playlist(*clips, repeat=dict.fromkeys("ac", repeat))
    queue = queue_playing(*clips, aired=aired, order=order, repeat=dict.fromkeys("ac", repeat))
    other = restarted(queue, order, listed)
    lap = sum(LENGTHS[name] * (repeat if name in "ac" else 1) for name in clips)
    clock = played(queue)
    expected = next(clock)
    for _ in range(frames):
        expected = next(clock)
    found = resumed(other, "exact continue", 0, frames)
    if order == "sequential" or frames < lap:
        assert found == expected
        air(other)
        assert names(other, 10) == names(queue, 10)
    assert found[0] is not None and found[1] < LENGTHS[found[0]]


@pytest.mark.parametrize("order", ["sequential", "shuffle"])
def test_a_month_is_walked_at_once(order: Order):
    queue = queue_playing(*"abcd" * 2_000, order=order)
    name, frame = resumed(queue, "exact continue", 0, 25 * 86_400 * 31 + 3)
    assert name is not None and frame < LENGTHS[name]
    round_of_it = [each.id for each, _ in queue.rest_of_round()]
    assert len(set(round_of_it)) == len(round_of_it) < 8_000
