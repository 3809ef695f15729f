"""Uploads, sent by a client of another make (tuspy) and by hand, over a real listener to a real disk."""

import asyncio
import base64
import io
import socket
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from admin_site import BEARER, Site, running_site
from clips import ClipShelf, numbered_clip
from starlette.requests import Request
from station import until

from channeld.access.roles import Role
from channeld.api.admin_calls import Calls
from channeld.api.admin_uploads import PIECE_BYTES, _Giving, _take
from channeld.api.problems import Problem
from channeld.api.upload_desk import Turn, Uploads

tusclient = pytest.importorskip("tusclient.client", reason="missing here: tuspy")

ROUTE = "/api/v1/channels/live1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A film of some 100 kB."""
    shelf = ClipShelf(tmp_path_factory.mktemp("clips"))
    return shelf.get("film.mp4", numbered_clip, frames=50, base=0, size=(320, 180)).read_bytes()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    with running_site(home=home) as running:
        yield running


@pytest.fixture(scope="module")
def strict_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strict")


@pytest.fixture(scope="module")
def strict(strict_home: Path) -> Iterator[Site]:
    """For those who only refuse: one site for all of them."""
    with running_site(home=strict_home) as running:
        yield running


def begin(site: Site, name: str, length: int | str, **headers: str) -> httpx.Response:
    told = {"Upload-Metadata": f"filename {base64.b64encode(name.encode('utf-8', 'surrogatepass')).decode()}"}
    return site.ask("POST", ROUTE, headers={**TUS, "Upload-Length": str(length), **told, **headers})


def send(site: Site, where: str, offset: int | str, body: Any, **headers: str) -> httpx.Response:
    return site.ask("PATCH", where, headers={**OCTETS, "Upload-Offset": str(offset), **headers}, content=body)


def offset_of(site: Site, where: str) -> int:
    return int(site.ask("HEAD", where, headers=TUS).headers["upload-offset"])


def lying(home: Path) -> list[str]:
    """Everything in the media folder, hidden files too."""
    return sorted(path.name for path in (home / "media").iterdir())


def test_a_client_of_another_make_sends_a_film_in_pieces(site: Site, home: Path, film: bytes) -> None:
    client = tusclient.TusClient(f"{site.client.base_url}{ROUTE}", headers=BEARER)
    uploader = client.uploader(file_stream=io.BytesIO(film), chunk_size=10_000, metadata={"filename": "Ein Film – 1.mp4"})
    uploader.upload()
    assert (home / "media" / "Ein Film – 1.mp4").read_bytes() == film
    told = site.ask("HEAD", uploader.url.removeprefix(str(site.client.base_url)), headers=TUS)
    assert urllib.parse.unquote(told.headers["channeld-path"]) == "Ein Film – 1.mp4"
    assert lying(home) == ["Ein Film – 1.mp4"]


def test_a_client_of_another_make_goes_on_after_another_daemon_took_over(home: Path, film: bytes) -> None:
    with running_site(home=home) as first:
        client = tusclient.TusClient(f"{first.client.base_url}{ROUTE}", headers=BEARER)
        uploader = client.uploader(file_stream=io.BytesIO(film), chunk_size=20_000, metadata={"filename": "film.mp4"})
        uploader.upload_chunk()
        where = uploader.url.removeprefix(str(first.client.base_url))
    with running_site(home=home) as second:
        client = tusclient.TusClient(f"{second.client.base_url}{ROUTE}", headers=BEARER)
        again = client.uploader(file_stream=io.BytesIO(film), chunk_size=20_000, url=f"{second.client.base_url}{where}")
        assert again.offset == 20_000
        again.upload()
    assert (home / "media" / "film.mp4").read_bytes() == film


def test_what_came_before_a_connection_broke_counts(site: Site, home: Path, film: bytes) -> None:
    where = begin(site, "film.mp4", len(film)).headers["location"]
    head = "".join(f"{name}: {value}\r\n" for name, value in {**BEARER, **OCTETS, "Upload-Offset": "0"}.items())
    with socket.create_connection(("127.0.0.1", site.server.port)) as wire:
        wire.sendall(f"PATCH {where} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Length: {len(film)}\r\n\r\n".encode() + film[:30_000])
        until(lambda: offset_of(site, where) >= 0 and send(site, where, 0, b"x").status_code == 423, "somebody else to be refused")
    until(lambda: offset_of(site, where) == 30_000, "the bytes that came")
    # The bytes are there a moment before the turn is given back.
    until(lambda: send(site, where, 30_000, film[30_000:]).status_code == 204, "its turn")
    assert (home / "media" / "film.mp4").read_bytes() == film


def test_nothing_is_overwritten_and_the_name_is_told(site: Site, home: Path, film: bytes) -> None:
    (home / "media" / "film.mp4").write_bytes(b"mine")
    names = []
    for _ in range(2):
        where = begin(site, "film.mp4", len(film)).headers["location"]
        names.append(send(site, where, 0, film).headers["channeld-path"])
    assert names == ["film-2.mp4", "film-3.mp4"] and (home / "media" / "film.mp4").read_bytes() == b"mine"


def test_what_does_not_air_is_refused_with_the_reason_and_leaves_nothing(site: Site, home: Path) -> None:
    where = begin(site, "film.mp4", 700).headers["location"]
    answer = send(site, where, 0, b"no film" * 100)
    assert answer.status_code == 422 and "film.mp4: not readable as media" in answer.json()["detail"]
    assert site.ask("HEAD", where, headers=TUS).status_code == 404 and lying(home) == []
    assert list((home / "uploads").iterdir()) == []


def test_an_upload_is_ended_by_its_sender_and_forgotten_when_nobody_goes_on(site: Site, home: Path, film: bytes) -> None:
    where = begin(site, "film.mp4", len(film)).headers["location"]
    assert send(site, where, 0, film[:1000]).headers["upload-expires"].endswith("GMT")
    assert [(each["name"], each["offset"]) for each in site.ask("GET", ROUTE).json()] == [("film.mp4", 1000)]
    assert site.ask("DELETE", where, headers=TUS).status_code == 204
    assert site.ask("GET", ROUTE).json() == [] and lying(home) == []
    assert site.ask("DELETE", where, headers=TUS).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        *("../film.mp4", "/etc/film.mp4", "a\\b.mp4", ".film.mp4", "..", " film.mp4", "two\nlines.mp4", "nul\0.mp4", "\x1b[2J.mp4"),
        *("list.m3u", "list.YAML", "x" * 197 + ".mp4", "\u202egnp.mp4", "ü" * 100 + ".mp4"),
    ],
)
def test_a_name_that_no_playlist_could_hold_is_refused(strict: Site, strict_home: Path, name: str) -> None:
    before = lying(strict_home)
    assert begin(strict, name, 10).status_code == 422
    assert lying(strict_home) == before


def test_what_is_no_tus_is_refused(strict: Site) -> None:
    named = {"Upload-Metadata": "filename Zi5tcDQ="}
    for status, headers in (
        (412, {"Upload-Length": "10", **named}),
        (412, {"Tus-Resumable": "0.2.2", "Upload-Length": "10", **named}),
        (400, {**TUS, "Upload-Defer-Length": "1", **named}),
        (400, {**TUS, **named}),
        *((400, {**TUS, "Upload-Length": wrong, **named}) for wrong in ("-1", "1e3", "x", "9" * 17)),
        (413, {**TUS, "Upload-Length": str(21_000_000), **named}),
        (422, {**TUS, "Upload-Length": "10"}),
        (400, {**TUS, "Upload-Length": "10", "Upload-Metadata": "filename not-base64!"}),
        (400, {**TUS, "Upload-Length": "10", "Upload-Metadata": "filename /w=="}),
        (400, {**TUS, "Upload-Length": "10", "Upload-Metadata": "a " + "QUFB" * 2000}),
    ):
        assert strict.ask("POST", ROUTE, headers=headers).status_code == status, headers
    where = begin(strict, "film.mp4", 10).headers["location"]
    assert send(strict, where, 0, b"x", **{"Content-Type": "video/mp4"}).status_code == 415
    assert send(strict, where, 5, b"x").status_code == 409
    assert send(strict, where, "many", b"x").status_code == 400
    assert send(strict, where, 0, b"x" * 11).status_code == 413
    assert send(strict, where, 0, iter([b"x" * 6, b"x" * 5])).status_code == 413  # without a Content-Length
    assert strict.ask("PATCH", where, headers={**OCTETS, "Upload-Offset": "0", "Tus-Resumable": "2.0.0"}, content=b"x").status_code == 412
    assert strict.ask("HEAD", where.replace("live1", "live2"), headers=TUS).status_code == 404
    assert strict.ask("HEAD", f"{ROUTE}/{'0' * 32}", headers=TUS).status_code == 404
    assert strict.ask("GET", "/api/v1/channels/live9/uploads").status_code == 404


def test_what_uploads_may_be_is_told(strict: Site) -> None:
    told = strict.ask("OPTIONS", ROUTE)
    assert (told.status_code, told.headers["tus-version"], told.headers["tus-max-size"]) == (204, "1.0.0", "20971520")
    assert told.headers["tus-extension"] == "creation,termination,expiration"


def test_a_viewer_sends_nothing(strict: Site) -> None:
    token, _ = strict.accounts.add("guest", Role.VIEWER, None, by="test")
    headers = {"Authorization": f"Bearer {token}", **TUS, "Upload-Length": "5"}
    assert strict.ask("POST", ROUTE, headers=headers).status_code == 403


def test_two_writers_of_one_upload_leave_it_whole(site: Site, home: Path, film: bytes) -> None:
    where = begin(site, "film.mp4", len(film)).headers["location"]
    statuses: list[int] = []

    def write() -> None:
        with httpx.Client(base_url=str(site.client.base_url), headers=BEARER, trust_env=False, timeout=30) as client:
            while True:
                at = int(client.head(where, headers=TUS).headers.get("upload-offset", len(film)))
                if at >= len(film):
                    return
                answer = client.patch(where, headers={**OCTETS, "Upload-Offset": str(at)}, content=film[at : at + 5_000])
                statuses.append(answer.status_code)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    assert (home / "media" / "film.mp4").read_bytes() == film and set(statuses) <= {204, 409, 423}
    assert lying(home) == ["film.mp4"]


def test_a_draft_that_somebody_else_put_a_link_at_is_not_followed(site: Site, home: Path, film: bytes) -> None:
    where = begin(site, "film.mp4", len(film)).headers["location"]
    (draft,) = (home / "media").iterdir()
    target = home / "precious"
    target.write_bytes(b"")
    draft.unlink()
    draft.symlink_to(target)
    assert send(site, where, 0, film).status_code >= 400
    assert target.read_bytes() == b"" and draft.is_symlink()


class SlowTurn:
    """A turn whose first piece takes longer than the caller waits."""

    left_bytes = 1 << 30

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.goes_on, self.closed = threading.Event(), threading.Event()

    def write(self, piece: bytes) -> None:
        self.written.append(piece)
        assert len(self.written) > 1 or self.goes_on.wait(20)

    def close(self) -> None:
        self.closed.set()


def patched_in(turn: SlowTurn, pieces: Sequence[bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    """The status that a PATCH of these bytes is answered with."""
    monkeypatch.setattr("channeld.api.admin_calls.CALL_TIMEOUT_S", 0.2)
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.request", "body": b"", "more_body": False}

    async def patch() -> int:
        calls = Calls()
        try:
            await _take(Request({"type": "http", "method": "PATCH", "headers": []}, receive), cast(Turn, turn), calls)
        except Problem as problem:
            return problem.status
        finally:
            turn.goes_on.set()
            await asyncio.to_thread(turn.closed.wait, 20)
            calls.close()
        return 204

    return asyncio.run(patch())


def test_a_disk_that_takes_too_long_gets_no_piece_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = SlowTurn()
    assert patched_in(turn, [b"a" * PIECE_BYTES, b"b" * 100], monkeypatch) == 503
    assert turn.written == [b"a" * PIECE_BYTES]


def test_a_turn_that_comes_when_nobody_waits_any_more_is_given_back() -> None:
    class Desk:
        def open(self, channel: str, upload: str, offset: int) -> SlowTurn:
            return turns[channel]

    turns = {"late": SlowTurn(), "left": SlowTurn()}
    giving = _Giving(cast(Uploads, Desk()))
    giving.give_up()
    giving.open("late", "x", 0)
    assert turns["late"].closed.is_set()
    giving = _Giving(cast(Uploads, Desk()))
    giving.open("left", "x", 0)
    assert not turns["left"].closed.is_set()
    giving.give_up()
    assert turns["left"].closed.is_set()
