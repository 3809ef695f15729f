"""Who watches a channel's stream, over the admin interface; and how totals of many workers become one."""

from collections.abc import Iterator
from typing import Any

import pytest
from admin_site import Site, running_site

from channeld.access.roles import Role
from channeld.channel.audience import MAX_GONE, Audience


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def test_clients_are_listed_with_totals_and_those_who_have_gone(site: Site) -> None:
    answer = site.ask("GET", "/api/v1/channels/live1/clients")
    assert answer.status_code == 200
    told = answer.json()
    assert [each["address"] for each in told["clients"] + told["gone"]] == ["192.0.2.7"] * 3
    assert (told["totals"]["clients"], told["left_out"], told["gone"][0]["ended"]) == (2, 0, "left")
    assert site.ask("GET", "/api/v1/channels/live1/clients?limit=1").json()["left_out"] == 1


@pytest.mark.parametrize(("path", "status"), [("none", 404), ("LIVE", 404), ("live1?limit=0", 422), ("live1?limit=1001", 422)])
def test_what_cannot_be_is_refused(site: Site, path: str, status: int) -> None:
    channel, _, query = path.partition("?")
    assert site.ask("GET", f"/api/v1/channels/{channel}/clients?{query}").status_code == status


def test_addresses_are_shown_to_those_who_operate(site: Site) -> None:
    for role, is_shown in ((Role.VIEWER, False), (Role.OPERATOR, True)):
        token, _ = site.accounts.add(f"a-{role.value}", role, None, by="test")
        told = site.ask("GET", "/api/v1/channels/live1/clients", headers={"Authorization": f"Bearer {token}"}).json()
        assert {each["address"] for each in told["clients"] + told["gone"]} == {"192.0.2.7" if is_shown else None}
        assert {each["place"] for each in told["clients"] + told["gone"]} == {"DE/Berlin" if is_shown else None}
        (reader,) = told["readers"]
        shown = (4711, 1000, "mpv") if is_shown else (None, None, None)
        assert (reader["pid"], reader["uid"], reader["command"]) == shown


def report(feed: str, clients: int, sent: int, *gone: str) -> dict[str, Any]:
    counts = [len(gone), *[0] * 9]
    figures = {"bytes": sent, "skips": 1, "refused": 2, "connections": counts, "connection_seconds": 0.5 * len(gone)}
    return {"channel": "one", "output": "ts", "feed": feed, "clients": clients, **figures, "gone": [{"id": each} for each in gone]}


def test_totals_go_on_over_feeds_and_workers() -> None:
    audience = Audience()
    audience.told(0, report("a", 2, 100))
    audience.told(1, report("b", 3, 10))
    audience.told(0, report("a", 1, 150, "x"))
    totals = audience.totals("one", "ts")
    assert (totals.clients, totals.bytes, totals.skips, totals.refused) == (4, 160, 2, 4)
    audience.told(0, report("c", 1, 5))  # the channel was stopped and started
    assert (audience.totals("one", "ts").clients, audience.totals("one", "ts").bytes) == (4, 165)
    audience.lost(1)
    totals = audience.totals("one", "ts")
    assert (totals.clients, totals.bytes, sum(totals.connections.counts), totals.connections.sum_s) == (1, 165, 1, 0.5)
    audience.told(1, report("d", 1, 1))
    assert (audience.totals("one", "ts").clients, audience.totals("one", "ts").bytes) == (2, 166)
    assert [each["id"] for each in audience.gone("one", "ts")] == ["x"]
    assert audience.totals("one", "other").clients == 0


def test_what_is_remembered_of_those_who_have_gone_is_bounded() -> None:
    audience = Audience()
    for turn in range(30):
        audience.told(0, report("a", 0, 0, *(f"{turn}-{at}" for at in range(20))))
    gone = audience.gone("one", "ts")
    assert len(gone) == MAX_GONE and gone[0]["id"] == "29-19"


def test_an_inquiry_ends_when_every_worker_has_answered_or_is_lost() -> None:
    audience = Audience()
    inquiry = audience.inquire([0, 1, 2])
    audience.listed(0, {"request": inquiry.number, "clients": [{"id": "a"}], "is_last": False})
    audience.listed(0, {"request": inquiry.number, "clients": [{"id": "b"}], "is_last": True})
    audience.listed(1, {"request": inquiry.number, "clients": [], "is_last": True})
    audience.listed(1, {"request": 99, "clients": [{"id": "other"}], "is_last": True})
    assert inquiry.wait(0) == ([{"id": "a"}, {"id": "b"}], False)
    audience.lost(2)
    assert inquiry.wait(0)[1]
    assert audience.inquire([]).wait(0) == ([], True)
