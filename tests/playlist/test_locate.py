"""A locator leads below a media root or to an allowed public host, or nowhere."""

from pathlib import Path

import pytest

from channeld.playlist.locate import Locator, PathRules, is_private_host


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """lists/ (the playlist's folder) with a clip, films/ beside it, links between them."""
    for name in ("lists/a.mp4", "lists/sub/b.mp4", "films/c.mp4", "lists/other.m3u"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "lists" / "out.mp4").symlink_to("../films/c.mp4")
    (tmp_path / "lists" / "in.mp4").symlink_to("sub/b.mp4")
    (tmp_path / "lists" / "films").symlink_to("../films")
    (tmp_path / "lists" / "dangling.mp4").symlink_to("nothing.mp4")
    (tmp_path / "lists" / "sneaky.mp4").symlink_to("other.m3u")
    return tmp_path


def test_paths_start_at_the_base_and_are_resolved(tree):
    locator = Locator(tree / "lists", PathRules())
    for written, real in (("a.mp4", "a.mp4"), ("sub/b.mp4", "sub/b.mp4"), ("sub/../a.mp4", "a.mp4"), ("in.mp4", "sub/b.mp4")):
        at = locator.locate(written)
        assert (at.path, at.fault) == (tree / "lists" / real, None)
    assert locator.locate(str(tree / "lists" / "a.mp4")).path == tree / "lists" / "a.mp4"


@pytest.mark.parametrize("written", ["../films/c.mp4", "out.mp4", "films/c.mp4", "/etc/hostname", "../../../../etc/hostname"])
def test_what_lies_outside_the_roots_is_refused_and_not_pointed_at(tree, written):
    at = Locator(tree / "lists", PathRules()).locate(written)
    assert at.path is None and at.fault is not None and "outside the media roots" in at.fault


@pytest.mark.parametrize("written", ["../films/c.mp4", "out.mp4", "films/c.mp4"])
def test_a_media_root_lets_its_files_in(tree, written):
    at = Locator(tree / "lists", PathRules(media_roots=(tree,))).locate(written)
    assert (at.path, at.fault) == (tree / "films" / "c.mp4", None)


def test_a_root_is_not_its_namesake_with_a_longer_name(tree):
    (tree / "lists2").mkdir()
    (tree / "lists2" / "x.mp4").touch()
    assert Locator(tree / "lists", PathRules()).locate("../lists2/x.mp4").fault is not None


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("none.mp4", "no such file"),
        ("no/such/folder/x.mp4", "no such file"),
        ("sub", "is a folder"),
        ("sub/", "is a folder"),
        ("..", "is a folder"),
        ("other.m3u", "a playlist inside a playlist"),
        ("sneaky.mp4", "a playlist inside a playlist"),
        ("dangling.mp4", "a link to no file"),
        ("concat:a.mp4|b.mp4", "no such file"),
    ],
)
def test_what_cannot_air_has_a_fault_in_words(tree, written, words):
    at = Locator(tree / "lists", PathRules()).locate(written)
    assert at.fault is not None and words in at.fault


def test_many_names_of_one_folder_are_judged_as_one_by_one(tree):
    locator = Locator(tree / "lists", PathRules())
    for n in range(40):
        assert locator.locate(f"none{n}.mp4").fault == "no such file"
    assert locator.locate("a.mp4").fault is None
    assert locator.locate("in.mp4").path == tree / "lists" / "sub" / "b.mp4"
    assert "is a folder" in (locator.locate("sub").fault or "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://example.org/a.mp4", None),
        ("HTTPS://example.org/a.mp4", None),
        ("file:///etc/passwd", "write the plain path"),
        ("ftp://example.org/a.mp4", "scheme ftp is not supported: https, http, rtsp"),
        ("http://127.0.0.1/a.mp4", "is private"),
        ("http://:9000", "names no host"),
        ("rtsps://example.org/cam", "scheme rtsps is refused"),
        ("rtsp://127.0.0.1/cam", "host 127.0.0.1 is private"),
        ("rtmp:///app/key", "the URL names no host"),
        ("http://[64:ff9b::7f00:1]/a.mp4", "is private"),
        ("http://[::1/a.mp4", "not a valid URL"),
    ],
)
def test_urls_need_an_allowed_scheme_and_a_public_host(tmp_path, url, words):
    at = Locator(tmp_path, PathRules()).locate(url)
    assert at.path is None
    assert at.fault is None if words is None else words in (at.fault or "")


def test_a_scheme_that_is_not_listed_is_refused(tmp_path):
    at = Locator(tmp_path, PathRules(schemes=("https",))).locate("http://example.org/a.mp4")
    assert at.fault == "scheme http is refused (allowed: https)"


def test_private_hosts_may_be_allowed(tmp_path):
    assert Locator(tmp_path, PathRules(private_hosts=True)).locate("http://10.0.0.1/a").fault is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "10.1.2.3",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "224.0.0.1",
        "100.64.0.1",
    ],
)
def test_private_hosts_are_known_however_they_are_written(host):
    assert is_private_host(host)


@pytest.mark.parametrize("host", ["example.org", "8.8.8.8", "2606:4700::1111", "localhost.example.org", "10.example.org"])
def test_public_hosts_are_not_private(host):
    assert not is_private_host(host)
