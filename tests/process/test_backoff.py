"""Back-off: grows, stays bounded, starts anew after health."""

from channeld.process.backoff import Backoff


def test_waits_double_from_a_fifth_of_a_second_to_ten_seconds() -> None:
    backoff = Backoff()
    waits = [backoff.next_s(healthy_for_s=0.0) for _ in range(100)]
    for n, wait_s in enumerate(waits):
        longest = min(10.0, 0.2 * 2**n)
        assert 0.75 * longest <= wait_s <= longest


def test_a_minute_of_health_starts_it_anew_and_less_does_not() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next_s(healthy_for_s=0.0)
    assert backoff.next_s(healthy_for_s=59.0) > 7
    assert backoff.next_s(healthy_for_s=60.0) <= 0.2


def test_outputs_of_one_dead_target_do_not_come_back_in_step() -> None:
    assert len({Backoff().next_s(healthy_for_s=0.0) for _ in range(20)}) > 1


def test_waits_grow_as_slowly_as_is_wanted() -> None:
    backoff = Backoff(first_s=0.5, growth=1.25)
    waits = [backoff.next_s(healthy_for_s=0.0) for _ in range(20)]
    assert all(wait <= 0.5 * 1.25**number for number, wait in enumerate(waits)) and 7.5 <= max(waits) <= 10.0
