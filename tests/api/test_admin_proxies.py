"""Lists of upstream channels over HTTP: imported from real files into a real store, paged, searched, and never with a password."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_site import Site, running_site
from nginx_origin import wait_until

PROXIES = "/api/v1/proxies"
SECRET = "hunter2"


def write(folder: Path, name: str, count: int) -> None:
    entries = (
        f'#EXTINF:-1 tvg-id="c{number}" tvg-logo="https://l.example.org/?key={SECRET}" group-title="G{number % 3}",Channel {number}\n'
        f"rtsp://user:{SECRET}@host{number}.example.org/live?token={SECRET}\n"
        for number in range(count)
    )
    (folder / name).write_text("#EXTM3U\n" + "".join(entries) + "#EXTINF:-1,A file\n/etc/passwd\n")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        write(running.folder, "tv.m3u", 250)
        yield running


@pytest.fixture(scope="module")
def proxy(site: Site) -> str:
    answer = site.ask("POST", PROXIES, json={"name": "Telly", "source": "tv.m3u"})
    assert answer.status_code == 201, answer.text
    refreshed = site.ask("POST", f"{PROXIES}/{answer.json()['id']}/refresh").json()
    assert (refreshed["error"], refreshed["channels"], refreshed["left_out"]) == (None, 250, 1)
    assert refreshed["faults"][0]["line"] == 503
    return str(answer.json()["id"])


def pages(site: Site, proxy: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = site.ask("GET", f"{PROXIES}/{proxy}/channels", params={**query, **({} if after is None else {"after": after})}).json()
        found += page["channels"]
        after = page["next"]
        if after is None:
            return found


def test_a_list_is_told_with_its_groups_and_paged_without_a_gap(site: Site, proxy: str) -> None:
    told = site.ask("GET", f"{PROXIES}/{proxy}").json()
    assert (told["channels"], told["relayed"], told["last_error"]) == (250, 0, None)
    assert sorted(each["channels"] for each in told["groups"]) == [83, 83, 84]
    assert [each["channel_id"] for each in pages(site, proxy, limit=60)] == [f"c{number}" for number in range(250)]
    assert [each["id"] for each in site.ask("GET", PROXIES).json()] == [proxy]


def test_channels_are_searched_by_title_and_group(site: Site, proxy: str) -> None:
    assert {each["title"] for each in pages(site, proxy, search="channel 24")} == {"Channel 24", *(f"Channel {n}" for n in range(240, 250))}
    assert {each["group"] for each in pages(site, proxy, group="G1", limit=7)} == {"G1"}
    assert site.ask("GET", f"{PROXIES}/{proxy}/channels?limit=0").status_code == 422
    assert site.ask("GET", f"{PROXIES}/{proxy}/channels?after=x").status_code == 422


def test_nobody_is_shown_a_password_of_an_upstream(site: Site, proxy: str) -> None:
    source = f"https://me:{SECRET}@192.0.2.1/list.m3u?pass={SECRET}"
    made = site.ask("POST", PROXIES, json={"name": "Paid", "source": source})
    place = f"{PROXIES}/{made.json()['id']}"
    site.ask("POST", f"{place}/refresh")  # a private address: it fails, and says why
    failed = site.ask("GET", place)
    assert failed.json()["last_error"] and "192.0.2.1" in failed.json()["source"]
    kept = site.ask("PUT", place, json={"name": "Paid for"})
    assert kept.status_code == 200 and kept.json()["source"] == failed.json()["source"]
    for answer in (made, failed, kept, site.ask("GET", PROXIES), site.ask("GET", f"{PROXIES}/{proxy}/channels?limit=1000")):
        assert SECRET not in answer.text
    assert site.ask("DELETE", place).status_code == 204


def test_another_source_is_fetched_by_itself(site: Site) -> None:
    write(site.folder, "few.m3u", 2)
    write(site.folder, "more.m3u", 3)
    place = f"{PROXIES}/{site.ask('POST', PROXIES, json={'name': 'Few', 'source': 'few.m3u', 'id': 'few'}).json()['id']}"
    assert place.endswith("/few")
    wait_until(lambda: site.ask("GET", place).json()["channels"] == 2, what="the first list", timeout_s=30)
    assert site.ask("PUT", place, json={"name": "Few", "source": "more.m3u"}).status_code == 200
    wait_until(lambda: site.ask("GET", place).json()["channels"] == 3, what="the second list", timeout_s=30)
    assert site.ask("DELETE", place).status_code == 204
    assert site.ask("GET", place).status_code == site.ask("POST", f"{place}/refresh").status_code == 404


def test_an_empty_export_is_a_list_without_entries(site: Site, proxy: str) -> None:
    answer = site.ask("GET", f"{PROXIES}/{proxy}/playlist.m3u")
    assert (answer.headers["content-type"], answer.text) == ("audio/x-mpegurl; charset=utf-8", "#EXTM3U\n")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"name": "x"}, 422),
        ({"name": "x", "source": ""}, 422),
        ({"name": "x", "source": "a\nb"}, 422),
        ({"name": "x", "source": "a" * 10_000}, 422),
        ({"name": "x", "source": "a", "refresh_s": 1}, 422),
        ({"name": "x", "source": "a", "id": "../x"}, 422),
        ({"name": "x", "source": "a", "more": 1}, 422),
        ({"name": "Telly", "source": "a"}, 409),
    ],
)
def test_what_is_no_proxy_is_refused_and_nothing_is_made(site: Site, proxy: str, body: Any, status: int) -> None:
    assert site.ask("POST", PROXIES, json=body).status_code == status
    assert [each["id"] for each in site.ask("GET", PROXIES).json()] == [proxy]


@pytest.mark.parametrize("name", ["nobody", "A", "%2e%2e", "x" * 65])
def test_a_proxy_that_is_not_there_is_unknown(site: Site, name: str) -> None:
    for path in ("", "/channels", "/playlist.m3u"):
        assert site.ask("GET", f"{PROXIES}/{name}{path}").status_code == 404
