"""The dashboard's files over HTTP: open to all, whole, kept by browsers, and with a policy that lets no foreign script run."""

import gzip
import re
from collections.abc import Iterator

import httpx
import pytest
from admin_site import AT, Site, running_site

from channeld.api.admin_page import WEB


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def url_of(site: Site) -> str:
    """For requests without the token."""
    return str(site.client.base_url).rstrip("/")


def asset(site: Site, name: str) -> str:
    """The path of a part, as the page names it."""
    found = re.search(r"/assets/[0-9a-f]{12}/", site.ask("GET", "/").text)
    assert found is not None
    return found[0] + name


def test_the_page_and_all_that_it_names_come_without_a_token(site: Site) -> None:
    page = httpx.get(f"{url_of(site)}/")
    named = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text)
    assert page.status_code == 200
    assert len(named) >= 4
    assert [path for path in named if httpx.get(url_of(site) + path).status_code != 200] == []


def test_the_place_of_relays_has_an_address_of_its_own(site: Site) -> None:
    page, relays = (httpx.get(url_of(site) + path) for path in ("/", "/relay"))
    assert (relays.status_code, relays.content) == (200, page.content)
    assert relays.headers["content-security-policy"] == page.headers["content-security-policy"]
    assert httpx.get(f"{url_of(site)}/relay/more").status_code == 401, "there is no such page"


def test_every_module_imports_only_parts_that_are_there(site: Site) -> None:
    modules = list((WEB / "assets").glob("*.js"))
    imports = {(path.name, name) for path in modules for name in re.findall(r"""(?:from|import)\(?\s*["']\./([^"']+)""", path.read_text())}
    assert len(imports) > 30
    assert [found for found in imports if not (WEB / "assets" / found[1]).is_file()] == []


def test_no_markup_is_made_of_text_from_outside() -> None:
    """Titles are hostile: everything that comes from outside becomes a text node."""
    makers = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|createContextualFragment")
    assert [path.name for path in (WEB / "assets").glob("*.js") if makers.search(path.read_text())] == []


def test_the_policy_allows_no_inline_script_or_style_and_no_foreign_origin(site: Site) -> None:
    policy = httpx.get(f"{url_of(site)}/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", (WEB / "index.html").read_text())
    origins = re.findall(r"https?://\S+?(?=[ ;]|$)", policy)
    assert len(set(origins)) == 1, "the media listener's, for previews"


def test_a_part_of_this_edition_is_kept_for_ever_and_one_of_another_is_asked_again(site: Site) -> None:
    kept = httpx.get(url_of(site) + asset(site, "app.js"))
    other = httpx.get(f"{url_of(site)}/assets/000000000000/app.js")
    assert "immutable" in kept.headers["cache-control"]
    assert other.headers["cache-control"] == "no-cache"
    assert other.content == kept.content
    again = httpx.get(f"{url_of(site)}/", headers={"If-None-Match": httpx.get(f"{url_of(site)}/").headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_parts_are_packed_for_who_takes_it(site: Site) -> None:
    path = url_of(site) + asset(site, "vendor/hls.js")
    plain = httpx.get(path, headers={"Accept-Encoding": "identity"})
    with httpx.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 2


@pytest.mark.parametrize(
    "name", ["nothing.js", "../admin_page.py", "..%2fadmin_page.py", "%2e%2e/index.html", "vendor", "", "app.js/", "\u00e9.js"]
)
def test_nothing_else_is_served_below_assets(site: Site, name: str) -> None:
    answer = site.ask("GET", f"/assets/000000000000/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_others_made_comes_with_its_licence() -> None:
    vendored = {path.stem for path in (WEB / "assets" / "vendor").glob("*.js")}
    licences = {path.name.split(".")[0] for path in (WEB / "assets" / "vendor").glob("*.LICENSE.txt")}
    assert vendored == licences == {"hls", "uplot"}


def test_readings_come_since_a_moment_and_settings_with_their_lines(site: Site) -> None:
    assert len(site.ask("GET", "/api/v1/channels/live1/readings").json()["samples"]) == 1
    assert site.ask("GET", f"/api/v1/channels/live1/readings?since={AT}").json()["samples"] == []
    assert site.ask("GET", "/api/v1/channels/live1/readings?since=yesterday").status_code == 422
    assert site.ask("GET", "/api/v1/channels/live1/readings?since=2026-11-21T10:00:00").status_code == 422, "of which zone?"
    assert site.ask("GET", "/api/v1/channels/nobody/readings").status_code == 404
    assert site.ask("GET", "/api/v1/settings").json()["settings"] == [{"key": "admin.listen", "value": "127.0.0.1:8080", "line": 4}]
