"""The media library over HTTP; what it holds is tested with the desk."""

from collections.abc import Iterator

import pytest
from admin_site import Site, running_site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def test_pages_of_the_library_are_linked_until_the_last(site: Site) -> None:
    route, seen = "/api/v1/library?channel=live1&limit=2", []
    while route:
        answer = site.ask("GET", route)
        assert (answer.headers["channeld-total"], answer.headers["channeld-unknown"]) == ("3", "3")
        seen += [file["path"] for file in answer.json()]
        route = answer.links.get("next", {}).get("url", "")
    assert seen == ["a.mp4", "b.mp4", "c.mp4"]
    assert [file["path"] for file in site.ask("GET", "/api/v1/library?channel=live1&q=b.m").json()] == ["b.mp4"]


def test_the_library_is_a_channels_and_its_pages_are_bounded(site: Site) -> None:
    assert site.ask("GET", "/api/v1/library?channel=live9").status_code == 404
    for wrong in ("", "?channel=../x", "?channel=live1&limit=0", "?channel=live1&limit=5000"):
        assert site.ask("GET", f"/api/v1/library{wrong}").status_code == 422
