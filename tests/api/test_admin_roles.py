"""Who may do what: every route of the OpenAPI document, asked by everybody."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from admin_site import Site, running_site

from channeld.access.roles import Role
from channeld.api.admin_roles import ROLE_OF

VALUES = {
    "channel": "live1",
    "name": "nobody",
    "entry": "e1",
    "upload": "0" * 32,
    "profile_id": "1",
    "proxy_id": "tv",
    "channel_id": "news",
    "config_id": "1",
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture(scope="module")
def tokens(site: Site) -> dict[Role, str]:
    """A token of each role."""
    return {role: site.accounts.add(f"a-{role}", role, None, by="test")[0] for role in Role}


def operations(site: Site) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path as a request has it, and description of every operation."""
    for template, methods in site.ask("GET", "/api/openapi.json").json()["paths"].items():
        for method, described in methods.items():
            yield method.upper(), template, described


def path_of(template: str) -> str:
    for name, value in VALUES.items():
        template = template.replace(f"{{{name}}}", value)
    assert "{" not in template, "give this parameter a value in VALUES"
    return template


def ask(site: Site, method: str, template: str, token: str | None) -> int:
    """The status; a stream is not read."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{site.client.base_url}{path_of(template)}"
    with httpx.Client(trust_env=False, timeout=30) as client, client.stream(method, url, headers=headers) as answer:
        return answer.status_code


def test_every_route_has_a_declared_role(site: Site) -> None:
    undeclared = [(method, template) for method, template, _ in operations(site) if (method, template) not in ROLE_OF]
    assert undeclared == [], "say in channeld/api/admin_roles.py who may ask for these"


def test_a_change_is_never_a_viewers(site: Site) -> None:
    changing = {key: role for key, role in ROLE_OF.items() if key[0] not in ("GET", "HEAD") and not key[1].endswith("/session")}
    assert Role.VIEWER not in changing.values() and None not in changing.values()


def test_who_is_nobody_gets_401_everywhere_but_at_the_open_routes(site: Site) -> None:
    for method, template, described in operations(site):
        status = ask(site, method, template, None)
        if ROLE_OF[method, template] is None:
            assert status != 401 or template.endswith("/session"), template
            assert "security" not in described
        else:
            assert status == 401, f"{method} {template}"
            assert described["x-role"] == ROLE_OF[method, template]


def test_too_low_a_role_gets_403_and_nothing_happens(site: Site, tokens: dict[Role, str]) -> None:
    for role, token in tokens.items():
        before = (dict(site.control.texts), dict(site.control.states))
        for method, template, _ in operations(site):
            needed = ROLE_OF[method, template]
            if needed is not None and not role.includes(needed):
                assert ask(site, method, template, token) == 403, f"{role}: {method} {template}"
        assert (site.control.texts, site.control.states) == before


def test_a_high_enough_role_is_never_refused_for_its_role(site: Site, tokens: dict[Role, str]) -> None:
    for role, token in tokens.items():
        for method, template, _ in operations(site):
            needed = ROLE_OF[method, template]
            if needed is None or (role.includes(needed) and method == "GET"):
                assert ask(site, method, template, token) not in (401, 403) or template.endswith("/session"), f"{role}: {method} {template}"


def test_a_refusal_says_which_role_is_needed(site: Site, tokens: dict[Role, str]) -> None:
    answer = site.ask("POST", "/api/v1/channels/live1/skip", headers={"Authorization": f"Bearer {tokens[Role.VIEWER]}"})
    assert (answer.status_code, answer.json()["needed"], answer.json()["role"]) == (403, "operator", "viewer")
    answer = site.ask("POST", "/api/v1/reload", headers={"Authorization": f"Bearer {tokens[Role.OPERATOR]}"})
    assert (answer.status_code, answer.json()["needed"]) == (403, "admin")


def test_a_route_nobody_declared_needs_an_admin(site: Site, tokens: dict[Role, str], monkeypatch: pytest.MonkeyPatch) -> None:
    left = {key: role for key, role in ROLE_OF.items() if key != ("GET", "/api/v1/channels")}
    monkeypatch.setattr("channeld.api.admin_roles.ROLE_OF", left)
    assert ask(site, "GET", "/api/v1/channels", tokens[Role.OPERATOR]) == 403
    assert ask(site, "GET", "/api/v1/channels", tokens[Role.ADMIN]) == 200


def test_the_page_and_its_parts_are_open_and_what_they_ask_is_not(site: Site) -> None:
    with httpx.Client(base_url=site.client.base_url, trust_env=False, timeout=30) as nobody:
        assert {nobody.get(path).status_code for path in ("/", "/assets/app.js")} <= {200, 404}
        assert nobody.get("/assets/../metrics").status_code == 401  # the client takes the dots out
        assert nobody.get("/assets/%2e%2e/metrics").status_code == 404
