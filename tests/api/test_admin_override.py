"""Orders in place of everything over HTTP: what is sent arrives, what is hostile is refused by its field."""

from collections.abc import Iterator
from typing import Any

import pytest
from admin_site import Site, running_site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def test_an_order_for_one_channel_and_for_all(site: Site) -> None:
    answer = site.ask("PUT", "/api/v1/channels/live1/override", json={"text": "Back at 14:00", "seconds": 60})
    assert (answer.status_code, answer.json()) == (200, {"channels": ["live1"]})
    assert site.ask("PUT", "/api/v1/override", json={"path": "a.mp4", "once": True}).json() == {"channels": ["live1", "live2"]}
    assert site.ask("DELETE", "/api/v1/channels/live2/override").json() == {"channels": ["live2"]}
    assert site.ask("DELETE", "/api/v1/override").status_code == 200
    assert site.ask("PUT", "/api/v1/channels/nobody/override", json={"text": "x"}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "x", "path": "y"},
        {"text": "x" * 81},
        {"text": "x", "seconds": 0},
        {"text": "x", "seconds": 1e9},
        {"text": 1},
        {"words": "x"},
        [],
    ],
)
def test_what_is_no_order_is_refused(site: Site, body: Any) -> None:
    assert site.ask("PUT", "/api/v1/channels/live1/override", json=body).status_code == 422
