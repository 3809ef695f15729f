"""How many requests a client may make, on a clock of the test's."""

from channeld.access.limits import MAX_CLIENTS, Requests


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_is_let_through_and_then_so_many_a_second() -> None:
    clock = Clock()
    requests = Requests(clock, burst=100, per_s=10)
    assert [requests.take("a") for _ in range(100)] == [0] * 100
    assert requests.take("a") == 1
    assert requests.take("b") == 0
    clock.now_s += 1.001
    assert [requests.take("a") for _ in range(11)] == [0] * 10 + [1]
    clock.now_s += 1000
    assert [requests.take("a") for _ in range(101)] == [0] * 100 + [1]


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    requests = Requests(clock, burst=2, per_s=1)
    for _ in range(50):
        requests.take("a")
    clock.now_s += 1.001
    assert requests.take("a") == 0


def test_the_table_stays_bounded_whoever_comes() -> None:
    requests = Requests(Clock())
    for number in range(3 * MAX_CLIENTS):
        requests.take(str(number))
    assert len(requests) == MAX_CLIENTS
