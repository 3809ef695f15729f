"""`channeld relay`: what the command line asks for is a configuration that the daemon takes, and what it cannot be is refused."""

from pathlib import Path

import pytest
import typer
import yaml

from channeld.base.errors import ConfigError
from channeld.cli_relay import Wanted, configuration, relay
from channeld.config import parse_config

WANTED = Wanted(["rtsp://10.0.0.5/main", "pattern"], "127.0.0.1:8095", 1.5, 8, "640x360", "25", "udp", True, ["rtmp://127.0.0.1/live/x"])


def test_the_options_become_a_channel_of_live_sources(tmp_path: Path) -> None:
    text = yaml.safe_dump(configuration(WANTED, tmp_path, admin_port=8080)).encode()
    config = parse_config(text, tmp_path / "channeld.yaml")
    channel = config.channel("relay")
    assert [(source.url, source.transport) for source in channel.sources] == [("rtsp://10.0.0.5/main", "udp"), ("pattern:", "auto")]
    assert [output.type for output in channel.outputs] == ["hls", "ts", "rtmp"] and not channel.has_list
    profile = config.profile(channel.profile)
    assert (profile.width, profile.height, profile.fps.num, profile.gop_seconds) == (640, 360, 25, 1.5)
    assert (str(config.media.listen), config.folders.state.parent) == ("127.0.0.1:8095", tmp_path)


def test_a_folder_that_has_a_configuration_keeps_it_and_nobody_else_reads_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, began = tmp_path / "channeld.yaml", list[Path]()
    ours.write_text("mine: yes\n")
    (tmp_path / "relay.yaml").touch(mode=0o644)
    monkeypatch.setattr("channeld.daemon.run", lambda path: began.append(path) or 0)
    with pytest.raises(typer.Exit) as ended:
        relay(["rtsp://me:secret@10.0.0.5/main"], hls=False, folder=tmp_path)
    assert ended.value.exit_code == 0 and ours.read_text() == "mine: yes\n"
    assert began == [tmp_path / "relay.yaml"] and "secret" in began[0].read_text()
    assert began[0].stat().st_mode & 0o777 == 0o600


def test_a_size_that_is_none_is_refused(tmp_path: Path) -> None:
    wanted = Wanted(["pattern"], "127.0.0.1:0", 4, 6, "big", None, "tcp", True, [])
    with pytest.raises(ConfigError, match="no size"):
        configuration(wanted, tmp_path, admin_port=8080)
