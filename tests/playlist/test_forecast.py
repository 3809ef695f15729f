"""When entries air is the queue's order laid end to end, for any list, and trying an edit changes nothing."""

from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from channeld.playlist.forecast import UNKNOWN_LENGTH_S, forecast
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.queue import Order, Queue

LENGTHS_S = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 0.04}


def playlist(names: str, repeat: int = 1) -> Playlist:
    """A clip for each letter; `x` has a fault."""
    entries = [
        Entry(f"e{n}", name, Path("/media", name), None, name, repeat=repeat, fault="bad" if name == "x" else None)
        for n, name in enumerate(names, 1)
    ]
    return Playlist(tuple(entries), Path("/media/list.txt"))


def queue_of(names: str, *, order: Order = "sequential", repeat: int = 1) -> Queue:
    queue = Queue(order, 7)
    queue.apply(playlist(names, repeat))
    return queue


def length_s(entry: Entry) -> float | None:
    """A letter's length; `u` is not known."""
    return LENGTHS_S.get(entry.locator)


def told(queue: Queue, *, starts_s: float = 0.0, until_s: float = 100.0, limit: int = 50) -> list[tuple[str, float]]:
    return [(each.entry.locator, each.starts_s) for each in forecast(queue, length_s, starts_s=starts_s, until_s=until_s, limit=limit)]


def test_each_entry_begins_where_the_one_before_it_ends_round_after_round():
    assert told(queue_of("abc"), starts_s=5.0) == [("a", 5.0), ("b", 15.0), ("c", 35.0), ("a", 65.0), ("b", 75.0), ("c", 95.0)]


def test_it_begins_after_the_entry_that_airs():
    queue = queue_of("abc")
    queue.started(queue.plan(1, lambda _: Readiness.READY)[0].id)
    assert told(queue, until_s=30.0) == [("b", 0.0), ("c", 20.0)]


def test_a_repeated_entry_airs_as_often_as_it_says():
    assert told(queue_of("ab", repeat=2), until_s=60.0) == [("a", 0.0), ("a", 10.0), ("b", 20.0), ("b", 40.0)]


def test_faulty_and_refused_entries_take_no_time():
    queue = queue_of("axbc")
    found = forecast(queue, length_s, starts_s=0, until_s=50, limit=9, is_refused=lambda entry: entry.locator == "b")
    assert [(each.entry.locator, each.starts_s) for each in found] == [("a", 0), ("c", 10), ("a", 40)]


def test_what_is_put_in_between_comes_first():
    queue = queue_of("ab")
    queue.play_next(Entry("", "c", Path("/media/c"), None, "c"))
    assert told(queue, until_s=50.0) == [("c", 0.0), ("a", 30.0), ("b", 40.0)]


def test_behind_an_unknown_length_everything_is_an_estimate():
    found = forecast(queue_of("aub"), length_s, starts_s=0.0, until_s=80.0, limit=9)
    assert [(each.entry.locator, each.starts_s, each.is_estimated) for each in found] == [
        ("a", 0.0, False),
        ("u", 10.0, False),
        ("b", 10.0 + UNKNOWN_LENGTH_S, True),
    ]


def test_it_ends_at_the_limit_and_where_nothing_may_air():
    assert len(told(queue_of("d"), until_s=1e9, limit=25)) == 25
    assert told(queue_of("xx")) == []
    assert told(Queue("sequential", 0)) == []


def test_a_list_of_clips_without_any_length_ends_at_the_limit():
    assert len(forecast(queue_of("ab"), lambda _: 0.0, starts_s=0.0, until_s=1.0, limit=30)) == 30


def test_the_length_of_an_entry_is_asked_for_once():
    asked: list[str] = []
    forecast(queue_of("ab"), lambda entry: asked.append(entry.locator) or 1.0, starts_s=0.0, until_s=30.0, limit=99)
    assert asked == ["a", "b"]


def test_an_edit_tried_on_a_copy_is_not_seen_in_the_queue():
    queue = queue_of("abc")
    before = queue.memory()
    twin = queue.copy()
    twin.apply(playlist("ca"))
    twin.play_next(Entry("", "b", Path("/media/b"), None, "b"))
    twin.started(twin.plan(1, lambda _: Readiness.READY)[0].id)
    assert told(twin, until_s=40.0) == [("c", 0.0), ("a", 30.0)]
    assert queue.memory() == before and queue.revision == 1
    assert [name for name, _ in told(queue, until_s=60.0)] == ["a", "b", "c"]


NAMES = st.text("abcdux", min_size=1, max_size=8)


@given(NAMES, NAMES, st.integers(0, 9), st.sampled_from(["sequential", "shuffle"]), st.integers(1, 3))
def test_a_copy_and_the_queue_air_the_same_from_any_place(names: str, edited: str, aired: int, order: Order, repeat: int):
    """What the forecast says is what then airs, and an edited copy airs what the queue airs after the same edit."""
    queue = queue_of(names, order=order, repeat=repeat)
    for _ in range(aired):
        for entry in queue.plan(1, lambda _: Readiness.READY):
            queue.started(entry.id)
    twin = queue.copy()
    twin.apply(playlist(edited, repeat))
    untouched = [each.entry.id for each in forecast(queue, length_s, starts_s=0, until_s=Fraction(10**9), limit=20)]
    assert untouched == [entry.id for entry in queue.plan(20, lambda _: Readiness.READY)]
    queue.apply(playlist(edited, repeat))
    expected = [each.entry.id for each in forecast(twin, length_s, starts_s=0, until_s=10**9, limit=20)]
    for entry_id in expected:
        assert queue.plan(1, lambda _: Readiness.READY)[0].id == entry_id
        queue.started(entry_id)
