"""The admin token's file."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from channeld.api.token import ensure_token
from channeld.base.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.token"


def test_the_first_start_makes_a_token_that_later_starts_read(tmp_path: Path, path: Path) -> None:
    token = ensure_token(tmp_path)
    assert len(token) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert ensure_token(tmp_path) == token
    assert [entry.name for entry in tmp_path.iterdir()] == ["admin.token"]


def test_two_that_start_at_once_agree_on_one_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ensure_token, [tmp_path] * 32))) == 1


def test_a_token_made_by_hand_is_used(tmp_path: Path, path: Path) -> None:
    path.write_text("  my-own-token-of-the-day\n")
    path.chmod(0o600)
    assert ensure_token(tmp_path) == "my-own-token-of-the-day"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o641])
def test_a_token_that_others_can_read_or_change_is_refused(tmp_path: Path, path: Path, mode: int) -> None:
    ensure_token(tmp_path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=r"others know the token\. Remove it"):
        ensure_token(tmp_path)


@pytest.mark.parametrize("content", [b"", b"short", b"two words of a token", b"\xff" * 40, b"x" * 513, b"x" * 100_000])
def test_a_file_without_a_token_is_refused(tmp_path: Path, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="holds no token"):
        ensure_token(tmp_path)


def test_what_is_no_plain_file_is_refused(tmp_path: Path, path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="is not a file"):
        ensure_token(tmp_path)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(ConfigError):
        ensure_token(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        ensure_token(tmp_path / "gone")
