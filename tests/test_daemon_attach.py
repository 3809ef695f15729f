"""Local readers that cannot be let in keep nothing off the air."""

import contextlib
from pathlib import Path
from typing import Any, cast

import pytest

from channeld.channel.host_hub import HostHub
from channeld.channel.registry import Registry
from channeld.config import parse_config
from channeld.daemon_attach import open_attach


class NoChannels:
    def present(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("attach", "is_there"),
    [("{}", True), ("{enabled: false}", False), ("{group: no-such-group}", False)],
    ids=["default", "off", "unknown group"],
)
def test_the_sockets_are_there_unless_they_are_off_or_cannot_be(tmp_path: Path, attach: str, is_there: bool) -> None:
    (tmp_path / "run").mkdir()
    text = f"runtime_dir: run\nattach: {attach}\nchannels: {{one: {{outputs: []}}}}\n"
    config = parse_config(text.encode(), tmp_path / "channeld.yaml")
    with contextlib.ExitStack() as parts:
        open_attach(config, cast(Registry, NoChannels()), cast(HostHub, None), parts)
        assert (tmp_path / "run" / "bus").exists() is is_there
    assert not (tmp_path / "run" / "bus").exists()
