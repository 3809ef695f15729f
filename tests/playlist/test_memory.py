"""A queue that is written down and restored is the queue it was; what was promised is never lost."""

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channeld.playlist.memory import EXACT_ENTRIES
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.queue import Order, Queue

READY, PENDING, REFUSED = Readiness.READY, Readiness.PENDING, Readiness.REFUSED


def entry(name: str, repeat: int = 1) -> Entry:
    return Entry("e0", name, Path("/media", name), None, name.title(), repeat=repeat, fault="bad" if "!" in name else None)


def playlist(*names: str, repeat: dict[str, int] | None = None) -> Playlist:
    return Playlist(tuple(entry(name, (repeat or {}).get(name, 1)) for name in names), Path("/media/list.txt"))


def by_name(pending: str = "", refused: str = "") -> Callable[[Entry], Readiness]:
    return lambda each: PENDING if each.locator in pending else REFUSED if each.locator in refused else READY


def names(entries: list[Entry]) -> list[str]:
    return [each.locator for each in entries]


def air(queue: Queue) -> str:
    first = queue.plan(1, by_name())[0]
    queue.started(first.id)
    return first.locator


def through_json(memory: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(memory))


def restarted(queue: Queue, order: Order, listed: Playlist | None, seed: int = 5, *, first: bool = True) -> Queue:
    """Another queue that goes on where this one was, with the newest list applied before the memory or after it."""
    memory = through_json(queue.memory())
    other = Queue(order, seed)
    if first and listed is not None:
        other.apply(listed)
    other.restore(memory)
    if not first and listed is not None:
        other.apply(listed)
    return other


clips = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f!"]), max_size=7)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), clips, st.integers(1, 3)),
        st.tuples(st.just("air"), st.sets(st.sampled_from("abcde")), st.sets(st.sampled_from("abcde"), max_size=2)),
        st.tuples(st.just("air the second"), st.sets(st.sampled_from("abcde")), st.just(0)),
        st.tuples(st.just("insert"), st.sampled_from("xyab"), st.integers(1, 3)),
    ),
    max_size=30,
)


def do(queue: Queue, step: tuple[str, Any, Any]) -> Any:
    """One step of a story, and what came of it."""
    verb, what, more = step
    if verb == "edit":
        return queue.apply(playlist(*what, repeat=dict.fromkeys("abc", more)))
    if verb == "insert":
        return queue.play_next(entry(what, more))
    refused = "".join(more) if verb == "air" else ""
    plan = queue.plan(2, by_name("".join(what), refused))
    chosen = plan[-1:] if verb == "air the second" else plan[:1]
    late = {plan[0].id} if verb == "air the second" and plan else set()
    return names(plan), [queue.started(each.id, late - {each.id}) for each in chosen]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["sequential", "shuffle"]), clips, steps, st.booleans())
def test_a_queue_restarted_after_every_step_goes_as_one_that_never_was(order: Order, first: list[str], story: list[Any], list_first: bool):
    lasting, mortal = Queue(order, 5), Queue(order, 5)
    listed = playlist(*first)
    for queue in (lasting, mortal):
        queue.apply(listed)
    for step in story:
        assert do(mortal, step) == do(lasting, step)
        listed = playlist(*step[1], repeat=dict.fromkeys("abc", step[2])) if step[0] == "edit" else listed
        mortal = restarted(mortal, order, listed, first=list_first)
        assert mortal.plan(12, by_name()) == lasting.plan(12, by_name())
        assert (mortal.revision, mortal.current, mortal.memory()) == (lasting.revision, lasting.current, lasting.memory())


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["sequential", "shuffle"]), clips, st.integers(0, 15), clips, st.booleans())
def test_an_edit_while_it_was_down_counts_as_one_while_it_was_up(
    order: Order, before: list[str], aired: int, after: list[str], list_first: bool
):
    queue = Queue(order, 5)
    queue.apply(playlist(*before))
    for _ in range(aired if any("!" not in name for name in before) else 0):
        air(queue)
    other = restarted(queue, order, playlist(*after), first=list_first)
    queue.apply(playlist(*after))
    assert other.revision == queue.revision
    assert other.plan(20, by_name()) == queue.plan(20, by_name())


@pytest.mark.parametrize("size", [200, EXACT_ENTRIES, EXACT_ENTRIES + 1])
def test_no_entry_airs_twice_in_a_shuffled_round_over_a_restart_with_an_edit(size: int):
    clips = [f"{n}.mp4" for n in range(size)]
    queue = Queue("shuffle", 5)
    queue.apply(playlist(*clips))
    aired = {air(queue) for _ in range(40)}
    queue.apply(playlist("fresh.mp4", *clips[::-1]))
    aired |= {air(queue) for _ in range(40)}
    queue = restarted(queue, "shuffle", playlist("new.mp4", "fresh.mp4", *clips[1:], "newer.mp4"))
    rest = [each.locator for each, _ in queue.rest_of_round()]
    assert len(set(rest)) == len(rest) and not aired & set(rest)
    assert aired | set(rest) | {"0.mp4"} >= {*clips, "fresh.mp4"}
    assert size > EXACT_ENTRIES or {"new.mp4", "newer.mp4"} <= set(rest)


@pytest.mark.parametrize("order", ["sequential", "shuffle"])
def test_a_long_unedited_round_goes_on_exactly(order: Order):
    listed = playlist(*[f"{n}.mp4" for n in range(EXACT_ENTRIES + 500)])
    queue = Queue(order, 5)
    queue.apply(listed)
    for each in queue.plan(30, by_name()):
        queue.started(each.id)
    other = restarted(queue, order, listed)
    assert other.plan(100, by_name()) == queue.plan(100, by_name())


@pytest.mark.parametrize("order", ["sequential", "shuffle"])
@pytest.mark.parametrize("size", [EXACT_ENTRIES, 3 * EXACT_ENTRIES])
def test_a_memory_is_small_whatever_the_list(order: Order, size: int):
    queue = Queue(order, 5)
    queue.apply(playlist(*[f"{n}.mp4" for n in range(size)]))
    queue.plan(1, lambda each: PENDING if int(each.locator[:-4]) < size - 1 else READY)
    queue.started(queue.plan(1, by_name())[0].id)
    queue.apply(playlist(*[f"{n}.mp4" for n in range(size // 2, 3 * size // 2)]))
    assert len(json.dumps(queue.memory())) <= 64 << 10


def test_the_round_goes_on_when_a_hundred_followers_but_one_are_gone():
    clips = [str(n) for n in range(70)]
    queue = Queue("sequential", 0)
    queue.apply(playlist(*clips))
    for _ in range(3):
        air(queue)
    assert names(restarted(queue, "sequential", playlist("0", "66", "67")).plan(1, by_name())) == ["66"]
    assert names(restarted(queue, "sequential", playlist("0", "67", "68")).plan(1, by_name())) == ["0"]


def test_an_acknowledged_insertion_outlives_restarts_without_any_list():
    queue = Queue("sequential", 0)
    queue.apply(playlist("a", "b"))
    air(queue)
    trimmed = Entry("e0", "x", Path("/media/x"), None, "X", in_s=Fraction(1, 3), out_s=Fraction(7, 2), duration_s=None, repeat=2)
    first, second = queue.play_next(trimmed), queue.play_next(Entry("e0", "https://h/y", None, "https://h/y", "Y"))
    for _ in range(3):
        queue = restarted(queue, "sequential", None)
        assert queue.plan(3, by_name()) == [first, first, second]
    queue.apply(playlist())
    queue = restarted(queue, "sequential", playlist())
    third = queue.play_next(entry("z"))
    assert third.id not in (first.id, second.id)
    queue.started(first.id)
    queue = restarted(queue, "sequential", playlist("a", "b"))
    assert names(queue.plan(5, by_name())) == ["x", "https://h/y", "z", "b", "a"]


def test_a_revision_never_names_two_lists_over_restarts():
    queue = Queue("sequential", 0)
    revisions = []
    for clips in ("", "ab", "ab", "ba", "", "", "ab"):
        queue = restarted(queue, "sequential", playlist(*clips), first=len(revisions) % 2 == 0)
        revisions.append(queue.revision)
    assert revisions == [1, 2, 2, 3, 4, 4, 5]
    assert restarted(queue, "sequential", playlist("a", "b", repeat={"b": 2})).revision == 6


def test_a_change_of_the_order_keeps_the_place():
    queue = Queue("sequential", 5)
    queue.apply(playlist(*"abcdef"))
    for _ in range(3):
        air(queue)
    shuffled = restarted(queue, "shuffle", playlist(*"abcdef"))
    assert sorted(names(shuffled.plan(5, by_name()))) == list("abdef")
    air(shuffled)
    after = names(restarted(shuffled, "sequential", playlist(*"abcdef")).plan(6, by_name()))
    assert shuffled.current is not None and after[-1] == shuffled.current.locator and sorted(after) == list("abcdef")


DAMAGE = [
    lambda memory: memory.clear(),
    lambda memory: memory.update(version=99),
    lambda memory: memory.update(current=["n1"]),
    lambda memory: memory.update(run=3),
    lambda memory: memory.update(owed="abc"),
    lambda memory: memory["course"].update(tags="~~~ ~"),
    lambda memory: memory["course"].update(tags="01"),
    lambda memory: memory["course"].update(through="xyz", tags=None),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_memory_is_refused_and_leaves_the_queue_as_it_was(damage: Callable[[dict[str, Any]], None]):
    queue = Queue("shuffle", 5)
    queue.apply(playlist(*"abc"))
    memory = through_json(queue.memory())
    damage(memory)
    other = Queue("shuffle", 5)
    other.apply(playlist(*"xy"))
    before = other.memory()
    with pytest.raises(ValueError, match=r"."):
        other.restore(memory)
    assert other.memory() == before


def test_names_of_files_that_are_no_text_are_kept():
    odd = "caf\udce9.mp4"
    queue = Queue("sequential", 0)
    queue.apply(playlist(odd, "b"))
    inserted = queue.play_next(entry(odd))
    queue = restarted(queue, "sequential", playlist(odd, "b"))
    assert queue.plan(1, by_name()) == [inserted]


def test_an_entry_that_began_may_begin_again_without_moving_the_list():
    queue = Queue("sequential", 0)
    queue.apply(playlist("a", "b", repeat={"a": 3}))
    for _ in range(2):
        air(queue)
    before = names(queue.plan(4, by_name()))
    again = queue.begin_again()
    queue = restarted(queue, "sequential", playlist("a", "b", repeat={"a": 3}))
    assert again is not None and queue.is_to_begin_again and names(queue.plan(5, by_name())) == ["a", *before]
    queue.started(again.id)
    assert not queue.is_to_begin_again and names(queue.plan(4, by_name())) == before


def test_one_that_should_begin_again_and_is_not_ready_keeps_its_turn_and_one_refused_does_not():
    queue = Queue("sequential", 0)
    queue.apply(playlist(*"abc"))
    air(queue)
    queue.begin_again()
    assert names(queue.plan(2, by_name(pending="a"))) == ["b", "c"]
    air_b = queue.plan(1, by_name(pending="a"))[0]
    queue.started(air_b.id)
    assert names(queue.plan(3, by_name())) == ["a", "c", "a"]
    assert names(queue.plan(2, by_name(refused="a"))) == ["c", "b"] and not queue.is_to_begin_again


def test_one_that_is_listed_no_more_does_not_begin_again():
    queue = Queue("sequential", 0)
    queue.apply(playlist(*"abc"))
    air(queue)
    queue.begin_again()
    queue.apply(playlist(*"bc"))
    assert not queue.is_to_begin_again and queue.begin_again() is None
    assert list(islice(names(queue.plan(2, by_name())), 2)) == ["b", "c"]
