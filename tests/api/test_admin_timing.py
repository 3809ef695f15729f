"""Each answer is told with its route's template, method and status, whatever was asked for and whoever asked."""

from pathlib import Path

import anyio
import httpx
import pytest
from admin_site import BEARER, TOKEN, MemoryControl

from channeld.access.accounts import Accounts
from channeld.api.admin_app import build_app

Told = list[tuple[str, str, str]]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """What was told of seven requests."""
    found: Told = []

    def answered(method: str, route: str, status: str, seconds: float) -> None:
        assert 0 < seconds < 60
        found.append((method, route, status))

    accounts = Accounts(tmp_path, TOKEN)
    app = build_app(MemoryControl(), accounts=accounts, allowed_hosts=[], media_base_url="http://127.0.0.1:8090", answered=answered)

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=BEARER) as client:
            for path in ("/api/v1/channels/live1", "/api/v1/channels/other", "/nowhere/at/all", "/guide.xml"):
                await client.get(path)
            await client.head("/api/v1/channels/live1")
            await client.request("BREW", "/api/v1/channels")
            await client.get("/api/v1/channels", headers={"Authorization": "Bearer wrong"})

    anyio.run(ask)
    return found


def test_the_template_stands_for_what_it_names(told: Told) -> None:
    assert told[:4] == [
        ("GET", "/api/v1/channels/{channel}", "200"),
        ("GET", "/api/v1/channels/{channel}", "404"),
        ("GET", "none", "404"),
        ("GET", "/guide.xml", "307"),
    ]


def test_head_is_told_as_it_was_asked_and_strange_methods_as_one(told: Told) -> None:
    assert told[4][0] == "HEAD" and told[4][1] == "/api/v1/channels/{channel}"
    assert told[5][0] == "other"


def test_who_is_not_let_in_sees_no_route(told: Told) -> None:
    assert told[6] == ("GET", "none", "401")
