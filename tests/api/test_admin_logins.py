"""How often an address may guess the admin token, over real HTTP and on a clock of the test's."""

from collections.abc import Iterator

import httpx
import pytest
from admin_site import TOKEN, Site, running_site

from channeld.api.admin_logins import MAX_ADDRESSES, TRIES, Logins
from channeld.api.problems import Problem

WRONG = {"Authorization": "Bearer wrong"}


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def failures(logins: Logins, address: str, most: int = 1000) -> int:
    """How many wrong tokens an address may send at one moment."""
    for number in range(1, most + 1):
        if logins.failed(address):
            return number
    return most


def test_an_address_has_so_many_tries_and_gets_one_back_each_second(clock: Clock) -> None:
    logins = Logins(clock)
    assert failures(logins, "192.0.2.1") == TRIES
    assert logins.wait_s("192.0.2.1") == 1
    clock.now_s += 1.0
    assert logins.wait_s("192.0.2.1") == 0
    assert failures(logins, "192.0.2.1") == 1
    clock.now_s += TRIES
    assert failures(logins, "192.0.2.1") == TRIES


def test_one_address_costs_no_other_a_try(clock: Clock) -> None:
    logins = Logins(clock)
    failures(logins, "192.0.2.1")
    assert logins.wait_s("192.0.2.2") == 0


def test_a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4(clock: Clock) -> None:
    logins = Logins(clock)
    failures(logins, "2001:db8::1")
    assert logins.wait_s("2001:db8::ffff:1") > 0
    assert logins.wait_s("2001:db8:0:1::1") == 0
    failures(logins, "192.0.2.1")
    assert logins.wait_s("::ffff:192.0.2.1") > 0


def test_a_token_that_was_taken_before_is_not_locked_out_by_who_guesses_beside_it(clock: Clock) -> None:
    logins = Logins(clock)
    logins.admitted("192.0.2.1", "known")
    failures(logins, "192.0.2.1")
    logins.admitted("192.0.2.1", "known")
    for address, digest in (("192.0.2.1", "a right guess"), ("192.0.2.1", "a right guess")):
        with pytest.raises(Problem):
            logins.admitted(address, digest)
    clock.now_s += 1.0
    logins.admitted("192.0.2.1", "a right guess")


def test_the_table_stays_bounded_whoever_comes(clock: Clock) -> None:
    logins = Logins(clock)
    for number in range(3 * MAX_ADDRESSES):
        logins.failed(f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}")
    assert len(logins) == MAX_ADDRESSES


def test_guesses_are_refused_unheard_after_the_last_try_and_health_is_still_told(site: Site) -> None:
    url = f"{site.client.base_url}/api/v1/channels"
    with httpx.Client(trust_env=False, timeout=30) as stranger:
        told = [stranger.get(url, headers=WRONG).status_code for _ in range(TRIES + 20)]
        assert told[: TRIES - 1] == [401] * (TRIES - 1)
        assert 429 in told
        # Even the right one is not compared now: a guess tells nothing.
        refused = stranger.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert stranger.get(f"{site.client.base_url}/healthz").status_code == 200
        assert stranger.get(url).status_code == 401  # no token is no guess


def test_a_program_that_guesses_locks_out_nobody_who_was_let_in_before(site: Site) -> None:
    assert site.client.get("/api/v1/channels").status_code == 200
    with httpx.Client(trust_env=False, timeout=30) as stranger:
        told = [stranger.get(f"{site.client.base_url}/api/v1/channels", headers=WRONG).status_code for _ in range(TRIES + 5)]
    assert told[-1] == 429
    assert site.client.get("/api/v1/channels").status_code == 200


def test_who_forgets_the_token_is_told_so_as_often_as_it_likes(site: Site) -> None:
    with httpx.Client(trust_env=False, timeout=30) as stranger:
        assert {stranger.get(f"{site.client.base_url}/api/v1/channels").status_code for _ in range(3 * TRIES)} == {401}
    assert site.client.get("/api/v1/channels").status_code == 200
