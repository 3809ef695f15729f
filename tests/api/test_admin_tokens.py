"""The routes of the named tokens, over real HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from admin_site import TOKEN, Site, running_site


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def make(site: Site, name: str = "wall", role: str = "viewer", **more: Any) -> httpx.Response:
    return site.ask("POST", "/api/v1/tokens", json={"name": name, "role": role, **more})


def test_a_token_is_told_once_and_opens_what_its_role_may(site: Site) -> None:
    made = make(site, expires_at="2999-01-01T00:00:00+01:00")
    assert (made.status_code, made.headers["location"]) == (201, "/api/v1/tokens/wall")
    assert made.json()["expires_at"] == "2998-12-31T23:00:00.000Z"
    token = made.json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert site.ask("GET", "/api/v1/channels", headers=headers).status_code == 200
    listed = site.ask("GET", "/api/v1/tokens")
    assert token not in listed.text and TOKEN not in listed.text
    first, second = listed.json()
    assert (first["name"], first["role"]) == ("admin", "admin") and first["last_used_at"]
    assert (second["name"], second["role"], second["is_expired"]) == ("wall", "viewer", False) and second["last_used_at"]


def test_a_revoked_token_opens_nothing(site: Site) -> None:
    headers = {"Authorization": f"Bearer {make(site).json()['token']}"}
    assert site.ask("DELETE", "/api/v1/tokens/wall").json() == {"name": "wall", "sessions_ended": 0}
    refused = site.ask("GET", "/api/v1/channels", headers=headers)
    assert refused.status_code == 401 and "invalid_token" in refused.headers["www-authenticate"]
    assert site.ask("DELETE", "/api/v1/tokens/wall").status_code == 404


def test_names_are_unique_and_the_files_token_is_not_touched(site: Site) -> None:
    assert make(site).status_code == 201
    assert [make(site, name).status_code for name in ("wall", "admin")] == [409, 409]
    assert site.ask("DELETE", "/api/v1/tokens/admin").status_code == 409
    assert site.ask("GET", "/api/v1/channels").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "../x"},
        {"name": "a b"},
        {"name": "x" * 65},
        {"name": "a\n"},
        {"role": "root"},
        {"role": None},
        {"expires_at": "yesterday"},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"expires_at": 12},
        {"surprise": 1},
    ],
    ids=str,
)
def test_what_is_no_token_is_422_and_makes_none(site: Site, wrong: dict[str, Any]) -> None:
    refused = make(site, **wrong)
    assert refused.status_code == 422 and refused.json()["errors"]
    assert len(site.ask("GET", "/api/v1/tokens").json()) == 1


def test_names_of_tokens_that_cannot_be_are_refused_in_the_path(site: Site) -> None:
    assert site.ask("DELETE", "/api/v1/tokens/%20").status_code == 422


def test_errors_and_answers_hold_no_secret(site: Site) -> None:
    token = make(site).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    texts = [
        site.ask("POST", "/api/v1/reload", headers=headers).text,
        site.ask("GET", f"/api/v1/channels/{token}", headers=headers).text.replace(token, "", 1),
        json.dumps(site.ask("GET", "/api/v1/session", headers=headers).json()),
    ]
    assert not [text for text in texts if token in text or TOKEN in text]
