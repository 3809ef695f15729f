"""Signing in, over real HTTP: the cookie, what it needs besides, and how it ends."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from admin_site import TOKEN, Site, running_site

from channeld.access.accounts import Accounts
from channeld.access.limits import Requests
from channeld.access.roles import Role
from channeld.api.admin_logins import TRIES
from channeld.api.admin_sessions import page_headers

SKIP = "/api/v1/channels/live1/skip"


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def browser(site: Site) -> Iterator[httpx.Client]:
    """Somebody who is not signed in and keeps cookies."""
    with httpx.Client(base_url=site.client.base_url, trust_env=False, timeout=30) as client:
        yield client


def sign_in(browser: httpx.Client, token: str = TOKEN) -> dict[str, str]:
    """Sign in; gives the headers that changes need."""
    answer = browser.post("/api/v1/session", json={"token": token})
    assert answer.status_code == 200, answer.text
    return {"X-CSRF-Token": answer.json()["csrf"]}


def origin_of(browser: httpx.Client) -> str:
    return str(browser.base_url).rstrip("/")


def test_a_cookie_opens_what_the_token_opens(site: Site, browser: httpx.Client) -> None:
    assert browser.get("/api/v1/session").status_code == 401
    csrf = sign_in(browser)
    told = browser.get("/api/v1/session").json()
    assert (told["name"], told["role"], told["csrf"]) == ("admin", "admin", csrf["X-CSRF-Token"])
    assert told["expires_at"].endswith("Z") and len(told["media_token"]) == 64
    for path in ("/api/v1/channels", "/metrics", "/api/openapi.json"):
        assert browser.get(path).status_code == 200
    with browser.stream("GET", "/api/v1/events") as answer:
        assert answer.status_code == 200
    assert browser.post(SKIP, headers=csrf).status_code == 202


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: httpx.Client) -> None:
    header = browser.post("/api/v1/session", json={"token": TOKEN}).headers["set-cookie"]
    name, *attributes = header.split("; ")
    assert name.startswith("channeld_session=") and TOKEN not in header
    assert set(attributes) == {"Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Strict"}


def test_behind_tls_the_cookie_is_secure(browser: httpx.Client) -> None:
    place = origin_of(browser).partition("://")[2]
    proxied = browser.post("/api/v1/session", json={"token": TOKEN}, headers={"Origin": f"https://{place}"})
    assert proxied.headers["set-cookie"].endswith("; Secure")


def test_a_change_needs_the_csrf_token(site: Site, browser: httpx.Client) -> None:
    csrf = sign_in(browser)
    asked = len(site.control.asked_next)
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": "\udcff".encode("utf-8", "surrogateescape")}):
        refused = browser.post(SKIP, headers=headers)
        assert (refused.status_code, refused.json()["title"]) == (403, "Not allowed")
    assert len(site.control.asked_next) == asked
    assert browser.post(SKIP, headers=csrf).status_code == 202


def test_the_csrf_token_of_another_session_opens_nothing(browser: httpx.Client) -> None:
    other = sign_in(browser)
    browser.cookies.clear()
    sign_in(browser)
    assert browser.post(SKIP, headers=other).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "file://", ""])
def test_a_page_of_another_origin_cannot_use_the_session(browser: httpx.Client, origin: str) -> None:
    csrf = sign_in(browser)
    assert browser.get("/api/v1/channels", headers={"Origin": origin}).status_code == 403
    assert browser.post(SKIP, headers={**csrf, "Origin": origin}).status_code == 403
    assert browser.post("/api/v1/session", json={"token": TOKEN}, headers={"Origin": origin}).status_code == 403


def test_the_page_of_this_address_can(browser: httpx.Client) -> None:
    csrf = sign_in(browser)
    own = {"Origin": origin_of(browser), "Sec-Fetch-Site": "same-origin"}
    assert browser.post(SKIP, headers={**csrf, **own}).status_code == 202
    assert browser.get("/api/v1/channels", headers={"Sec-Fetch-Site": "same-site"}).status_code == 403


def test_signing_out_ends_the_session_for_everybody_who_has_it(browser: httpx.Client) -> None:
    csrf = sign_in(browser)
    kept = browser.cookies["channeld_session"]
    answer = browser.delete("/api/v1/session", headers=csrf)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not browser.cookies
    assert browser.get("/api/v1/channels", headers={"Cookie": f"channeld_session={kept}"}).status_code == 401


def test_a_program_with_its_token_has_no_csrf_and_needs_none(site: Site) -> None:
    told = site.ask("GET", "/api/v1/session").json()
    assert told == {"name": "admin", "role": "admin", "csrf": None, "media_token": None, "expires_at": None}
    assert site.ask("POST", SKIP).status_code == 202


def test_revoking_the_token_ends_its_sessions(site: Site, browser: httpx.Client) -> None:
    token, _ = site.accounts.add("desk", Role.OPERATOR, None, by="test")
    sign_in(browser, token)
    assert site.ask("GET", "/api/v1/tokens").json()[1]["sessions"] == 1
    assert site.ask("DELETE", "/api/v1/tokens/desk").json() == {"name": "desk", "sessions_ended": 1}
    assert browser.get("/api/v1/channels").status_code == 401


def test_revoking_the_token_ends_a_stream_of_events_that_is_open(site: Site, browser: httpx.Client) -> None:
    token, _ = site.accounts.add("wall", Role.VIEWER, None, by="test")
    with browser.stream("GET", "/api/v1/events", headers={"Authorization": f"Bearer {token}"}) as answer:
        pieces = answer.iter_raw()
        assert next(pieces)
        site.ask("DELETE", "/api/v1/tokens/wall")
        assert len(list(pieces)) < 100  # it ends, though heartbeats would come for ever


def test_wrong_tokens_at_the_sign_in_count_as_guesses(site: Site, browser: httpx.Client) -> None:
    told = [browser.post("/api/v1/session", json={"token": "wrong"}) for _ in range(TRIES + 20)]
    assert told[0].status_code == 401 and {answer.status_code for answer in told} == {401, 429}
    refused = browser.post("/api/v1/session", json={"token": TOKEN})
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1


def test_whoever_is_signed_in_stays_so_while_somebody_guesses(browser: httpx.Client) -> None:
    csrf = sign_in(browser)
    for _ in range(TRIES + 20):
        browser.post("/api/v1/session", json={"token": "wrong"}, headers=csrf)
    assert browser.get("/api/v1/channels").status_code == 200


@pytest.mark.parametrize("cookie", ["=x", "=", "=" + "x" * 9000, "=a=b; ;=;channeld_session"], ids=range(4))
def test_a_cookie_nobody_gave_is_401(browser: httpx.Client, cookie: str) -> None:
    assert browser.get("/api/v1/channels", headers={"Cookie": f"channeld_session{cookie}"}).status_code == 401


def test_two_session_cookies_are_none(browser: httpx.Client) -> None:
    sign_in(browser)
    value = browser.cookies["channeld_session"]
    browser.cookies.clear()
    assert browser.get("/api/v1/channels", headers={"Cookie": f"channeld_session={value}"}).status_code == 200
    assert browser.get("/api/v1/channels", headers={"Cookie": f"channeld_session=x; channeld_session={value}"}).status_code == 401


@pytest.mark.parametrize("body", [{}, {"token": 1}, {"token": ""}, {"token": "x" * 513}, {"token": TOKEN, "role": "admin"}, [TOKEN]])
def test_a_malformed_sign_in_is_422(browser: httpx.Client, body: object) -> None:
    assert browser.post("/api/v1/session", json=body).status_code == 422


def test_a_large_sign_in_is_refused(browser: httpx.Client) -> None:
    assert browser.post("/api/v1/session", content=b" " * 5000, headers={"Content-Type": "application/json"}).status_code == 413


def test_a_client_that_asks_without_end_waits_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channeld.api.admin_gate.Requests", lambda: Requests(burst=20, per_s=0.01))
    with running_site() as site, httpx.Client(base_url=site.client.base_url, trust_env=False, timeout=30) as nobody:
        token, _ = site.accounts.add("other", Role.VIEWER, None, by="test")
        told = [site.ask("GET", "/api/v1/session") for _ in range(30)]
        assert {answer.status_code for answer in told[:10]} == {200} and told[-1].status_code == 429
        assert int(told[-1].headers["Retry-After"]) >= 1
        assert nobody.get("/healthz").status_code == 200
        assert nobody.get("/api/v1/session", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert [nobody.get("/").status_code for _ in range(30)][-1] == 429


def test_a_form_of_another_site_cannot_sign_in(browser: httpx.Client) -> None:
    body = '{"token": "' + TOKEN + '"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert browser.post("/api/v1/session", content=body, headers={"Content-Type": kind}).status_code == 415


def test_a_session_outlasts_the_daemon(site: Site, browser: httpx.Client, tmp_path: Path) -> None:
    accounts = Accounts(tmp_path, TOKEN)
    opened = accounts.sign_in(TOKEN)
    assert opened is not None
    again = Accounts(tmp_path, TOKEN).by_session(opened[0])
    assert again is not None and again.csrf == opened[1].csrf
    assert Accounts(tmp_path, "another-token-of-tests").by_session(opened[0]) is None


def test_the_pages_policy_names_what_it_needs_and_nothing_else() -> None:
    headers = page_headers(["https://media.example:8090"])
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == "'self'" and "unsafe" not in headers["Content-Security-Policy"]
    assert policy["media-src"] == "'self' blob: https://media.example:8090"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
