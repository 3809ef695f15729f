"""When an alert fires, repeats and resolves: time is what the test says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from channeld.notices.alert_book import AlertBook, Fact, Notice, Phase
from channeld.notices.settings import AlertRule, Trouble

DOWN = AlertRule("down", Trouble.OUTPUT_DOWN, ("ops",), for_s=30, repeat_s=100)


def down(output: str = "one/rtmp") -> Fact:
    return Fact(Trouble.OUTPUT_DOWN, output, "connection lost", output.partition("/")[0])


def phases(notices: list[Notice]) -> list[str]:
    return [notice.phase.value for notice in notices]


def test_it_fires_once_when_it_has_lasted_long_enough() -> None:
    book = AlertBook([DOWN])
    assert [phases(book.look([down()], now_s)) for now_s in (0, 29, 30, 31)] == [[], [], ["firing"], []]


def test_a_break_begins_the_time_anew() -> None:
    book = AlertBook([DOWN])
    assert phases(book.look([down()], 0) + book.look([], 20) + book.look([down()], 21) + book.look([down()], 50)) == []
    assert phases(book.look([down()], 51)) == ["firing"]


def test_it_is_told_again_while_it_lasts_and_resolved_once() -> None:
    book = AlertBook([DOWN])
    told = [(now_s, phases(book.look([down()], now_s))) for now_s in range(0, 300, 10)]
    assert [(now_s, found) for now_s, found in told if found] == [(30, ["firing"]), (130, ["still"]), (230, ["still"])]
    (notice,) = book.look([], 300)
    assert (notice.phase, notice.lasted_s) == (Phase.RESOLVED, 300)
    assert book.look([], 301) == [] and book.firing() == []


def test_one_that_never_repeats_is_told_once() -> None:
    book = AlertBook([AlertRule("down", Trouble.OUTPUT_DOWN, ("ops",), repeat_s=0)])
    assert phases([notice for now_s in range(0, 10**6, 10**4) for notice in book.look([down()], now_s)]) == ["firing"]


def test_a_rule_concerns_its_channels_only() -> None:
    book = AlertBook([AlertRule("down", Trouble.OUTPUT_DOWN, ("ops",), channels=frozenset({"two"}))])
    assert [notice.fact.subject for notice in book.look([down("one/rtmp"), down("two/rtmp")], 0)] == ["two/rtmp"]


def test_a_figure_counts_above_its_mark() -> None:
    def disk(percent: float) -> list[Fact]:
        return [Fact(Trouble.DISK_FULL, "state", "", percent=percent)]

    rules = [AlertRule("usual", Trouble.DISK_FULL, ("ops",)), AlertRule("early", Trouble.DISK_FULL, ("ops",), above_percent=50)]
    book = AlertBook(rules)
    assert [notice.rule.name for notice in book.look(disk(60), 0)] == ["early"]
    assert [notice.rule.name for notice in book.look(disk(95), 1)] == ["usual"]
    assert [(notice.rule.name, notice.phase) for notice in book.look(disk(90), 2)] == [("usual", Phase.RESOLVED)]


def test_what_happens_is_told_once_per_subject_until_it_may_be_repeated() -> None:
    book = AlertBook([AlertRule("clips", Trouble.CLIP_FAILED, ("ops",), for_s=30, repeat_s=100)])

    def refused(path: str, now_s: float) -> list[str]:
        return phases(book.happened(Fact(Trouble.CLIP_FAILED, path, "no frame decodes", "one"), now_s))

    assert [refused("a", 0), refused("a", 1), refused("b", 2), refused("a", 99), refused("a", 100)] == [
        ["firing"],
        [],
        ["firing"],
        [],
        ["firing"],
    ]
    assert book.look([], 200) == []


def test_other_rules_count_from_the_next_look_and_what_is_gone_is_forgotten() -> None:
    book = AlertBook([DOWN])
    book.look([down()], 0)
    book.look([down()], 30)
    book.change([AlertRule("down", Trouble.OUTPUT_DOWN, ("others",), for_s=30)])
    (notice,) = book.look([], 31)
    assert (notice.phase, notice.rule.targets) == (Phase.RESOLVED, ("others",))
    book.look([down()], 40)
    book.look([down()], 80)
    book.change([])
    assert book.look([], 81) == []


def test_another_process_resolves_what_this_one_told() -> None:
    before, after = AlertBook([DOWN]), AlertBook([DOWN])
    before.look([down("one/a"), down("one/b")], 0)
    before.look([down("one/a"), down("one/b")], 30)
    after.restore(before.firing())
    assert [(notice.phase, notice.fact.subject) for notice in after.look([down("one/a")], 40)] == [(Phase.RESOLVED, "one/b")]


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(0.1, 40), st.frozensets(st.sampled_from(["one/a", "one/b", "two/a"]))), max_size=40),
    for_s=st.sampled_from([0.0, 5.0, 30.0]),
    repeat_s=st.sampled_from([0.0, 60.0]),
)
def test_whatever_happens_each_alert_is_told_in_order(steps: list[tuple[float, frozenset[str]]], for_s: float, repeat_s: float) -> None:
    """Fires only after its time without a break, repeats not sooner than said, resolves each firing exactly once."""
    book = AlertBook([AlertRule("down", Trouble.OUTPUT_DOWN, ("ops",), for_s=for_s, repeat_s=repeat_s)])
    now_s, since, told = 0.0, dict[str, float](), dict[str, float]()
    for step_s, outputs in [*steps, (1.0, frozenset[str]())]:
        now_s += step_s
        since = {output: since.get(output, now_s) for output in outputs}
        notices = book.look([down(output) for output in outputs], now_s)
        assert len({notice.fact.subject for notice in notices}) == len(notices)
        for notice in notices:
            subject = notice.fact.subject
            if notice.phase is Phase.RESOLVED:
                assert subject not in outputs
                del told[subject]
                continue
            assert now_s - since[subject] >= for_s
            assert (notice.phase is Phase.STILL) == (subject in told)
            assert notice.phase is Phase.FIRING or (repeat_s > 0 and now_s - told[subject] >= repeat_s)
            told[subject] = now_s
        assert {standing.fact.subject for standing in book.firing()} == told.keys()
        assert all(subject in told for subject in outputs if now_s - since[subject] >= for_s)
    assert told == {}
