"""The configuration as people are shown it: every key, its value in force, its line, and nothing secret."""

from pathlib import Path

from channeld.config import parse_config
from channeld.config_diff import merge
from channeld.config_values import Config, Setting

TEXT = b"""\
state_dir: state
database: postgresql://air:hunter2@db/channeld
admin: {listen: 127.0.0.1:8081}
channels:
  live1:
    name: ${NAME}
    outputs:
      - rtmp: {name: youtube, url: rtmps://a.rtmp.youtube.com/live2/abcd-1234}
      - hls: {window: 8}
      - rtmp: rtmp://127.0.0.1/live/live1
webhooks:
  - {url: https://hooks.example/services/abcd-1234, secret: "${NAME}"}
alerts:
  targets:
    - discord://4174216298/abcd-1234
"""


def config_of(text: bytes = TEXT) -> Config:
    return parse_config(text, Path("/etc/channeld/channeld.yaml"), {"NAME": "hunter2-hunter2-hunter2-hunter2"})


def told(config: Config) -> dict[str, Setting]:
    return {setting.key: setting for setting in config.told}


def test_a_written_key_has_its_line_and_a_default_none() -> None:
    found = told(config_of())
    assert found["admin.listen"] == Setting("admin.listen", "127.0.0.1:8081", 3)
    assert found["channels.live1.outputs[1].hls.window"] == Setting("channels.live1.outputs[1].hls.window", "8", 9)
    assert found["channels.live1.outputs[1].hls.segment_seconds"].line is None
    assert found["channels.live1.outputs[2].rtmp.url"] == Setting("channels.live1.outputs[2].rtmp.url", "rtmp://127.0.0.1/live/live1", 10)
    assert found["hosts"] == Setting("hosts", "1", None)
    assert found["prepare.cache_max_bytes"].value == "80%"


def test_no_secret_is_told() -> None:
    text = repr(config_of().told)
    assert "hunter2" not in text, "neither of a URL nor of the environment"
    assert "abcd-1234" not in text
    assert told(config_of())["webhooks[0].url"] == Setting("webhooks[0].url", "https://***", 12)
    assert told(config_of())["alerts.targets[0].url"] == Setting("alerts.targets[0].url", "discord://***", 15)
    assert told(config_of())["channels.live1.name"].value == "${NAME}"


def test_a_key_that_waits_for_the_next_start_is_told_as_it_is_in_force() -> None:
    wanted = config_of(TEXT.replace(b"8081", b"9090").replace(b"window: 8", b"window: 9"))
    merged = told(merge(config_of(), wanted))
    assert merged["admin.listen"].value == "127.0.0.1:8081"
    assert merged["channels.live1.outputs[1].hls.window"].value == "9"
    assert list(merged) == list(told(wanted)), "in the same order"


def test_what_is_told_makes_no_difference_between_configurations() -> None:
    moved = b"\n\n" + TEXT
    assert config_of(moved) == config_of()
    assert told(config_of(moved))["admin.listen"].line == 5
