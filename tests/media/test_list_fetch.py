"""Lists are read within bounds, from judged addresses and allowed folders only."""

import ipaddress
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from url_site import Request, Site, serving

from channeld.base.address import Address, is_public
from channeld.media.fetch import FetchStopped
from channeld.media.list_fetch import ListLimits, ListReader
from channeld.media.pinned import FetchError, FetchRules, Net

LIST = b"#EXTM3U\n#EXTINF:-1,A\nhttp://a.test/\n"
NAMES = {"clips.test": ["127.0.0.1"], "inside.test": ["127.0.0.2"], "mixed.test": ["127.0.0.1", "10.0.0.1"]}
LIMITS = ListLimits(max_bytes=1 << 20, answer_s=10.0, silence_s=10.0, total_s=30.0)


def names(host: str) -> list[str]:
    return NAMES.get(host) or [str(ipaddress.ip_address(host))]


def only_first_loopback(address: Address) -> bool:
    """The world as it would be if 127.0.0.1 were a public address."""
    return str(address) == "127.0.0.1" or is_public(address)


def never() -> bool:
    return False


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "lists"
    made.mkdir()
    (made / "tv.m3u").write_bytes(LIST)
    (tmp_path / "secret.m3u").write_bytes(b"secret")
    return made


@pytest.fixture
def reader(folder: Path) -> ListReader:
    return ListReader(FetchRules(), [folder], base=folder, net=Net(names, only_first_loopback), limits=LIMITS)


def why(reader: ListReader, source: str) -> str:
    with pytest.raises(FetchError) as caught:
        reader.read(source, never)
    assert "s3cr3t" not in str(caught.value)
    return str(caught.value)


def test_a_list_is_read_by_its_url_with_a_password_and_through_a_redirect(reader: ListReader, site: Site) -> None:
    asked: list[str] = []

    def answer(request: Request) -> None:
        asked.append(request.headers.get("authorization", ""))
        request.reply(200, LIST)

    site.routes |= {"/tv.m3u": answer, "/old": lambda request: request.reply(302, location="/tv.m3u")}
    assert reader.read(site.url("/old").replace("//", "//me:s3cr3t@"), never) == LIST
    assert asked == ["Basic bWU6czNjcjN0"]


def test_a_list_from_a_private_address_is_refused_before_anything_is_sent(reader: ListReader, site: Site) -> None:
    with serving("127.0.0.2", port=site.port) as inside:
        inside.routes["/tv"] = lambda request: request.reply(200, b"secret")
        site.routes["/tv"] = lambda request: request.reply(302, location=inside.url("/tv", "inside.test"))
        for source in (
            inside.url("/tv?k=s3cr3t", "inside.test"),
            site.url("/tv"),
            inside.url("/tv", "127.0.0.2"),
            site.url("/tv", "mixed.test"),
        ):
            assert "private address" in why(reader, source)
        assert inside.connections == 0
        allowed = ListReader(FetchRules(private=True), [], net=Net(names, only_first_loopback), limits=LIMITS)
        assert allowed.read(inside.url("/tv", "inside.test"), never) == b"secret"


def test_what_is_no_plain_list_is_refused(reader: ListReader, site: Site) -> None:
    site.routes |= {
        "/zip": lambda request: request.reply(200, LIST, content_encoding="gzip"),
        "/login": lambda request: request.reply(401),
        "/loop": lambda request: request.reply(302, location="/loop"),
        "/file": lambda request: request.reply(302, location="file:///etc/passwd"),
    }
    assert "gzip coding" in why(reader, site.url("/zip"))
    assert "answered 401" in why(reader, site.url("/login"))
    assert "redirects" in why(reader, site.url("/loop"))
    for source in (site.url("/file"), "file:///etc/passwd", "rtsp://a.test/", "ftp://u:s3cr3t@a.test/"):
        assert "scheme" in why(reader, source)


def test_an_answer_without_end_is_left_at_the_cap(reader: ListReader, site: Site) -> None:
    def pour(request: Request) -> None:
        request.head(200)
        while not site.closing.is_set():
            request.wfile.write(bytes(1 << 16))

    site.routes["/tv"] = pour
    assert "larger than 1 MiB" in why(reader, site.url("/tv"))


def test_an_answer_that_drips_ends_in_time(folder: Path, site: Site) -> None:
    def drip(request: Request) -> None:
        request.head(200)
        while not site.closing.wait(0.05):
            request.wfile.write(b"#")

    site.routes["/tv"] = drip
    hasty = ListReader(FetchRules(), [], net=Net(names, only_first_loopback), limits=ListLimits(total_s=1.0))
    assert "not fetched within 1 s" in why(hasty, site.url("/tv"))


def test_a_fetch_ends_when_it_is_asked_to(reader: ListReader, site: Site) -> None:
    site.routes["/tv"] = lambda request: site.closing.wait(30) and None
    until_s = time.monotonic() + 0.5
    with pytest.raises(FetchStopped):
        reader.read(site.url("/tv"), lambda: time.monotonic() > until_s)


def test_a_file_is_read_below_its_folders_by_either_kind_of_path(reader: ListReader, folder: Path) -> None:
    (folder / "link.m3u").symlink_to(folder / "tv.m3u")
    for source in ("tv.m3u", str(folder / "tv.m3u"), "link.m3u", "./tv.m3u"):
        assert reader.read(source, never) == LIST


def test_a_file_outside_of_its_folders_is_refused_however_it_is_named(reader: ListReader, folder: Path, tmp_path: Path) -> None:
    (folder / "link.m3u").symlink_to(tmp_path / "secret.m3u")
    (folder / "up").symlink_to(tmp_path)
    for source in ("../secret.m3u", str(tmp_path / "secret.m3u"), "link.m3u", "up/secret.m3u", "/etc/passwd", "../lists-other/a.m3u", ".."):
        assert "outside of the folders" in why(reader, source)


def test_what_is_no_file_is_refused_without_waiting_for_it(reader: ListReader, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "sub").mkdir()
    with (folder / "large").open("wb") as file:
        file.truncate((1 << 20) + 1)
    assert "not a file" in why(reader, "pipe") and "Is a directory" in why(reader, "sub")
    assert "No such file" in why(reader, "none.m3u") and "no path" in why(reader, "a\0b") and "larger" in why(reader, "large")
    assert "cannot be read" in why(reader, "x" * 300)
