"""The restart budget and the inquest: what is held back, when it comes back, and whose doing a host's end is taken to be."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from channeld.channel.budget import Answer, Budget, BudgetRules, Step
from channeld.channel.inquest import Inquest, Scene
from channeld.playlist.model import Content

RULES = BudgetRules()
ILL: Content = ("/media/ill.mp4", None, None, None)
OTHER: Content = ("/media/other.mp4", Fraction(3), None, None)


def ended(budget: Budget, content: Content | None, *moments: float) -> list[Answer]:
    return [budget.air_ended(content, at_s) for at_s in moments]


def test_as_many_restarts_as_the_budget_has_are_borne_and_one_more_rests_the_worst_outputs() -> None:
    budget = Budget(RULES)
    assert [budget.push_ended("ill", number / 10) for number in range(19)] == [0.0] * 19
    assert budget.push_ended("well", 2.0) == 0.0 and budget.step is Step.NONE
    assert budget.push_ended("ill", 2.1) == RULES.output_rest_s[0]
    assert budget.step is Step.OUTPUTS and set(budget.outputs) == {"ill"}
    assert budget.push_ended("well", 3.0) == 0.0


def test_restarts_that_come_slowly_are_never_too_many() -> None:
    budget = Budget(RULES)
    assert [budget.push_ended("rtmp", 31.0 * number) for number in range(200)] == [0.0] * 200


def test_an_output_that_ends_behind_its_rest_rests_longer_up_to_a_limit_and_comes_back_when_it_lives() -> None:
    budget = Budget(BudgetRules(push_restarts=1))
    now_s, rests = 0.0, []
    budget.push_ended("rtmp", now_s)
    for _ in range(8):
        rests.append(budget.push_ended("rtmp", now_s))
        now_s += rests[-1] + 1.0
        budget.look(now_s)
        assert budget.step is Step.OUTPUTS
    assert rests == [30, 60, 120, 240, 480, 600, 600, 600]
    budget.look(now_s + RULES.calm_s)
    assert budget.step is Step.NONE and budget.outputs == {}


def test_an_entry_on_air_at_every_end_is_passed_over_and_no_other() -> None:
    budget = Budget(RULES)
    assert ended(budget, ILL, 0.0, 1.0, 2.0) == [Answer.BORNE, Answer.BORNE, Answer.HELD]
    assert budget.step is Step.ENTRY and set(budget.entries) == {ILL}
    budget.look(RULES.entry_rest_s[0] + 1.0)
    assert budget.step is Step.ENTRY
    budget.look(RULES.entry_rest_s[0] + 3.0)
    assert budget.step is Step.NONE


def test_an_entry_that_does_it_again_is_passed_over_for_longer() -> None:
    budget, now_s, rests = Budget(RULES), 0.0, []
    for _ in range(8):
        while budget.air_ended(ILL, now_s) is not Answer.HELD:
            now_s += 1.0
        rests.append(budget.entries[ILL].until_s - now_s)
        now_s = budget.entries[ILL].until_s + RULES.window_s
        budget.look(now_s)
        assert budget.step is Step.NONE
    assert rests == [600, 1200, 2400, 4800, 9600, 19200, 21600, 21600]


def test_ends_that_go_on_without_the_entry_lead_to_the_filler_and_with_that_the_channel_is_cleared() -> None:
    budget = Budget(RULES)
    ended(budget, ILL, 0.0, 1.0, 2.0)
    assert ended(budget, OTHER, 3.0, 4.0) == [Answer.BORNE, Answer.HELD]
    assert budget.step is Step.FILLER
    assert ended(budget, None, 5.0, 6.0) == [Answer.BORNE, Answer.CLEARED]
    assert budget.step is Step.NONE and budget.entries == {}


def test_another_entry_that_is_ill_later_is_passed_over_too() -> None:
    budget = Budget(RULES)
    ended(budget, ILL, 0.0, 1.0, 2.0)
    assert ended(budget, OTHER, 100.0, 101.0)[-1] is Answer.HELD
    assert budget.step is Step.ENTRY and set(budget.entries) == {ILL, OTHER}


def test_ends_with_nothing_in_common_lead_to_the_filler_and_back_step_by_step() -> None:
    budget = Budget(RULES)
    contents: list[Content] = [(f"/media/{number}.mp4", None, None, None) for number in range(3)]
    assert [budget.air_ended(content, number) for number, content in enumerate(contents)][-1] is Answer.HELD
    assert budget.step is Step.FILLER
    back_s = budget.until_s(2.0)
    budget.look(back_s - 1.0)
    assert budget.step is Step.FILLER
    budget.look(back_s + 1.0)
    assert budget.step is Step.NONE


HAPPENINGS = st.lists(
    st.tuples(st.floats(0.0, 400.0), st.sampled_from(["push:a", "push:b", "air:ill", "air:other", "air:filler", "look", "clear"])),
    max_size=200,
)


@given(HAPPENINGS)
def test_whatever_happens_the_ladder_holds_and_calm_leads_all_the_way_back(happenings: list[tuple[float, str]]) -> None:
    """Never a push's doing that the air is held back, nor the other way round; a day of calm gives everything back."""
    budget, now_s = Budget(RULES), 0.0
    air = pushes = False
    for wait_s, what in happenings:
        now_s += wait_s
        kind, _, name = what.partition(":")
        if kind == "push":
            pushes = True
            assert 0.0 <= budget.push_ended(name, now_s) <= RULES.output_rest_s[1]
        elif kind == "air":
            air = True
            budget.air_ended({"ill": ILL, "other": OTHER}.get(name), now_s)
        elif kind == "look":
            budget.look(now_s)
        else:
            budget.clear()
        assert air or budget.step <= Step.OUTPUTS
        assert pushes or not budget.outputs
        assert budget.step is Step.NONE or budget.until_s(now_s) >= now_s or kind == "clear"
    for _ in range(500):
        now_s += 180.0
        budget.look(now_s)
    assert budget.step is Step.NONE


# -- whose doing it is ---------------------------------------------------------------------------------------------


def scenes(**doubts: float) -> list[Scene]:
    return [Scene(channel, (f"/media/{channel}.mp4", None, None, None), doubt_s) for channel, doubt_s in doubts.items()]


def test_a_single_end_is_put_down_to_nobody_and_a_loop_to_the_channel_that_began_something_last() -> None:
    inquest = Inquest()
    assert inquest.ended(scenes(old=900, young=1), lived_s=3600, now_s=0) is None
    found = inquest.ended(scenes(old=901, young=2), lived_s=1, now_s=1)
    assert found is not None and (found.channel, found.ends) == ("young", 2)
    found = inquest.ended(scenes(old=902, young=3), lived_s=1, now_s=2)
    assert found is not None and (found.channel, found.ends) == ("young", 1)


def test_hosts_that_are_killed_now_and_then_are_put_down_to_nobody() -> None:
    inquest = Inquest()
    for number in range(50):
        assert inquest.ended(scenes(one=5 + number % 3, two=4, three=9), lived_s=30, now_s=40 * number) is None


def test_the_first_end_that_anybody_saw_counts_once() -> None:
    found = Inquest().ended(scenes(one=1, two=4), lived_s=7, now_s=0)
    assert found is not None and (found.channel, found.ends) == ("one", 1)


def test_hosts_that_are_killed_from_outside_accuse_nobody_unless_they_are_killed_at_once() -> None:
    inquest = Inquest()
    for number in range(50):  # the same clip had just begun each time
        assert inquest.ended(scenes(one=1, two=4), lived_s=3 + number % 9, now_s=7 * number, was_killed=True) is None
    found = inquest.ended(scenes(one=1, two=4), lived_s=0.5, now_s=351, was_killed=True)
    assert found is not None and (found.channel, found.ends) == ("one", 1)


def test_when_what_is_held_back_changes_nothing_the_next_channel_answers_for_all() -> None:
    inquest = Inquest()
    inquest.ended(scenes(one=1, two=20, three=300), lived_s=60, now_s=0)
    asked = []
    for number in range(1, 6):
        found = inquest.ended(scenes(one=1, two=20, three=300), lived_s=1, now_s=number)
        assert found is not None
        asked.append((found.channel, found.cleared))
        inquest.held(found.channel)
    assert asked == [("one", None), ("two", "one"), ("three", "two"), ("one", "three"), ("one", None)]


def test_a_channel_that_the_host_did_not_carry_does_not_answer() -> None:
    inquest = Inquest()
    inquest.ended(scenes(one=1, two=20), lived_s=60, now_s=0)
    assert inquest.ended(scenes(two=21), lived_s=1, now_s=1) is None
    assert inquest.ended([], lived_s=1, now_s=2) is None


def test_a_clip_that_had_just_begun_at_every_end_answers_though_the_host_lives_well_between() -> None:
    inquest = Inquest()
    found = [inquest.ended(scenes(one=1, two=50 + number), lived_s=100, now_s=110 * number) for number in range(4)]
    assert [each and each.channel for each in found] == [None, None, "one", "one"]
