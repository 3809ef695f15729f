"""Decoding never costs more than its share of a core, everybody comes in turn, and suspects come first."""

from channeld.readback.turns import MOST_OWED_S, Budget, Turns

S = 1_000_000_000
COST_S = 0.25


def decoded(turns: Turns, names: list[str], *, seconds: int, suspects: frozenset[str] = frozenset()) -> list[str]:
    """Everybody asks once a second; who gets a turn spends COST_S."""
    got = []
    for now_s in range(1, seconds + 1):
        for name in names:
            if turns.take(name, is_suspect=name in suspects, now_ns=now_s * S):
                turns.budget.spend(COST_S, now_s * S)
                got.append(name)
    return got


def turns_of(share: float, *names: str) -> Turns:
    turns = Turns(Budget(share, now_ns=0))
    turns.keep(set(names))
    return turns


def test_everybody_comes_in_turn_within_the_budget() -> None:
    turns = turns_of(0.02, "a", "b", "c")
    got = decoded(turns, ["a", "b", "c"], seconds=1200)
    assert got[:6] == ["a", "b", "c", "a", "b", "c"]
    assert turns.budget.spent_s <= 0.02 * 1200 + 2 * COST_S
    assert turns.budget.spent_s >= 0.9 * 0.02 * 1200


def test_suspects_come_first_and_the_budget_holds_in_the_long_run() -> None:
    turns = turns_of(0.02, "a", "b")
    got = decoded(turns, ["a", "b"], seconds=2000, suspects=frozenset("b"))
    assert got.count("b") > 4 * got.count("a")
    assert turns.budget.spent_s <= 0.02 * 2000 + MOST_OWED_S + COST_S


def test_a_suspect_is_not_decoded_again_at_once() -> None:
    turns = turns_of(0.5, "a")
    assert turns.take("a", is_suspect=True, now_ns=10 * S)
    turns.budget.spend(2.9, 10 * S)
    assert not turns.take("a", is_suspect=True, now_ns=12 * S)
    assert turns.take("a", is_suspect=True, now_ns=13 * S)


def test_one_that_has_nothing_to_decode_holds_up_nobody() -> None:
    turns = turns_of(0.02, "a", "dead")
    for _ in range(3):
        turns.pass_over("dead")
    assert turns.take("a", is_suspect=False, now_ns=S)
    turns.pass_over("dead")
    assert turns.take("a", is_suspect=False, now_ns=2 * S)


def test_without_a_budget_nothing_is_decoded_and_strangers_get_no_turn() -> None:
    assert not turns_of(0.0, "a").take("a", is_suspect=True, now_ns=S)
    assert not turns_of(0.5, "a").take("b", is_suspect=True, now_ns=S)


def test_who_comes_and_goes_keeps_the_others_order() -> None:
    turns = turns_of(1.0, "a", "b")
    turns.keep({"b", "c"})
    assert decoded(turns, ["b", "c"], seconds=2) == ["b", "c", "b", "c"]
