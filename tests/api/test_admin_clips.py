"""The catalogue of clips over HTTP."""

from collections.abc import Iterator

import pytest
from admin_site import Site, running_site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def test_pages_are_linked_until_the_last(site: Site) -> None:
    route, seen = "/api/v1/clips?limit=1", []
    while route:
        answer = site.ask("GET", route)
        seen += [clip["source"] for clip in answer.json()]
        route = answer.links.get("next", {}).get("url", "")
    assert seen == ["a.mp4|||", "b.mp4|||"]


def test_without_a_database_there_is_no_catalogue(site: Site) -> None:
    site.control.history_problem = "the disk is full"
    assert "the disk is full" in site.ask("GET", "/api/v1/clips").json()["detail"]
    site.control.history_problem = None
    assert site.ask("GET", "/api/v1/clips?limit=0").status_code == 422
