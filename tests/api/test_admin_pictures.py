"""Pictures of what is on air over HTTP; how they are taken is tested with the channels."""

from collections.abc import Iterator

import pytest
from admin_site import Site, running_site

ROUTE = "/api/v1/channels/live1/thumbnail.jpg"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def test_a_channel_without_a_ring_has_no_picture_and_says_why(site: Site) -> None:
    answer = site.ask("GET", ROUTE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "just come on air" in answer.json()["detail"]


def test_an_unknown_channel_and_a_silly_width_are_refused(site: Site) -> None:
    assert site.ask("GET", ROUTE.replace("live1", "live9")).status_code == 404
    assert site.ask("GET", f"{ROUTE}?width=5000").status_code == 422
    assert site.ask("GET", f"{ROUTE}?width=0").status_code == 422
