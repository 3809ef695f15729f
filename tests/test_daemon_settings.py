"""What the parts of the daemon are told of the configuration."""

from pathlib import Path

import pytest

from channeld.config import parse_config
from channeld.daemon_settings import media_url_for_browsers


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("10.1.2.3:8090", "http://10.1.2.3:8090"),
        ("0.0.0.0:8090", "http://{host}:8090"),
        ('"[::]:8090"', "http://{host}:8090"),
        ('"[fd00::1]:8090"', "http://[fd00::1]:8090"),
    ],
)
def test_browsers_are_led_to_a_media_listener_that_they_can_reach(listen: str, url: str) -> None:
    """A wildcard is no address to connect to: the name that the admin listener was reached by is one."""
    config = parse_config(f"media: {{listen: {listen}}}\nchannels: {{live1: {{}}}}".encode(), Path("channeld.yaml"))
    assert media_url_for_browsers(config) == url
