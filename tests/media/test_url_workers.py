"""Clips behind URLs, through the library: downloaded, prepared, kept while the server is away, made anew when the content is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import clips
import pytest
from url_site import Request, Site, serving

from channeld.media.cache import ClipCache
from channeld.media.clip_state import ClipState, Stage
from channeld.media.fetch import Fetcher
from channeld.media.library import ClipLibrary, downloads_of
from channeld.media.pinned import FetchRules, Net
from channeld.media.prepare import PrepareRequest
from channeld.media.url_book import UrlBook

DEADLINE_S = 60.0


class Ear:
    """Hears what a library tells and waits for the states of its entries."""

    def __init__(self) -> None:
        self._heard = threading.Condition()
        self.told: list[tuple[str, ClipState]] = []

    def hear(self, entry: str, state: ClipState) -> None:
        with self._heard:
            self.told.append((entry, state))
            self._heard.notify_all()

    def wait_for(self, done: Callable[[], bool]) -> None:
        with self._heard:
            assert self._heard.wait_for(done, DEADLINE_S), self.told

    def wait_for_stage(self, library: ClipLibrary, entry: str, stage: Stage) -> ClipState:
        self.wait_for(lambda: (state := library.state(entry)) is not None and state.stage is stage)
        state = library.state(entry)
        assert state is not None
        return state


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as running:
        yield running


@pytest.fixture
def ear() -> Ear:
    return Ear()


@contextmanager
def running(cache: ClipCache, ear: Ear, rules: FetchRules | None = None) -> Iterator[ClipLibrary]:
    net = Net(lambda host: ["127.0.0.1"])
    fetcher = Fetcher(rules or FetchRules(private=True), downloads_of(cache), net=net)
    library = ClipLibrary(cache, ear.hear, jobs=1, fetcher=fetcher)
    library.start()
    try:
        yield library
    finally:
        library.close()
        assert not downloads_of(cache).exists()


def serve_file(site: Site, path: str, file: Path, etag: str) -> None:
    site.routes[path] = lambda request: request.reply(200, file.read_bytes(), etag=etag)


def asked(site: Site, method: str) -> int:
    return sum(1 for request in site.requests if request[0] == method)


def test_a_url_is_downloaded_once_and_prepared_like_a_file(cache, ear, small, shelf, site):
    serve_file(site, "/a.mkv", shelf.get("a.mkv", clips.numbered_clip, frames=50), '"one"')
    with running(cache, ear) as library:
        for entry in ("first", "second"):
            library.request(entry, PrepareRequest(site.url("/a.mkv"), small), needed_in_s=30.0)
        clip = ear.wait_for_stage(library, "first", Stage.READY).clip
        assert ear.wait_for_stage(library, "second", Stage.READY).clip == clip
        assert clip is not None and (clip.frames, clip.facts["source"]) == (50, "a.mkv")
    assert asked(site, "GET") == 1


def test_a_prepared_url_airs_after_a_restart_though_its_server_is_away(cache, ear, small, shelf, site, tmp_path):
    serve_file(site, "/a.mkv", shelf.get("a.mkv", clips.numbered_clip, frames=50), '"one"')
    request = PrepareRequest(site.url("/a.mkv"), small)
    with running(cache, ear) as library:
        library.request("e", request, needed_in_s=30.0)
        key = ear.wait_for_stage(library, "e", Stage.READY).clip.key
    refused = threading.Event()

    def away(request: Request) -> None:
        request.reply(503)
        if request.command == "GET":
            refused.set()

    site.routes["/a.mkv"] = away
    with running(ClipCache(tmp_path / "cache", 1 << 30), ear) as library:
        library.request("e", request, needed_in_s=30.0)
        assert ear.wait_for_stage(library, "e", Stage.READY).clip.key == key
        assert refused.wait(DEADLINE_S)
        assert library.state("e").clip.key == key


def test_new_content_behind_a_url_becomes_a_new_clip(cache, ear, small, shelf, site, tmp_path):
    serve_file(site, "/a.mkv", shelf.get("a.mkv", clips.numbered_clip, frames=50), '"one"')
    request = PrepareRequest(site.url("/a.mkv"), small)
    with running(cache, ear) as library:
        library.request("e", request, needed_in_s=30.0)
        ear.wait_for_stage(library, "e", Stage.READY)
    serve_file(site, "/a.mkv", shelf.get("b.mkv", clips.numbered_clip, frames=75, base=500), '"two"')
    with running(ClipCache(tmp_path / "cache", 1 << 30), ear) as library:
        library.request("e", request, needed_in_s=30.0)
        ear.wait_for(lambda: (state := library.state("e")).clip is not None and state.stage is Stage.READY and state.clip.frames == 75)


def test_a_url_that_is_not_there_is_skipped_with_its_reason(cache, ear, small, site):
    with running(cache, ear) as library:
        library.request("e", PrepareRequest(site.url("/gone.mkv"), small), needed_in_s=30.0)
        assert ear.wait_for_stage(library, "e", Stage.REFUSED).reason == "the server answered 404 (Not Found)"


def test_a_private_url_is_skipped_with_what_would_admit_it(cache, ear, small, site):
    with running(cache, ear, FetchRules()) as library:
        library.request("e", PrepareRequest(site.url("/a.mkv"), small), needed_in_s=30.0)
        assert "url_allow: {private: true}" in ear.wait_for_stage(library, "e", Stage.REFUSED).reason
    assert site.connections == 0


def test_a_manifest_is_refused_for_good(cache, ear, small, site):
    site.routes["/live.m3u8"] = lambda request: request.reply(200, b"#EXTM3U\nhttp://127.0.0.1/secret\n", etag='"one"')
    with running(cache, ear) as library:
        library.request("e", PrepareRequest(site.url("/live.m3u8"), small), needed_in_s=30.0)
        assert "is a stream, not a file" in ear.wait_for_stage(library, "e", Stage.REFUSED).reason


def test_a_list_of_other_files_in_a_download_is_not_followed(cache, ear, small, site):
    body = f"ffconcat version 1.0\nfile {site.url('/secret.mkv')}\n".encode()
    site.routes["/list.mp4"] = lambda request: request.reply(200, body, etag='"one"')
    with running(cache, ear) as library:
        library.request("e", PrepareRequest(site.url("/list.mp4"), small), needed_in_s=30.0)
        ear.wait_for_stage(library, "e", Stage.REFUSED)
    assert not [path for _, path, _ in site.requests if path == "/secret.mkv"]


def test_a_slow_server_does_not_hold_up_what_is_on_disk(cache, ear, small, shelf, site):
    begun = threading.Event()

    def drip(request: Request) -> None:
        request.head(200, content_length="1000000", etag='"one"')
        if request.command == "GET":
            begun.set()
            site.closing.wait()

    site.routes["/slow.mkv"] = drip
    with running(cache, ear) as library:
        library.request("slow", PrepareRequest(site.url("/slow.mkv"), small), needed_in_s=5.0)
        assert begun.wait(DEADLINE_S)
        library.request("file", PrepareRequest(shelf.get("a.mkv", clips.numbered_clip, frames=50), small), needed_in_s=30.0)
        ear.wait_for_stage(library, "file", Stage.READY)
        assert library.state("slow").reason == "being downloaded"


def test_a_download_that_nobody_wants_any_more_is_stopped(cache, ear, small, shelf, site):
    begun, hung_up = threading.Event(), threading.Event()

    def endless(request: Request) -> None:
        request.head(200, etag='"one"')
        if request.command == "GET":
            begun.set()
            try:
                while not site.closing.wait(0.02):
                    request.wfile.write(b"x" * 100_000)
            except OSError:
                hung_up.set()

    site.routes["/slow.mkv"] = endless
    with running(cache, ear) as library:
        library.request("slow", PrepareRequest(site.url("/slow.mkv"), small), needed_in_s=5.0)
        assert begun.wait(DEADLINE_S)
        library.forget(["slow"])
        assert hung_up.wait(DEADLINE_S)


def test_identities_survive_in_a_file_that_tells_no_url(tmp_path: Path):
    book = UrlBook(tmp_path / "urls.json")
    assert book.learn("https://example.org/a?token=s3cret", "one") and not book.learn("https://example.org/a?token=s3cret", "one")
    book.save()
    assert UrlBook(tmp_path / "urls.json").known("https://example.org/a?token=s3cret") == "one"
    assert "example" not in (tmp_path / "urls.json").read_text() and "s3cret" not in (tmp_path / "urls.json").read_text()


def test_a_damaged_book_only_costs_looking_again(tmp_path: Path):
    (tmp_path / "urls.json").write_text("[1, ")
    assert UrlBook(tmp_path / "urls.json").known("https://example.org/a") is None
