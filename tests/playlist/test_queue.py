"""What airs next is what the queue rules say, for any list, any edit and any readiness."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.order import moved_indices
from channeld.playlist.queue import Queue

READY, PENDING, REFUSED = Readiness.READY, Readiness.PENDING, Readiness.REFUSED


def playlist(*names: str, repeat: dict[str, int] | None = None) -> Playlist:
    """A list of clips by name; a name with `!` has a fault."""
    entries = tuple(
        Entry(f"e{n}", name, Path("/media", name), None, name, repeat=(repeat or {}).get(name, 1), fault="bad" if "!" in name else None)
        for n, name in enumerate(names, 1)
    )
    return Playlist(entries, Path("/media/list.txt"))


def names(entries: list[Entry]) -> list[str]:
    return [entry.locator for entry in entries]


def by_name(pending: str = "", refused: str = "") -> Callable[[Entry], Readiness]:
    """Readiness by the clip's name, one letter each."""
    return lambda entry: PENDING if entry.locator in pending else REFUSED if entry.locator in refused else READY


def air(queue: Queue) -> str:
    """Begin whatever the plan has first when all is ready; its name."""
    first = queue.plan(1, by_name())[0]
    queue.started(first.id)
    assert queue.current == first
    return first.locator


def queue_of(*clips: str, playing: str = "", **more: dict[str, int]) -> Queue:
    """A sequential queue that has aired each letter of `playing` in turn."""
    queue = Queue("sequential", 0)
    queue.apply(playlist(*clips, **more))
    for name in playing:
        assert air(queue) == name
    return queue


def test_a_list_goes_round_for_ever():
    assert names(queue_of("a", "b", "c").plan(7, by_name())) == list("abcabca")


def test_a_list_with_one_ready_entry_repeats_it():
    assert names(queue_of("a", "b", "c").plan(4, by_name(pending="ac"))) == list("bbbb")


def test_an_empty_list_and_one_without_a_ready_entry_plan_nothing():
    assert Queue("sequential", 0).plan(5, by_name()) == []
    assert queue_of("a").plan(5, by_name(pending="a")) == []
    assert queue_of("a", playing="a").plan(0, by_name()) == []


def test_next_is_the_entry_after_the_playing_one_in_the_newest_list():
    queue = queue_of("a", "b", "c", playing="ab")
    queue.apply(playlist("c", "a", "b", "x", "y"))
    assert names(queue.plan(3, by_name())) == ["x", "y", "c"]


def test_when_the_playing_entry_was_removed_its_first_surviving_successor_is_next():
    queue = queue_of(*"abcde", playing="ab")
    queue.apply(playlist("x", "e", "d", "a"))
    assert air(queue) == "d"


def test_the_surviving_successor_is_still_next_after_a_second_edit():
    queue = queue_of(*"abcd", playing="ab")
    queue.apply(playlist("a", "c", "d"))
    queue.apply(playlist("a", "n", "c", "d"))
    assert names(queue.plan(2, by_name())) == ["c", "d"]


def test_when_no_successor_survives_the_start_is_next():
    queue = queue_of(*"abc", playing="abc")
    queue.apply(playlist("a", "x"))
    assert names(queue.plan(2, by_name())) == ["a", "x"]
    queue.apply(playlist("n", "a", "x"))
    assert names(queue.plan(2, by_name())) == ["n", "a"]


def test_a_playing_entry_that_comes_back_is_found_again():
    queue = queue_of(*"abc", playing="ab")
    playing = queue.current
    queue.apply(playlist())
    queue.apply(playlist(*"cba"))
    assert playing is not None and playing.id in {entry.id for entry in queue.upcoming(3)}
    assert names(queue.plan(1, by_name())) == ["a"]


def test_the_same_clip_twice_is_two_entries_matched_by_occurrence():
    queue = queue_of("a", "x", "a", "y")
    first, _, second, _ = queue.upcoming(4)
    queue.apply(playlist("n", "a", "a", "y"))
    _, kept_first, kept_second, _ = queue.upcoming(4)
    assert (kept_first.id, kept_second.id) == (first.id, second.id) and first.id != second.id


def test_the_same_file_with_other_trims_is_another_clip():
    whole = Entry("e1", "a", Path("/media/a"), None, "a")
    queue = Queue("sequential", 0)
    queue.apply(Playlist((whole,), Path("/l")))
    diff = queue.apply(Playlist((Entry("e1", "a", Path("/media/a"), None, "a", out_s=Fraction(5)),), Path("/l")))
    assert len(diff.added) == len(diff.removed) == 1


def test_no_two_clips_ever_have_one_id():
    queue = queue_of("a", "b")
    old = {entry.id for entry in queue.upcoming(2)}
    for name in "cd":
        queue.apply(playlist(name))
        fresh = queue.upcoming(1)[0].id
        assert fresh not in old
        old.add(fresh)


def test_the_diff_tells_added_removed_and_moved():
    queue = queue_of(*"abcde")
    moved = queue.listed(0).id
    diff = queue.apply(playlist("b", "c", "x", "a", "d"))
    assert (names(list(diff.added)), names(list(diff.removed)), diff.moved, diff.kept) == (["x"], ["e"], (moved,), 4)


def test_the_revision_counts_only_lists_that_changed_something():
    queue = Queue("sequential", 0)
    revisions = []
    for clips in ("", "ab", "ab", "ba", "b!", "b"):
        queue.apply(playlist(*clips))
        revisions.append(queue.revision)
    assert revisions == [1, 2, 2, 3, 4, 5]
    queue.apply(playlist("b", repeat={"b": 2}))
    assert queue.revision == 6


def test_an_entry_with_a_fault_never_airs_and_is_not_asked_about():
    asked = []
    queue = queue_of("!", "b")
    assert names(queue.plan(2, lambda entry: asked.append(entry.locator) or READY)) == ["b", "b"]  # type: ignore[func-returns-value]
    assert asked == ["b"]
    assert names(queue.upcoming(2)) == ["b", "b"]


def test_one_that_was_ready_but_not_in_memory_at_the_boundary_keeps_its_turn():
    queue = queue_of("a", "b", "c", playing="a")
    planned = queue.plan(3, by_name())
    assert names(planned) == ["b", "c", "a"]
    passed = queue.started(planned[1].id, {planned[0].id})
    assert names(passed) == ["b"]
    assert names(queue.plan(3, by_name())) == ["b", "a", "b"]


def test_one_passed_over_is_told_and_airs_first_once_it_is_ready():
    queue = queue_of(*"abcde", playing="a")
    plan = queue.plan(1, by_name(pending="bc"))
    assert names(plan) == ["d"]
    assert names(queue.started(plan[0].id)) == ["b", "c"]
    assert names(queue.plan(3, by_name(pending="b"))) == ["c", "e", "a"]
    assert names(queue.plan(4, by_name())) == ["b", "c", "e", "a"]
    assert "".join(air(queue) for _ in range(7)) == "bceabcd"


def test_one_refused_is_passed_for_good():
    queue = queue_of(*"abc", playing="a")
    assert queue.started(queue.plan(1, by_name(refused="b"))[0].id) == []
    assert names(queue.plan(3, by_name())) == ["a", "b", "c"]


def test_one_that_became_ready_after_the_next_was_chosen_keeps_its_turn():
    queue = queue_of(*"abcd", playing="a")
    chosen = queue.plan(1, by_name(pending="b"))[0]
    queue.plan(1, by_name())
    assert names(queue.started(chosen.id)) == ["b"]
    assert names(queue.plan(2, by_name())) == ["b", "d"]


def test_repeat_airs_in_a_row():
    queue = queue_of("a", "b", repeat={"a": 3})
    assert names(queue.plan(5, by_name())) == list("aaaba")
    assert "".join(air(queue) for _ in range(5)) == "aaaba"


def test_fewer_repeats_count_at_once():
    queue = queue_of("a", "b", repeat={"a": 5}, playing="aa")
    queue.apply(playlist("a", "b", repeat={"a": 3}))
    assert names(queue.plan(3, by_name())) == ["a", "b", "a"]


def test_play_next_comes_before_anything_and_airs_once():
    queue = queue_of(*"abc", playing="a")
    inserted = queue.play_next(playlist("x").entries[0])
    queue.play_next(playlist("y").entries[0])
    assert names(queue.plan(3, by_name())) == ["x", "y", "b"]
    assert names(queue.plan(3, by_name(pending="x"))) == ["y", "b", "c"]
    assert queue.started(inserted.id) == [] and queue.current == inserted
    assert names(queue.plan(3, by_name())) == ["y", "b", "c"]


def test_play_next_refuses_a_faulty_entry():
    with pytest.raises(ValueError, match="bad"):
        queue_of("a").play_next(playlist("!").entries[0])


def test_an_entry_removed_on_its_way_to_the_air_hands_over_to_its_successor():
    queue = queue_of(*"abcd", playing="a")
    chosen = queue.plan(1, by_name())[0]
    queue.apply(playlist("a", "c", "d"))
    queue.apply(playlist("a", "d"))
    assert queue.started(chosen.id) == [] and queue.current == chosen
    assert names(queue.plan(2, by_name())) == ["d", "a"]


def test_the_successor_counts_where_the_newest_list_has_it_even_before_what_aired_last():
    queue = queue_of(*"abcd", playing="a")
    chosen = queue.plan(1, by_name())[0]
    queue.apply(playlist("c", "d", "a", "x", "y"))
    assert queue.started(chosen.id) == [] and chosen.locator == "b"
    assert names(queue.plan(3, by_name())) == ["c", "d", "a"]


def test_what_waited_in_the_round_before_keeps_its_turn_when_an_edit_overtakes_the_first_of_the_next():
    queue = queue_of(*"abcd", playing="ab")
    chosen = queue.plan(1, by_name(pending="cd"))[0]
    queue.apply(playlist(*"bcd"))
    assert chosen.locator == "a" and names(queue.started(chosen.id)) == ["c", "d"]
    assert names(queue.plan(4, by_name())) == ["c", "d", "b", "c"]


def test_an_id_that_was_never_planned_is_an_error():
    with pytest.raises(ValueError, match="e9"):
        queue_of("a").started("e9")


def test_each_entry_is_asked_at_most_once_per_plan():
    asked: list[str] = []
    clips = [f"c{n}" for n in range(2000)]
    queue = queue_of(*clips)
    plan = queue.plan(50, lambda entry: asked.append(entry.id) or (READY if entry.locator == "c1999" else PENDING))  # type: ignore[func-returns-value]
    assert len(plan) == 50 and len(asked) == len(set(asked)) == 2000


def test_shuffle_plays_each_once_a_round_and_never_repeats_across_the_seam():
    queue = Queue("shuffle", 7)
    queue.apply(playlist(*"abcd"))
    aired = [air(queue) for _ in range(400)]
    rounds = [aired[start : start + 4] for start in range(0, 400, 4)]
    assert all(sorted(each) == list("abcd") for each in rounds)
    assert all(left != right for left, right in pairwise(aired))
    assert len({tuple(each) for each in rounds}) > 10


def test_shuffle_with_one_seed_is_always_the_same_order():
    orders = []
    for seed in (1, 1, 2):
        queue = Queue("shuffle", seed)
        queue.apply(playlist(*"abcdefgh"))
        orders.append(names(queue.plan(24, by_name())))
    assert orders[0] == orders[1] != orders[2]


def test_an_edit_keeps_the_shuffled_order_of_what_is_still_to_come():
    queue = Queue("shuffle", 3)
    queue.apply(playlist(*"abcdefgh"))
    played = [air(queue) for _ in range(3)]
    rest = names(queue.plan(5, by_name()))
    queue.apply(playlist(*"xhgfedcbay"))
    after = names(queue.plan(7, by_name()))
    assert [name for name in after if name not in "xy"] == rest
    assert sorted(played + after) == sorted("abcdefghxy")


@given(st.permutations(range(9)))
def test_moved_entries_are_the_fewest_that_explain_the_order(order: list[int]):
    moved = set(moved_indices(order))
    stays = [value for index, value in enumerate(order) if index not in moved]
    assert stays == sorted(stays)
    best = max(bin(mask).count("1") for mask in range(1 << 9) if _rises([v for i, v in enumerate(order) if mask >> i & 1]))
    assert len(stays) == best


def _rises(values: list[int]) -> bool:
    return all(left < right for left, right in pairwise(values))


class Model:
    """The sequential rules once more, by copying lists of (name, occurrence) and walking them one step at a time."""

    def __init__(self) -> None:
        self.clips: list[tuple[str, int]] = []
        self.before: list[tuple[str, int]] | None = None  # the list that the playing one is looked up in when it is gone
        self.playing: tuple[str, int] | None = None
        self.owed: list[tuple[str, int]] = []

    def edit(self, clips: list[str]) -> None:
        fresh = [(name, clips[:n].count(name)) for n, name in enumerate(clips)]
        if self.playing is not None and self.playing not in fresh:
            ring = self.before if self.before is not None and self.playing not in self.clips else self.clips
            tail = ring[ring.index(self.playing) + 1 :] if self.playing in ring else []
            self.before = [self.playing, *[clip for clip in tail if clip in fresh]]
            if len(self.before) > 1:  # from its successor on, the newest list counts
                self.before = [self.playing, *fresh[fresh.index(self.before[1]) :]]
        self.clips = fresh
        self.owed = [clip for clip in self.owed if clip in fresh]

    def turns(self) -> list[tuple[str, int]]:
        """One lap of the list from the place that comes next."""
        if self.playing is None or not self.clips:
            return list(self.clips)
        if self.playing in self.clips:
            start = self.clips.index(self.playing) + 1
        else:
            start = self.clips.index(self.before[1]) if self.before and len(self.before) > 1 else 0
        return self.clips[start:] + self.clips[:start]

    def air(self, pending: str) -> tuple[str | None, list[str]]:
        """Name that airs and names passed over; None when nothing is ready."""
        for clip in self.owed:
            if clip[0] not in pending:
                self.owed.remove(clip)
                return clip[0], []
        passed = []
        for clip in self.turns():
            if clip[0] not in pending:
                self.playing, self.before = clip, None
                self.owed += [each for each in passed if each not in self.owed]
                return clip[0], [name for name, _ in passed]
            passed.append(clip)
        return None, []


lists = st.lists(st.sampled_from("abcdef"), max_size=7)
pendings = st.sets(st.sampled_from("abcdef")).map(lambda letters: "".join(sorted(letters)))
overtaking = st.lists(lists, min_size=1, max_size=3).map(tuple)
"""Edits that come while the start of the next airing is still on its way from the host."""


@settings(max_examples=400, deadline=None)
@given(lists, st.lists(st.one_of(lists, overtaking), max_size=25))
def test_an_airing_that_edits_overtake_counts_as_if_it_had_been_told_before_them(
    first: list[str], story: list[list[str] | tuple[list[str], ...]]
):
    queue, model = Queue("sequential", 0), Model()
    queue.apply(playlist(*first))
    model.edit(first)
    for step in story:
        plan = [] if isinstance(step, list) else queue.plan(1, by_name())
        gone: set[tuple[str, int]] = set()
        if isinstance(step, tuple):
            expected, _ = model.air("")
            assert names(plan) == ([] if expected is None else [expected])
        for each in [step] if isinstance(step, list) else step:
            before = set(model.clips)
            queue.apply(playlist(*each))
            model.edit(each)
            gone |= before - set(model.clips)
            assume(not gone & set(model.clips))  # one that was gone and is back counts as a successor that stayed
        for each in plan:
            queue.started(each.id)
        turns = [name for name, _ in model.turns()]
        assert names(queue.plan(len(turns), by_name())) == turns


@settings(max_examples=400, deadline=None)
@given(lists, st.lists(st.one_of(lists, pendings), max_size=25))
def test_every_story_of_edits_and_airings_goes_as_in_a_plain_model(first: list[str], story: list[list[str] | str]):
    queue, model = Queue("sequential", 0), Model()
    queue.apply(playlist(*first))
    model.edit(first)
    for step in story:
        if isinstance(step, list):
            queue.apply(playlist(*step))
            model.edit(step)
            continue
        expected, expected_passed = model.air(step)
        plan = queue.plan(1, by_name(pending=step))
        assert names(plan) == ([] if expected is None else [expected])
        if plan:
            assert names(queue.started(plan[0].id)) == expected_passed


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["sequential", "shuffle"]),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3)), min_size=1, max_size=7),
    st.sets(st.sampled_from("abcdef")),
    st.integers(0, 12),
    st.booleans(),
)
def test_the_plan_after_a_start_is_the_rest_of_the_plan_before(order, clips, pending, warm_up, with_insertion):
    queue = Queue(order, 5)
    queue.apply(playlist(*[name for name, _ in clips], repeat=dict(clips)))
    for _ in range(warm_up):
        air(queue)
    if with_insertion:
        queue.play_next(playlist("x", repeat={"x": 2}).entries[0])
    readiness = by_name(pending="".join(pending))
    plan = queue.plan(20, readiness)
    for step, entry in enumerate(plan):
        assert [each.id for each in queue.plan(20 - step, readiness)] == [each.id for each in plan[step:]]
        queue.started(entry.id)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["sequential", "shuffle"]), lists, lists)
def test_a_diff_accounts_for_every_entry(order, before, after):
    queue = Queue(order, 1)
    queue.apply(playlist(*before))
    old = {entry.id for entry in queue.upcoming(len(before))}
    diff = queue.apply(playlist(*after))
    new = {entry.id for entry in queue.upcoming(len(after))}
    assert {entry.id for entry in diff.added} == new - old
    assert {entry.id for entry in diff.removed} == old - new
    assert diff.kept == len(old & new) and set(diff.moved) <= old & new


def test_what_a_start_steps_over_for_good_is_named_until_the_next_start():
    queue = queue_of("a", "x!", "b", "c", "d", playing="a")
    first = queue.plan(1, by_name(pending="b", refused="c"))[0]
    assert first.locator == "d" and names(queue.started(first.id)) == ["b"]
    assert names(queue.stepped_over(10)) == ["x!", "c"] and names(queue.stepped_over(1)) == ["x!"]
    queue.started(queue.play_next(first).id)
    assert queue.stepped_over(10) == []
