"""Where a proxy is, as people write it."""

from pathlib import Path

import pytest

from channeld.far.address import TcpAddress, UnixAddress, parse_address


def test_what_is_written_is_read_and_shown_again() -> None:
    for text, address in (
        ("tcp:127.0.0.1:9000", TcpAddress("127.0.0.1", 9000)),
        ("tcp:tv.example:1", TcpAddress("tv.example", 1)),
        ("tcp:[::1]:9000", TcpAddress("::1", 9000)),
        ("unix:/run/far.sock", UnixAddress(Path("/run/far.sock"))),
    ):
        assert parse_address(text) == address
        assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "tcp:", "tcp:9000", "tcp:host", "tcp:host:70000", "tcp:::1:9000", "unix:far.sock", "unix:/a\nb", "host:9000", "tcp:a b:1"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        parse_address(text)
