"""URLs are fetched within bounds and from judged addresses only, against a real HTTP server."""

import ipaddress
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from url_site import Request, Site, serving

from channeld.base.address import Address, is_public
from channeld.base.errors import PrepareError
from channeld.media.fetch import Fetcher, FetchStopped, Limits, file_name
from channeld.media.pinned import FetchError, FetchRules, Net

NAMES = {
    "clips.test": ["127.0.0.1"],
    "again.test": ["127.0.0.1"],
    "inside.test": ["127.0.0.2"],
    "mixed.test": ["127.0.0.1", "10.0.0.1"],
}
PROMPT = Limits(max_bytes=1 << 20, reserve_bytes=0, answer_s=10.0, stall_s=0.5, stall_bytes=1000, total_s=60.0)


def names(host: str) -> list[str]:
    return NAMES.get(host) or [str(ipaddress.ip_address(host))]


def only_first_loopback(address: Address) -> bool:
    """The world as it would be if 127.0.0.1 were a public address."""
    return str(address) == "127.0.0.1" or is_public(address)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as running:
        yield running


@pytest.fixture
def inside(site: Site) -> Iterator[Site]:
    """A second server, at an address that is not allowed."""
    with serving("127.0.0.2", port=site.port) as running:
        running.routes["/secret"] = lambda request: request.reply(200, b"secret")
        yield running


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(FetchRules(), tmp_path / "downloads", net=Net(names, only_first_loopback), limits=PROMPT)


def never() -> bool:
    return False


def why(fetcher: Fetcher, url: str) -> str:
    """The sentence with which both looking and fetching refuse a URL; nothing is left on disk."""
    with pytest.raises(FetchError) as looked:
        fetcher.look(url, never)
    with pytest.raises(FetchError) as fetched:
        fetcher.fetch(url, never)
    assert str(looked.value) == str(fetched.value)
    assert leftovers(fetcher) == []
    return str(fetched.value)


def leftovers(fetcher: Fetcher) -> list[Path]:
    return list(fetcher._folder.rglob("*"))


def test_a_file_is_fetched_whole_under_its_own_name(site, fetcher):
    site.routes["/films/Night%20Drive.mp4"] = lambda request: request.reply(200, b"x" * 300_000, etag='"one"')
    url = site.url("/films/Night%20Drive.mp4?token=s3cret")
    path = fetcher.fetch(url, never)
    assert path.name == "Night Drive.mp4" and path.read_bytes() == b"x" * 300_000
    assert site.requests[-1][2] == f"clips.test:{site.port}"
    fetcher.remove(path)
    assert leftovers(fetcher) == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/../../etc/passwd", "passwd"),
        ("http://h/%2e%2e%2f%2e%2e%2fx.mp4", "_.._x.mp4"),
        ("http://h/.hidden", "hidden"),
        ("http://h", "download"),
        ("http://h/", "download"),
        ("http://h/a%00%25d.png", "a__d.png"),
        ("http://h/" + "a" * 300 + ".mp4", "a" * 76 + ".mp4"),
    ],
)
def test_a_file_name_is_harmless(url, name):
    assert file_name(url) == name


def test_the_identity_changes_with_the_content(site, fetcher):
    site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc", etag='"one"')
    first = fetcher.look(site.url("/a.mp4"), never)
    assert fetcher.look(site.url("/a.mp4"), never) == first
    site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc", etag='"two"')
    assert fetcher.look(site.url("/a.mp4"), never) != first
    assert {method for method, _, _ in site.requests} == {"HEAD"}


def test_a_server_that_knows_no_head_is_asked_with_get(site, fetcher):
    def route(request: Request) -> None:
        request.reply(405 if request.command == "HEAD" else 200, b"abc", last_modified="Sat, 21 Nov 2026 10:00:00 GMT")

    site.routes["/a.mp4"] = route
    assert fetcher.look(site.url("/a.mp4"), never) == "|Sat, 21 Nov 2026 10:00:00 GMT|3"


def test_a_file_without_a_declared_length_is_fetched(site, fetcher):
    def route(request: Request) -> None:
        request.head(200)
        request.wfile.write(b"abc" * 1000)

    site.routes["/a.mp4"] = route
    assert fetcher.fetch(site.url("/a.mp4"), never).read_bytes() == b"abc" * 1000


def test_redirects_are_followed(site, fetcher):
    site.routes["/a.mp4"] = lambda request: request.reply(302, location="/b.mp4")
    site.routes["/b.mp4"] = lambda request: request.reply(308, location=site.url("/c.mp4", host="again.test"))
    site.routes["/c.mp4"] = lambda request: request.reply(200, b"abc")
    assert fetcher.fetch(site.url("/a.mp4"), never).read_bytes() == b"abc"


def test_a_redirect_to_a_private_address_is_refused_without_a_connection(site, inside, fetcher):
    for number, host in enumerate(("inside.test", "127.0.0.2", "[::ffff:127.0.0.2]")):
        site.routes[f"/{number}"] = lambda request, host=host: request.reply(302, location=inside.url("/secret", host=host))
        reason = why(fetcher, site.url(f"/{number}"))
        assert "private address" in reason and "url_allow: {private: true}" in reason
    assert inside.connections == 0 and site.connections > 0


def test_a_private_host_is_refused_without_a_connection(site, inside, tmp_path):
    strict = Fetcher(FetchRules(), tmp_path / "downloads", net=Net(names), limits=PROMPT)
    assert "clips.test leads to the private address 127.0.0.1" in why(strict, site.url("/a.mp4"))
    assert "private address" in why(strict, inside.url("/secret", host="inside.test"))
    assert (site.connections, inside.connections) == (0, 0)


def test_a_host_with_one_private_address_among_public_ones_is_refused(site, fetcher):
    assert "10.0.0.1" in why(fetcher, site.url("/a.mp4", host="mixed.test"))
    assert site.connections == 0


def test_a_name_that_changes_its_address_gains_nothing(site, inside, tmp_path):
    """DNS rebinding: what was judged is what is connected to; each hop asks once."""
    answers = iter(["127.0.0.1"])
    net = Net(lambda host: [next(answers, "127.0.0.2")], only_first_loopback)
    site.routes["/secret"] = lambda request: request.reply(200, b"public")
    fetcher = Fetcher(FetchRules(), tmp_path / "downloads", net=net, limits=PROMPT)
    assert fetcher.fetch(site.url("/secret"), never).read_bytes() == b"public"
    with pytest.raises(FetchError, match="private address"):
        fetcher.fetch(site.url("/secret"), never)
    assert inside.connections == 0


def test_private_hosts_are_fetched_from_when_allowed(inside, tmp_path):
    fetcher = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=Net(names), limits=PROMPT)
    assert fetcher.fetch(inside.url("/secret", host="inside.test"), never).read_bytes() == b"secret"


def test_an_address_that_does_not_answer_gives_way_to_the_next(site, tmp_path):
    net = Net(lambda host: ["127.0.0.3", "127.0.0.1"])
    site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc")
    fetcher = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=net, limits=PROMPT)
    assert fetcher.fetch(site.url("/a.mp4"), never).read_bytes() == b"abc"


def test_proxies_of_the_environment_are_ignored(site, fetcher, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.2:9")
    site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc")
    assert fetcher.fetch(site.url("/a.mp4"), never).read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/loop", "more than 5 redirects"),
        ("file:///etc/passwd", "scheme file is refused"),
        ("ftp://clips.test/a", "scheme ftp is refused"),
        ("http://[::1/a", "Invalid URL in location header"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_told(site, fetcher, location, words):
    site.routes["/loop"] = lambda request: request.reply(301, location=location)
    assert words in why(fetcher, site.url("/loop"))


def test_a_scheme_that_is_not_allowed_is_refused(site, tmp_path):
    fetcher = Fetcher(FetchRules(schemes=("https",), private=True), tmp_path / "downloads", net=Net(names), limits=PROMPT)
    assert why(fetcher, site.url("/a.mp4")) == "scheme http is refused"
    assert site.connections == 0


@pytest.mark.parametrize(
    ("status", "words"), [(404, "404 (Not Found)"), (503, "503 (Service Unavailable)"), (206, "206 (Partial Content)")]
)
def test_what_the_server_answers_is_told(site, fetcher, status, words):
    site.routes["/a.mp4"] = lambda request: request.reply(status)
    assert why(fetcher, site.url("/a.mp4")) == f"the server answered {words}"


def test_a_name_without_an_address_and_a_closed_port_are_told(site, tmp_path):
    def resolve(host: str) -> list[str]:
        if host == "nowhere.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["127.0.0.3"]

    fetcher = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=Net(resolve), limits=PROMPT)
    assert why(fetcher, "http://nowhere.test/a.mp4") == "nowhere.test has no address"
    assert why(fetcher, site.url("/a.mp4")) == "no connection to clips.test"


def test_an_endless_body_is_cut_off_and_removed(site, fetcher):
    def route(request: Request) -> None:
        request.head(200)
        while not site.closing.is_set():
            request.wfile.write(b"x" * 65536)

    site.routes["/a.mp4"] = route
    with pytest.raises(PrepareError, match="too large: a URL may have 1 MiB at most"):
        fetcher.fetch(site.url("/a.mp4"), never)
    assert leftovers(fetcher) == []


def test_a_body_that_is_declared_too_large_is_not_begun(site, fetcher):
    site.routes["/a.mp4"] = lambda request: request.head(200, content_length=str(1 << 40))
    with pytest.raises(PrepareError, match="too large"):
        fetcher.fetch(site.url("/a.mp4"), never)


def test_the_disk_is_not_filled(site, tmp_path):
    full = Limits(reserve_bytes=1 << 60)
    fetcher = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=Net(names), limits=full)
    site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc")
    with pytest.raises(FetchError, match="no room on the cache's disk"):
        fetcher.fetch(site.url("/a.mp4"), never)


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_body_that_stalls_or_drips_is_given_up(site, fetcher, drip):
    def route(request: Request) -> None:
        request.head(200, content_length="100000")
        while not site.closing.wait(0.02):
            request.wfile.write(drip)

    site.routes["/a.mp4"] = route
    with pytest.raises(FetchError, match=r"stalled|did not answer in time"):
        fetcher.fetch(site.url("/a.mp4"), never)
    assert leftovers(fetcher) == []


def test_a_body_that_ends_early_is_not_taken_for_whole(site, fetcher):
    def route(request: Request) -> None:
        request.head(200, content_length="1000")
        request.wfile.write(b"abc")

    site.routes["/a.mp4"] = route
    with pytest.raises(FetchError, match=r"clips\.test broke off"):
        fetcher.fetch(site.url("/a.mp4"), never)


def test_a_head_that_never_ends_is_given_up(site, tmp_path):
    site.routes["/a.mp4"] = lambda request: bool(site.closing.wait()) and None
    hasty = Limits(answer_s=0.3)
    fetcher = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=Net(names), limits=hasty)
    assert why(fetcher, site.url("/a.mp4")) == "clips.test did not answer in time"


def test_a_whole_download_has_a_deadline(site, tmp_path):
    def route(request: Request) -> None:
        request.head(200)
        while not site.closing.wait(0.01):
            request.wfile.write(b"x" * 1000)

    site.routes["/a.mp4"] = route
    fetcher = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=Net(names), limits=Limits(total_s=0.5, reserve_bytes=0))
    with pytest.raises(FetchError, match=r"not downloaded within 0\.5 s"):
        fetcher.fetch(site.url("/a.mp4"), never)


def test_a_fetch_stops_when_asked_to(site, fetcher):
    begun = threading.Event()

    def route(request: Request) -> None:
        request.head(200)
        begun.set()
        while not site.closing.wait(0.01):
            request.wfile.write(b"x" * 100)

    site.routes["/a.mp4"] = route
    with pytest.raises(FetchStopped):
        fetcher.fetch(site.url("/a.mp4"), begun.is_set)
    assert leftovers(fetcher) == []


@pytest.mark.parametrize("begin", [b"#EXTM3U\n#EXT-X-VERSION:3\n", b"\xef\xbb\xbf#EXTM3U\n", b"\r\n#EXTM3U\n"])
def test_a_manifest_is_a_stream_and_no_file(site, fetcher, begin):
    site.routes["/live.mp4"] = lambda request: request.reply(200, begin + b"http://127.0.0.2/secret\n")
    with pytest.raises(PrepareError, match="is a stream, not a file"):
        fetcher.fetch(site.url("/live.mp4"), never)


def test_a_compressed_body_is_refused(site, fetcher):
    site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc", content_encoding="gzip")
    with pytest.raises(FetchError, match="gzip coding"):
        fetcher.fetch(site.url("/a.mp4"), never)


def test_tls_is_verified_for_the_name_though_the_connection_is_to_an_address(tmp_path):
    files = ["-keyout", str(tmp_path / "tls.key"), "-out", str(tmp_path / "tls.crt"), "-days", "2"]
    subject = ["-subj", "/CN=clips.test", "-addext", "subjectAltName=DNS:clips.test"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *files, *subject]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
    net = Net(lambda host: ["127.0.0.1"])
    with serving(tls=server) as site:
        site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc")
        fetcher = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=net, limits=PROMPT, tls=trusting)
        assert fetcher.fetch(site.url("/a.mp4", scheme="https"), never).read_bytes() == b"abc"
        fetcher.clear()
        assert "TLS: the certificate of other.test is not trusted: Hostname mismatch" in why(
            fetcher, site.url("/a.mp4", host="other.test", scheme="https")
        )
        stranger = Fetcher(FetchRules(private=True), tmp_path / "downloads", net=net, limits=PROMPT)
        assert "self-signed certificate" in why(stranger, site.url("/a.mp4", scheme="https"))


def test_what_a_dead_run_left_is_removed(fetcher, site):
    site.routes["/a.mp4"] = lambda request: request.reply(200, b"abc")
    fetcher.fetch(site.url("/a.mp4"), never)
    fetcher.clear()
    assert leftovers(fetcher) == []
