"""The verdict's table: what looks found, over time, and what the judge says; time is given."""

from dataclasses import replace

import pytest

from channeld.readback.judge import Condition, Finding, Judge, Look, Verdict
from channeld.readback.manifest import Listed, Listing

S = 1_000_000_000
TARGET = 4


def listing(newest: int, *, count: int = 3, target: int = TARGET, discontinuities: int = 0, breaks: tuple[int, ...] = ()) -> Listing:
    segments = tuple(Listed(number, f"{number}.ts", 4.0, number in breaks, None) for number in range(newest - count + 1, newest + 1))
    return Listing(target, discontinuities, segments)


class Bench:
    """A judge and its clock, in seconds."""

    def __init__(self, *, is_constant: bool = True) -> None:
        self.judge = Judge(now_ns=0, target_s=TARGET, is_constant=is_constant)
        self.now_s = 0.0

    @property
    def now_ns(self) -> int:
        return round(self.now_s * S)

    def look(self, at_s: float, seen: Listing | None = None, **facts: object) -> Verdict | None:
        self.now_s = at_s
        self.judge.take_look(replace(Look(self.now_ns, seen), **facts))  # type: ignore[arg-type]
        return self.verdict()

    def verdict(self) -> Verdict | None:
        return self.judge.verdict(self.now_ns, 1_000.0 + self.now_s)

    def decode(self, at_s: float, **facts: str | None) -> Verdict | None:
        self.now_s = at_s
        self.judge.take_finding(replace(Finding(self.now_ns, 4.0), **facts))  # type: ignore[arg-type]
        return self.verdict()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def condition(verdict: Verdict | None) -> Condition | None:
    return verdict.condition if verdict is not None else None


def test_a_manifest_that_goes_on_is_ok_since_it_was_first_seen(bench: Bench) -> None:
    for turn in range(10):
        verdict = bench.look(4.0 * turn, listing(10 + turn), faults=())
    assert verdict == Verdict(Condition.OK, None, 1_000.0, 0)


def test_an_output_has_time_to_begin(bench: Bench) -> None:
    """Nothing is judged until start-up must be over: a missing manifest then is stale, a silent server unreachable."""
    assert bench.look(1.0, trouble="answers 404", is_missing=True) is None
    assert bench.look(25.0, trouble="answers 404", is_missing=True) is None
    assert condition(bench.look(33.0, trouble="answers 404", is_missing=True)) is Condition.STALE
    other = Bench()
    assert other.look(25.0, trouble="no answer") is None
    assert condition(other.look(33.0, trouble="no answer")) is Condition.UNREACHABLE


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(0.0, Condition.OK), (6.5, Condition.OK), (7.5, Condition.LATE), (12.9, Condition.LATE), (13.5, Condition.STALE)],
)
def test_a_manifest_that_stands_still_is_late_and_then_stale(bench: Bench, age_s: float, expected: Condition) -> None:
    bench.look(0.0, listing(10), faults=())
    verdict = bench.look(age_s, listing(10))
    assert condition(verdict) is expected
    assert verdict is not None
    assert (verdict.reason is None) == (expected is Condition.OK)


def test_a_server_that_answers_nothing_once_is_forgiven(bench: Bench) -> None:
    bench.look(0.0, listing(10), faults=())
    assert condition(bench.look(4.0, trouble="no answer")) is Condition.OK
    assert condition(bench.look(6.0, trouble="no answer")) is Condition.OK
    assert bench.look(8.0, trouble="no answer") == Verdict(Condition.UNREACHABLE, "no answer", 1_008.0, 8 * S)
    assert condition(bench.look(12.0, listing(12), faults=())) is Condition.OK


def test_a_manifest_that_vanished_is_stale_when_its_time_is_over(bench: Bench) -> None:
    bench.look(0.0, listing(10), faults=())
    assert condition(bench.look(4.0, trouble="answers 404", is_missing=True)) is Condition.OK
    verdict = bench.look(14.0, trouble="answers 404", is_missing=True)
    assert verdict is not None
    assert verdict.condition is Condition.STALE
    assert "404" in (verdict.reason or "")


def test_a_broken_segment_breaks_the_output_until_a_good_one_comes(bench: Bench) -> None:
    bench.look(0.0, listing(10), faults=())
    verdict = bench.look(4.0, listing(11), faults=("no audio comes",))
    assert condition(verdict) is Condition.BROKEN
    assert verdict is not None
    assert "no audio" in (verdict.reason or "")
    assert bench.judge.is_suspect
    assert condition(bench.look(6.0, listing(11))) is Condition.BROKEN  # nothing new was seen
    assert condition(bench.look(8.0, listing(12), faults=())) is Condition.OK
    assert bench.judge.segment_errors == 1


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (listing(3), "went back"),
        (listing(10, count=5), "listed again"),
        (listing(11, target=5), "TARGETDURATION changed"),
        (replace(listing(11), discontinuities=-1), "DISCONTINUITY-SEQUENCE went back"),
    ],
)
def test_what_a_manifest_must_never_do_breaks_it_for_three_targets(bench: Bench, after: Listing, words: str) -> None:
    bench.look(0.0, listing(10), faults=())
    verdict = bench.look(4.0, after, faults=())
    assert condition(verdict) is Condition.BROKEN
    assert verdict is not None
    assert words in (verdict.reason or "")
    later = replace(after, segments=tuple(replace(each, sequence=each.sequence + 3) for each in after.segments))
    assert condition(bench.look(4.0 + 3 * after.target_s + 0.1, later, faults=())) is Condition.OK


def test_an_origin_that_is_not_ours_may_change_its_target_duration() -> None:
    bench = Bench(is_constant=False)
    bench.look(0.0, listing(10), faults=())
    assert condition(bench.look(4.0, listing(11, target=6), faults=())) is Condition.OK


def test_discontinuities_are_counted_once_each(bench: Bench) -> None:
    bench.look(0.0, listing(10, breaks=(9,)), faults=())
    bench.look(4.0, listing(11, breaks=(9, 11)), faults=())
    bench.look(8.0, listing(13, breaks=(11, 13)), faults=())
    assert bench.judge.discontinuities == 2


@pytest.mark.parametrize(("kind", "expected"), [("silent", Condition.SILENT), ("frozen", Condition.FROZEN)])
def test_silence_and_a_still_picture_count_when_two_decodings_in_a_row_found_them(bench: Bench, kind: str, expected: Condition) -> None:
    bench.look(0.0, listing(10), faults=())
    assert condition(bench.decode(1.0, **{kind: "nothing to hear or see"})) is Condition.OK
    assert bench.judge.is_suspect
    assert condition(bench.decode(4.0, **{kind: "nothing to hear or see"})) is expected
    assert condition(bench.decode(5.0)) is Condition.OK


def test_errors_of_decoding_break_the_output_until_one_succeeds(bench: Bench) -> None:
    bench.look(0.0, listing(10), faults=())
    assert condition(bench.decode(1.0, errors="4 errors")) is Condition.BROKEN
    assert condition(bench.decode(4.0)) is Condition.OK


def test_a_segment_that_takes_longer_than_it_lasts_makes_it_late(bench: Bench) -> None:
    assert condition(bench.look(0.0, listing(10), faults=(), load_s=5.0)) is Condition.LATE


def test_the_worst_condition_is_told_and_since_changes_with_it(bench: Bench) -> None:
    bench.look(0.0, listing(10), faults=("torn",))
    assert condition(bench.look(8.0, listing(10))) is Condition.BROKEN
    verdict = bench.look(14.0, listing(10))
    assert verdict == Verdict(Condition.STALE, "no new segment for 14 s", 1_014.0, 14 * S)
    assert [each for each in Condition if not each.can_be_watched] == [Condition.STALE, Condition.BROKEN, Condition.UNREACHABLE]
