"""No two daemons write the same folders, whatever their configurations say."""

import os
from pathlib import Path

import pytest

from channeld.base.errors import ChannelError
from channeld.config import parse_config
from channeld.config_values import Config
from channeld.daemon_locks import only_one


def config_of(folder: Path, name: str, **places: str) -> Config:
    """A configuration with folders of its own, but for those named."""
    folders = {key: folder / places.get(key, f"{name}-{key}") for key in ("state_dir", "runtime_dir", "hls_dir")}
    for path in folders.values():
        path.mkdir(exist_ok=True)
    (folders["state_dir"] / "cache").mkdir(exist_ok=True)
    text = "".join(f"{key}: {path}\n" for key, path in folders.items()) + "channels: {live1: {}}\n"
    return parse_config(text.encode(), folder / f"{name}.yaml")


@pytest.mark.parametrize("shared", ["state_dir", "runtime_dir", "hls_dir"])
def test_a_folder_belongs_to_one_daemon_and_the_second_is_told_whose_it_is(tmp_path: Path, shared: str) -> None:
    first = config_of(tmp_path, "first", **{shared: "shared"})
    second = config_of(tmp_path, "second", **{shared: "shared"})
    with only_one(first), pytest.raises(ChannelError, match=rf"pid {os.getpid()}, .*first\.yaml.*{shared}"), only_one(second):
        raise AssertionError("both run")
    with only_one(second):
        pass


def test_one_folder_for_everything_is_no_reason_to_refuse(tmp_path: Path) -> None:
    with only_one(config_of(tmp_path, "one", state_dir="all", runtime_dir="all", hls_dir="all")):
        pass


def test_the_way_to_a_folder_does_not_matter(tmp_path: Path) -> None:
    first = config_of(tmp_path, "first")
    (tmp_path / "link").symlink_to(first.folders.runtime)
    with only_one(first), pytest.raises(ChannelError, match="already uses"), only_one(config_of(tmp_path, "second", runtime_dir="link")):
        raise AssertionError("both run")


def test_nothing_is_left_of_the_locks_but_the_cache_s(tmp_path: Path) -> None:
    config = config_of(tmp_path, "one")
    with only_one(config):
        pass
    assert not list(tmp_path.rglob("daemon.lock"))
