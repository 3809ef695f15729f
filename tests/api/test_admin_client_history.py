"""How many watched, over the admin interface: JSON, CSV, and what is refused."""

import csv
import io
from collections.abc import Iterator

import pytest
from admin_site import Site, running_site

from channeld.access.roles import Role
from channeld.api.admin_client_history import COLUMNS

HISTORY = "/api/v1/channels/live1/clients/history"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def test_hours_with_viewers_are_told_with_totals_to_every_role(site: Site) -> None:
    token, _ = site.accounts.add("a-watcher", Role.VIEWER, None, by="test")
    told = site.ask("GET", HISTORY, headers={"Authorization": f"Bearer {token}"}).json()
    (row,) = told["rows"]
    assert (row["at"], row["viewers"], row["peak"], row["by_agent"]) == ("2027-01-15T08:00:00.000Z", 1.5, 3, {"vlc": 5400.0})
    assert (told["step"], told["totals"]["viewing_hours"], told["totals"]["stays"]["up_to_10_s"]) == ("hour", 1.5, 1)


def test_the_same_as_csv(site: Site) -> None:
    answer = site.ask("GET", f"{HISTORY}?format=csv&step=minute")
    assert answer.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert tuple(row) == COLUMNS and (row["channel"], row["step"], row["peak"]) == ("live1", "minute", "3")


@pytest.mark.parametrize(
    ("path", "status"),
    [("none/clients/history", 404), ("live1/clients/history?step=day", 422), ("live1/clients/history?limit=0", 422)],
)
def test_what_cannot_be_is_refused(site: Site, path: str, status: int) -> None:
    assert site.ask("GET", f"/api/v1/channels/{path}").status_code == status
