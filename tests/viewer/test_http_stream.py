"""The way over HTTP: whole packets whatever the network makes of them, and refusals in plain words."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
from small_air import chunk_of, until
from viewing import Viewing, program

from channeld.viewer.http_stream import HttpStream, MediaAddress
from channeld.viewer.way import WayLost, Why

TOKEN = "chd_secret"


class Answers(BaseHTTPRequestHandler):
    """Channel `one` in odd pieces, `token` for those who have one, `full` for nobody, `once` a single time."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        is_known = self.headers["Authorization"] == f"Bearer {TOKEN}"
        status = {
            "/ts/one": 200,
            "/ts/token": 200 if is_known else 401,
            "/ts/full": 503,
            "/ts/once": 200 if self.asked.count("/ts/once") == 1 else 404,
        }.get(self.path, 404)
        self.send_response(status)
        self.send_header("Connection", "close")
        self.end_headers()
        if status == 200:
            whole = b"".join(chunk_of(number) for number in range(100))
            for at in range(0, len(whole), 1000):
                self.wfile.write(whole[at : at + 1000])
        elif status == 503:
            self.wfile.write(b'{"detail": "As many as there may be are here."}')

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Answers.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("channel", ["one", "token"])
def test_every_packet_comes_and_the_end_is_told(url: str, channel: str) -> None:
    way = HttpStream(channel, MediaAddress(url, token=TOKEN), 20)
    got: list[bytes] = []

    def has_ended() -> bool:
        try:
            piece = way.receive(0.2)
        except WayLost as lost:
            assert "ended" in str(lost)
            return True
        if piece is not None:
            assert len(piece) % 188 == 0
            got.append(piece)
        return False

    until(has_ended, "the end")
    assert b"".join(got) == b"".join(chunk_of(number) for number in range(100))
    way.close()


@pytest.mark.parametrize(
    ("channel", "why", "words"),
    [
        ("none", Why.UNKNOWN, r"answered 404: no such stream.*- ts"),
        ("token", Why.FORBIDDEN, "a token is needed"),
        ("full", Why.FAILED, "answered 503: As many as there may be are here"),
    ],
)
def test_a_refusal_says_what_to_do(url: str, channel: str, why: Why, words: str) -> None:
    with pytest.raises(WayLost, match=words) as lost:
        HttpStream(channel, MediaAddress(url), 20)
    assert lost.value.why is why


def test_nobody_there_and_no_address_are_told(url: str) -> None:
    with pytest.raises(WayLost, match="refused") as lost:
        HttpStream("one", MediaAddress("http://127.0.0.1:9"), 20)
    assert lost.value.why is Why.ABSENT
    with pytest.raises(WayLost, match="is not an address"):
        HttpStream("one", MediaAddress("nowhere"), 20)


def test_a_stream_that_ended_while_the_player_stood_still_is_asked_for_again(url: str, tmp_path: Path) -> None:
    """The daemon drops a client that takes nothing for long; where that was the player's doing, it is no end of the stream."""
    got = tmp_path / "got"
    player = program(tmp_path / "still", f'kill -STOP $$; exec cat >"{got}"')
    with Viewing(tmp_path, player, "--via", "http", "--url", url, "--verbose", channel="once") as viewing:
        running = viewing.player()
        until(lambda: running.status() == psutil.STATUS_STOPPED, "it stands still")
        until(lambda: re.search(r"waited_s=[3-9]", viewing.told), "it stood still for some seconds")
        running.resume()
        assert viewing.ends() == 0
        assert "ended, while the player stood still; attaching again" in viewing.told
        assert "answered 404" in viewing.told
    assert got.read_bytes() == b"".join(chunk_of(number) for number in range(100))
