"""What killed runs leave is removed at start, and nothing else."""

import os
from pathlib import Path

import pytest

from channeld.base.drafts import draft_prefix
from channeld.config import parse_config
from channeld.config_values import Config
from channeld.daemon_leftovers import orphaned_files, remove_leftovers
from channeld.outputs.hls_manifest import OUR_MARK

TEXT = b"""
state_dir: state
runtime_dir: run
hls_dir: hls
channels:
  live1: {playlist: lists/live1.m3u}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for folder in ("state/cache/abc", "hls/live1", "hls/old", "hls/theirs", "lists"):
        (tmp_path / folder).mkdir(parents=True)
    return parse_config(TEXT, tmp_path / "channeld.yaml")


def write(path: Path, content: bytes = b"x") -> Path:
    path.write_bytes(content)
    return path


def test_drafts_and_unfinished_files_of_a_killed_run_are_removed(tmp_path: Path, config: Config) -> None:
    ours = [
        write(tmp_path / "state" / ".admin.token.0123456789abcdef"),
        write(tmp_path / "state" / "cache" / ".fingerprints.json.123.140.tmp"),
        write(tmp_path / "state" / "cache" / "abc" / ".reference.json.123.140.tmp"),
        write(tmp_path / "hls" / "live1" / "segment-0000000007.ts.tmp"),
        write(tmp_path / "hls" / "live1" / "index.m3u8.tmp"),
        write(tmp_path / "lists" / f"{draft_prefix('live1.m3u')}abcd_123"),
    ]
    assert sorted(remove_leftovers(config)) == sorted(ours)
    assert not [path for path in ours if path.exists()]


def test_files_of_others_stay(tmp_path: Path, config: Config) -> None:
    theirs = [
        write(tmp_path / "lists" / ".live1.m3u.swp"),
        write(tmp_path / "lists" / f"{draft_prefix('live2.m3u')}abcd_123"),
        write(tmp_path / "lists" / ".live1.m3u.channeld-notes"[:-1]),
        write(tmp_path / "hls" / "live1" / "index.m3u8.bak"),
        write(tmp_path / "hls" / "live1" / "notes.tmp"),
        write(tmp_path / "state" / "admin.token"),
        write(tmp_path / "state" / "cache" / "abc" / "0123.ts"),
        write(tmp_path / "state" / "channeld.db.broken-20260101T000000Z"),
    ]
    (tmp_path / "hls" / "live1" / "segment-0000000008.ts.tmp").symlink_to(theirs[0])
    assert remove_leftovers(config) == []
    assert all(path.exists() for path in theirs)


def test_a_file_that_somebody_writes_just_now_stays(tmp_path: Path, config: Config) -> None:
    """Under a holder a media worker outlives the daemon, and may be in the middle of a segment."""
    path = tmp_path / "hls" / "live1" / "segment-0000000007.ts.tmp"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    assert remove_leftovers(config) == []
    os.close(fd)
    assert remove_leftovers(config) == [path]


def test_folders_of_channels_that_left_are_known_by_our_own_manifests(tmp_path: Path, config: Config) -> None:
    write(tmp_path / "hls" / "live1" / "index.m3u8", OUR_MARK)
    write(tmp_path / "hls" / "old" / "index.m3u8", b"#EXTM3U\n" + OUR_MARK + b"{}\n")
    write(tmp_path / "hls" / "theirs" / "index.m3u8", b"#EXTM3U\n")
    write(tmp_path / "hls" / "live1" / "manifest.mpd", b"<MPD><!--channeld {}--></MPD>\n")
    assert orphaned_files(config) == [("live1", "dash"), ("old", "hls")]


def test_a_draft_of_a_long_name_fits_a_file_name(tmp_path: Path) -> None:
    name = "ü" * 120 + ".m3u"
    (tmp_path / f"{draft_prefix(name)}abcd_123").touch()
