"""Where this machine reaches what its media workers serve."""

from pathlib import Path

import pytest

from channeld.channel.origin import Origin, origin_of


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:0", "http://127.0.0.1:8090"),
        ("0.0.0.0:8090", "http://127.0.0.1:8090"),
        ("[::]:8090", "http://[::1]:8090"),
        ("192.0.2.7:8090", "http://192.0.2.7:8090"),
        ("localhost:8090", "http://localhost:8090"),
    ],
)
def test_a_wildcard_is_reached_at_the_loopback(listen: str, url: str) -> None:
    assert origin_of(listen, 8090, None, None) == Origin(url)


def test_a_tls_listener_is_known_by_its_own_certificate() -> None:
    found = origin_of("0.0.0.0:443", 443, "a token", {"cert": "/etc/tls/cert.pem", "key": "/etc/tls/key.pem"})
    assert found == Origin("https://127.0.0.1:443", "a token", Path("/etc/tls/cert.pem"))
    assert "a token" not in repr(found)
