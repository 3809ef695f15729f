"""What differs between two configurations, key by key."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from channeld.config import parse_config
from channeld.config_diff import ConfigDiff, compare, merge
from channeld.config_values import Config

NOTHING = ConfigDiff((), (), {}, (), ())
BASE = """
state_dir: /srv/state
profiles:
  small: {width: 320, height: 180}
channels:
  one: {profile: small, outputs: [{hls: {}}, {rtmp: "rtmp://127.0.0.1/live/one"}]}
  two: {}
"""


def config(text: str = BASE) -> Config:
    return parse_config(text.encode(), Path("/etc/channeld/channeld.yaml"))


def changed(old: str, new: str) -> Config:
    assert old in BASE
    return config(BASE.replace(old, new))


def test_the_same_file_differs_in_nothing() -> None:
    assert compare(config(), config()) == NOTHING


def test_channels_come_and_go() -> None:
    diff = compare(config(), changed("  two: {}", "  three: {}"))
    assert (diff.added, diff.removed, diff.changed) == (("three",), ("two",), {})


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        ("two: {name: Two}", ("name",)),
        ("two: {enabled: false}", ("enabled",)),
        ("two: {playlist: other.m3u}", ("playlist", "media_roots", "uploads")),
        ("two: {uploads: playlists/sent}", ("uploads",)),
        ("two: {order: shuffle, shuffle_seed: 7}", ("order", "shuffle_seed")),
        ("two: {filler: slate.mp4, resume: start, on_outage: hold}", ("filler", "resume", "on_outage")),
        ("two: {profile: small}", ("profile",)),
        ("two: {ring_seconds: 60}", ("ring_seconds",)),
        ("two: {outputs: [{hls: {window: 9}}, {ts: {}}]}", ("outputs.hls", "outputs.ts")),
        ("two: {outputs: []}", ("outputs.hls",)),
    ],
)
def test_a_changed_channel_is_told_by_its_keys(new: str, keys: tuple[str, ...]) -> None:
    diff = compare(config(), changed("two: {}", new))
    assert diff.changed == {"two": keys} and not diff.daemon and not diff.needs_restart


def test_a_changed_profile_changes_the_channels_that_use_it() -> None:
    assert compare(config(), changed("height: 180", "height: 240")).changed == {"one": ("profile",)}


def test_another_push_target_changes_that_output_alone() -> None:
    assert compare(config(), changed("live/one", "live/other")).changed == {"one": ("outputs.rtmp",)}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("hls_max_bytes: 1G", "hls_max_bytes"),
        ("media: {access: token}", "media.access"),
        ("media: {max_clients_per_channel: 5}", "media.max_clients_per_channel"),
        ("media: {max_clients_per_address: null}", "media.max_clients_per_address"),
        ("media: {stale_seconds: 5}", "media.stale_seconds"),
        ("url_allow: {private: true}", "url_allow"),
        ("prepare: {jobs: 3}", "prepare"),
        ("log: {level: debug}", "log"),
        ("disk: {low: 1G}", "disk"),
        ("reload_on_change: true", "reload_on_change"),
    ],
)
def test_keys_that_a_running_daemon_takes(line: str, key: str) -> None:
    wanted = config(f"{BASE}{line}\n")
    diff = compare(config(), wanted)
    assert diff.daemon == (key,) and not diff.needs_restart
    assert compare(merge(config(), wanted), wanted) == NOTHING


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("runtime_dir: /run/other", "runtime_dir"),
        ("hls_dir: /srv/hls", "hls_dir"),
        ("hosts: 2", "hosts"),
        ("admin: {listen: '127.0.0.1:9'}", "admin.listen"),
        ("admin: {tls: {cert: c.pem, key: k.pem}}", "admin.tls"),
        ("media: {listen: '127.0.0.1:9'}", "media.listen"),
        ("media: {workers: 2}", "media.workers"),
        ("media: {tls: {cert: c.pem, key: k.pem}}", "media.tls"),
    ],
)
def test_keys_that_count_from_the_next_start_keep_their_values_until_then(line: str, key: str) -> None:
    running, wanted = config(), config(f"{BASE}{line}\n")
    diff = compare(running, wanted)
    assert diff.needs_restart == (key,) and diff.daemon == ()
    assert merge(running, wanted) == running
    assert compare(merge(running, wanted), wanted).needs_restart == (key,), "it is told again until then"


def test_another_certificate_is_taken_and_a_listener_keeps_its_kind() -> None:
    tls = BASE + "media: {tls: {cert: one.pem, key: k.pem}}\n"
    diff = compare(config(tls), config(tls.replace("one.pem", "two.pem")))
    assert diff.daemon == ("media.tls",) and diff.needs_restart == ()
    assert merge(config(tls), config()).media.tls == config(tls).media.tls


def test_no_key_of_the_file_is_overlooked() -> None:
    """A value that no table knows counts from the next start: nothing that differs goes unsaid."""
    running = config()
    simple = {field.name for field in fields(Config) if field.compare} - {
        "path",
        "folders",
        "admin",
        "media",
        "profiles",
        "channels",
        "default_profile",
    }
    for name in simple:
        diff = compare(running, replace(running, **{name: object()}))
        assert len(diff.daemon + diff.needs_restart) == 1, name
