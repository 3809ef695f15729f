"""Which player is started, and with what."""

from pathlib import Path

import pytest
from viewing import program

from channeld.viewer.players import KINDS, NoPlayer, find_player


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_first_that_is_installed_is_taken(bin_dir: Path) -> None:
    with pytest.raises(NoPlayer, match=r"looked for mpv, vlc, cvlc, ffplay.*apt install mpv"):
        find_player(None, ())
    for name in ("ffplay", "cvlc", "vlc", "mpv"):
        program(bin_dir / name, "")
        assert find_player(None, ()).argv[0] == str(bin_dir / name)


def test_one_that_is_named_is_taken_by_name_or_path(bin_dir: Path) -> None:
    for name in ("mpv", "cvlc", "my-mpv-wrapper"):
        program(bin_dir / name, "")
    mpv, vlc, _ = KINDS
    assert find_player("vlc", ("--mute",)).argv == (str(bin_dir / "cvlc"), *vlc.arguments, "--mute")
    assert find_player(str(bin_dir / "my-mpv-wrapper"), ()).argv[1:] == mpv.arguments
    with pytest.raises(NoPlayer, match=r"ffplay is not installed.*apt install ffmpeg"):
        find_player("ffplay", ())
    other = program(bin_dir / "other", "")
    assert find_player("other", ("-x",)).argv == (str(other), "-x")
