"""The admin server against clients that keep no rule: raw sockets, floods, slow bodies, renewed certificates."""

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from admin_site import TOKEN, MemoryControl, Site, running_site

from channeld.access.accounts import Accounts
from channeld.api import admin_body, admin_connection
from channeld.api.admin_app import build_app
from channeld.api.admin_events import EventStreams
from channeld.api.admin_gate import host_of
from channeld.api.certificate import Certificate
from channeld.api.server import AdminServer, take_address
from channeld.base.errors import ConfigError
from channeld.base.tls import TlsSpec
from channeld.config_values import parse_listen

AUTH = f"Authorization: Bearer {TOKEN}\r\n"
PUT = f'PUT /api/v1/channels/live1/playlist HTTP/1.1\r\nHost: localhost\r\n{AUTH}If-Match: "7"\r\nContent-Type: text/plain\r\n'


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


class Wire:
    """A raw connection to the site."""

    def __init__(self, site: Site) -> None:
        self.socket = socket.create_connection(("127.0.0.1", site.server.port), timeout=20)

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.encode("latin-1") if isinstance(text, str) else text)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what comes until the end of the connection."""
        received = bytearray()
        while piece := self.socket.recv(65536):
            received += piece
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]) if first else 0, headers, body


@pytest.fixture
def wire(site: Site) -> Iterator[Callable[[], Wire]]:
    with contextlib.ExitStack() as stack:

        def connect() -> Wire:
            made = Wire(site)
            stack.callback(made.socket.close)
            return made

        yield connect


def still_serves(site: Site) -> bool:
    return site.ask("GET", "/api/v1/channels").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:9", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:80", 200),
        ("[0:0:0:0:0:0:0:1]", 200),
        ("tv.example.org", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 400),
        ("evil.example/localhost", 400),
        ("", 400),
        ("[::1", 400),
    ],
)
def test_only_allowed_hosts_are_served_on_loopback_too(wire: Callable[[], Wire], host: str, status: int) -> None:
    connection = wire()
    connection.send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    assert connection.answer()[0] == status


def test_a_request_without_host_or_with_two_is_refused(wire: Callable[[], Wire]) -> None:
    for head in (
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    ):
        connection = wire()
        connection.send(head)
        status, headers, body = connection.answer()
        assert (status, headers["content-type"]) == (400, "application/problem+json")
        assert json.loads(body)["status"] == 400


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded\r\n: x\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_problem_document_and_the_end(site: Site, wire: Callable[[], Wire], junk: bytes) -> None:
    connection = wire()
    connection.send(junk + b"\r\n\r\n")
    status, headers, body = connection.answer()
    assert (status, headers["content-type"], headers["x-frame-options"]) == (400, "application/problem+json", "DENY")
    assert json.loads(body)["title"] == "Bad Request"
    assert still_serves(site)


def test_a_flood_of_headers_is_cut_off(site: Site, wire: Callable[[], Wire]) -> None:
    whole, endless = wire(), wire()
    whole.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"X-{number}: y\r\n" for number in range(2000)) + "\r\n")
    assert whole.answer()[0] in (400, 431)
    with contextlib.suppress(ConnectionError):
        endless.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        for _ in range(1000):
            endless.send("X: " + "y" * 1000 + "\r\n")
        assert endless.answer()[0] == 400
    assert still_serves(site)


def test_a_long_request_line_is_refused(site: Site, wire: Callable[[], Wire]) -> None:
    connection = wire()
    connection.send(f"GET /{'x' * 15_900}?{'y' * 1000} HTTP/1.1\r\nHost: localhost\r\nX: {'z' * 300}\r\nConnection: close\r\n\r\n")
    assert connection.answer()[0] in (400, 431)
    assert still_serves(site)


def test_a_chunked_body_is_refused_at_its_bound(site: Site, wire: Callable[[], Wire]) -> None:
    connection = wire()
    connection.send(PUT.replace("text/plain", "application/json") + "Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    for _ in range(24):
        connection.send(chunk)
    connection.send("0\r\n\r\n")
    status, headers, body = connection.answer()
    assert (status, headers["connection"], json.loads(body)["status"]) == (413, "close", 413)
    assert still_serves(site)


def test_a_body_that_nobody_wants_ends_the_connection(site: Site, wire: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one byte of it is kept, and whoever goes on sending is not listened to for ever."""
    monkeypatch.setattr(admin_body, "LINGER_S", 0.1)
    connection = wire()
    connection.send(f"POST /api/v1/channels/live1/skip HTTP/1.1\r\nHost: localhost\r\n{AUTH}Content-Length: 1000000000\r\n\r\nxxxx")
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (202, "close")


def test_a_declared_length_is_believed_before_anything_is_sent(wire: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_body, "LINGER_S", 0.1)
    for length in ("33554433", "9" * 19):
        connection = wire()
        connection.send(PUT + f"Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
        assert connection.answer()[0] == 413


def test_a_body_that_does_not_come_is_given_up(wire: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_body, "BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(admin_body, "LINGER_S", 0.1)
    connection = wire()
    connection.send(PUT + "Content-Length: 100\r\n\r\na.mp4")
    status, headers, body = connection.answer()
    assert (status, headers["connection"], json.loads(body)["status"]) == (408, "close", 408)


def test_a_head_that_does_not_come_is_given_up(site: Site, wire: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start of a connection and, after an answer, at the start of the next request."""
    monkeypatch.setattr(admin_connection, "HEAD_TIMEOUT_S", 0.2)
    fresh, used = wire(), wire()
    used.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert used.socket.recv(12) == b"HTTP/1.1 200"
    for connection in (fresh, used):
        connection.send("GET /healthz HTTP/1.1\r\nX: ")
    with contextlib.suppress(ConnectionResetError):
        assert fresh.answer()[0] == 0
    with contextlib.suppress(ConnectionResetError):
        while used.socket.recv(65536):
            pass
    assert still_serves(site)


def test_connections_beyond_the_limit_get_503_and_then_nothing(
    site: Site, wire: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_connection, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(admin_connection, "MAX_SOCKETS", 3)
    monkeypatch.setattr(EventStreams, "most", 0)
    site.client.close()
    first, second = wire(), wire()
    for connection in (first, second):
        connection.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.socket.recv(12) == b"HTTP/1.1 200"
    third, fourth = wire(), wire()
    with contextlib.suppress(ConnectionResetError):
        assert fourth.answer()[0] == 0
    third.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert third.answer()[0] == 503


def test_a_connection_lost_within_the_body_leaves_nothing(site: Site, wire: Callable[[], Wire]) -> None:
    connection = wire()
    connection.send(PUT + "Content-Length: 100\r\n\r\na.mp4")
    connection.socket.close()
    assert still_serves(site)
    assert site.control.texts["live1"] == "a.mp4\nb.mp4\n"


def test_a_taken_address_is_told_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = AdminServer(None, f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(
            ConfigError, match=r"admin\.listen: cannot listen on 127\.0\.0\.1:\d+: Address already in use\. Stop what listens"
        ):
            server.start()
        server.close()


@pytest.mark.parametrize("listen", ["8080", "localhost", "127.0.0.1:99999", "[::1:80", ""])
def test_a_bad_address_is_told_clearly(listen: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        AdminServer(None, listen)


def test_an_address_of_nobody_is_told_clearly() -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        AdminServer(None, "no-such-host.invalid:8080").start()


def test_close_ends_open_streams_and_frees_the_port_and_may_come_twice(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path, TOKEN)
    app = build_app(MemoryControl(), accounts=accounts, allowed_hosts=[], media_base_url="http://127.0.0.1:8090")
    server = AdminServer(app, "127.0.0.1:0")
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as reader:
        reader.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{AUTH}\r\n".encode())
        assert reader.recv(12) == b"HTTP/1.1 200"
        server.close()
        server.close()
    assert not server.alive
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    """asyncio sets TCP_NODELAY on the connections of such a listener only."""
    with take_address(parse_listen("127.0.0.1:0")) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_server_never_started_closes() -> None:
    before = set(threading.enumerate())
    AdminServer(None, "127.0.0.1:0").close()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("header", "host"),
    [("a.B.:80", "a.b"), ("[::1]", "::1"), ("[::ffff:10.0.0.1]:8", "10.0.0.1"), ("a b", None), ("a:b", None), ("é", None)],
)
def test_a_host_header_is_read_strictly(header: str, host: str | None) -> None:
    assert host_of(header) == host


def make_certificate(folder: Path, name: str) -> None:
    """A key and a certificate for 127.0.0.1 in `folder`, as tls.crt and tls.key."""
    folder.mkdir(exist_ok=True)
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *files, *subject]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def served_name(port: int) -> str:
    """The name in the certificate that a new handshake gets."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=20)
    shown = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem.encode(), check=True, capture_output=True, timeout=60)
    return shown.stdout.decode().strip().rpartition("=")[2].strip()


def test_https_follows_a_renewed_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channeld.api.server.TLS_POLL_TICKS", 1)
    now, new = tmp_path / "now", tmp_path / "new"
    make_certificate(now, "first")
    make_certificate(new, "second")
    files = TlsSpec(now / "tls.crt", now / "tls.key")
    with running_site(tls=files, verify=now / "tls.crt") as site:
        assert still_serves(site)
        for name in ("tls.crt", "tls.key"):
            (new / name).replace(now / name)
        deadline = time.monotonic() + 20
        while served_name(site.server.port) != "second":
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_certificate_that_does_not_fit_its_key_never_replaces_a_good_one(tmp_path: Path) -> None:
    now, new = tmp_path / "now", tmp_path / "new"
    make_certificate(now, "first")
    make_certificate(new, "second")
    told: list[str | None] = []
    certificate = Certificate(TlsSpec(now / "tls.crt", now / "tls.key"), "admin.tls", told.append)
    assert not certificate.follow_files()
    (new / "tls.crt").replace(now / "tls.crt")
    assert not certificate.follow_files()
    assert told == [], "a renewal may be under way"
    assert not certificate.follow_files()
    assert "cannot be used" in str(told.pop())
    (now / "tls.key").rename(now / "aside")
    assert not certificate.follow_files()
    assert told == []
    assert not certificate.follow_files()
    assert "a file is not there" in str(told.pop())
    (new / "tls.key").replace(now / "tls.key")
    assert certificate.follow_files()
    assert told == [None]


def test_files_named_anew_are_followed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_certificate(tmp_path / name, name)
    first, second = (TlsSpec(tmp_path / name / "tls.crt", tmp_path / name / "tls.key") for name in ("first", "second"))
    told: list[str | None] = []
    certificate = Certificate(first, "media.tls", told.append)
    certificate.change(first)
    assert told == []
    certificate.change(second)
    assert told == [None]
    certificate.change(TlsSpec(tmp_path / "gone", tmp_path / "gone"))
    for _ in range(2):
        assert not certificate.follow_files()
    assert "a file is not there" in str(told[-1])


def test_an_unusable_certificate_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"admin\.tls"):
        Certificate(TlsSpec(tmp_path / "tls.crt", tmp_path / "tls.key"), "admin.tls")


def test_requests_that_follow_each_other_in_one_packet_are_each_answered(wire: Callable[[], Wire]) -> None:
    connection = wire()
    get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    connection.send(f"{get}\r\n{get}\r\n{get}Connection: close\r\n\r\n")
    assert connection.answer()[2].count(b"HTTP/1.1 200") == 2
