"""The as-run log over HTTP: filters, pages, CSV, and what is refused."""

import csv
import io
from collections.abc import Iterator

import pytest
from admin_site import Site, running_site

ROUTE = "/api/v1/as-run"


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def site(shared: Site) -> Site:
    shared.control.history_problem = None
    return shared


def ids(site: Site, query: str) -> list[int]:
    return [line["id"] for line in site.ask("GET", f"{ROUTE}?{query}").json()]


FILTERS = {
    "": [2, 1],
    "outcome=any": [3, 2, 1],
    "outcome=skipped": [3],
    "outcome=cut,skipped": [3, 1],
    "channel=live2": [2],
    "path=a.mp4": [1],
    "path=nothing": [],
    "from=2026-11-21T10:00:05Z": [2],
    "from=2026-11-21T11:00:05%2B01:00": [2],
    "from=2026-11-21T10:00:05": [2],
    "to=2026-11-21T10:00:05Z": [1],
    "to=2026-11-21": [],
    "before=2": [1],
    "limit=1": [2],
}


@pytest.mark.parametrize(("query", "expected"), FILTERS.items(), ids=FILTERS)
def test_filters_narrow_it_down(site: Site, query: str, expected: list[int]) -> None:
    assert ids(site, query) == expected


REFUSED = ["limit=0", "limit=10001", "limit=x", "channel=../x", "from=yesterday", "outcome=good", "outcome=", "before=0", "format=x"]


@pytest.mark.parametrize("route", ["", "/totals"])
@pytest.mark.parametrize("query", REFUSED)
def test_what_cannot_be_meant_is_refused(site: Site, query: str, route: str) -> None:
    if route and query.split("=")[0] in ("limit", "before"):
        assert site.ask("GET", f"{ROUTE}{route}?{query}").status_code == 200  # totals have no pages
    else:
        assert site.ask("GET", f"{ROUTE}{route}?{query}").status_code == 422


@pytest.mark.parametrize("route", ["", "/totals"])
def test_an_unknown_channel_is_not_found(site: Site, route: str) -> None:
    assert site.ask("GET", f"{ROUTE}{route}?channel=nobody").status_code == 404


def test_pages_are_linked_until_the_last(site: Site) -> None:
    route, seen = f"{ROUTE}?outcome=any&limit=1", []
    while route:
        answer = site.ask("GET", route)
        seen += [line["id"] for line in answer.json()]
        route = answer.links.get("next", {}).get("url", "")
    assert seen == [3, 2, 1]


@pytest.mark.parametrize("how", [{"headers": {"Accept": "text/csv"}}, {"params": {"format": "csv", "outcome": "aired"}}])
def test_csv_has_the_same_lines_with_nothing_that_a_spreadsheet_would_run(site: Site, how: dict[str, dict[str, str]]) -> None:
    answer = site.ask("GET", ROUTE, **how)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    lines = site.ask("GET", ROUTE).json()
    assert [row["id"] for row in rows] == [str(line["id"]) for line in lines]
    assert [row["title"] for row in rows] == ["'=1+1", 'A, "b"']
    assert [(row["frames"], row["frames_planned"], row["reason"]) for row in rows] == [("250", "250", ""), ("100", "250", "skip")]


def test_json_is_what_is_given_to_those_who_take_both(site: Site) -> None:
    answer = site.ask("GET", ROUTE, headers={"Accept": "text/csv, application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert site.ask("GET", f"{ROUTE}?format=json", headers={"Accept": "text/csv"}).json()


def test_totals_count_what_aired(site: Site) -> None:
    rows = site.ask("GET", f"{ROUTE}/totals?channel=live1").json()
    assert [(row["path"], row["airings"], row["frames"], row["aired_s"]) for row in rows] == [("a.mp4", 1, 100, 4.0)]
    answer = site.ask("GET", f"{ROUTE}/totals", headers={"Accept": "text/csv"})
    assert answer.text.splitlines()[0] == "channel,path,title,airings,frames,aired_s,first_at,last_at"


def test_an_answer_that_is_not_all_there_is_says_so(site: Site) -> None:
    site.control.history_problem = "only what is in memory: ✗ the disk is full\r\nX-Injected: 1"
    answer = site.ask("GET", ROUTE)
    assert answer.headers["channeld-problem"].startswith("only what is in memory: ")
    assert "x-injected" not in answer.headers
