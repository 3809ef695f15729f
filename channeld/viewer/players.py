"""Which player is there, and how each is told to play an endless transport stream from its stdin.

Rule: an argument list, never a shell's text. The options keep the delay low, leave the terminal alone, and end the player with the
stream; the user's own come behind them and win. Tried with mpv 0.35, VLC 3.0.23 and ffplay 5.1. Pure but for the look at PATH.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from channeld.base.errors import ChannelError

# FFmpeg's demuxer looks at 5 s of a stream before it shows the first picture, unless it is told to be content with less.
_MPV = (
    "--no-input-terminal",
    "--quiet",
    "--keep-open=no",
    "--demuxer-lavf-format=mpegts",
    "--demuxer-lavf-analyzeduration=0.5",
    "--demuxer-lavf-probesize=500000",
    "-",
)
_VLC = ("--no-video-title-show", "--play-and-exit", "--demux=ts", "--file-caching=300", "fd://0")
# ffplay plays what it has at once and never waits for more: with less than a second in hand its pictures, which leave the decoder later
# than its sound, come late for ever, and it drops them.
_FFPLAY = ("-hide_banner", "-nostats", "-autoexit", "-f", "mpegts", "-analyzeduration", "1500000", "-i", "pipe:0")


@dataclass(frozen=True, slots=True)
class Kind:
    """A player that we know: its programs, the better one first, what it is given, and Debian's package."""

    name: str
    programs: tuple[str, ...]
    arguments: tuple[str, ...]
    package: str


KINDS = (
    Kind("mpv", ("mpv",), _MPV, "mpv"),
    Kind("vlc", ("vlc", "cvlc"), _VLC, "vlc"),
    Kind("ffplay", ("ffplay",), _FFPLAY, "ffmpeg"),
)


class NoPlayer(ChannelError):
    """No player is installed, or not the one that was named."""


@dataclass(frozen=True, slots=True)
class Player:
    """What to start."""

    name: str
    argv: tuple[str, ...]


def find_player(wanted: str | None, more: Sequence[str]) -> Player:
    """The player that was named, by name or path, else the first that is installed, with `more` arguments. Raises NoPlayer.

    A program whose name contains that of a known player is started as that one; another gets `more` and nothing else.
    """
    if wanted is None:
        return _any_player(more)
    kind = next((kind for kind in KINDS if kind.name in Path(wanted).name.lower()), None)
    names = kind.programs if kind is not None and wanted == kind.name else (wanted,)
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        todo = f"apt install {kind.package}" if kind is not None else "name another with --player, or its path"
        raise NoPlayer(f"{' or '.join(names)} is not installed or not executable: {todo}")
    return _player(program, kind, more)


def _any_player(more: Sequence[str]) -> Player:
    for kind in KINDS:
        for name in kind.programs:
            if program := shutil.which(name):
                return _player(program, kind, more)
    looked_for = ", ".join(name for kind in KINDS for name in kind.programs)
    raise NoPlayer(f"no player found in PATH (looked for {looked_for}): apt install mpv, or name one with --player")


def _player(program: str, kind: Kind | None, more: Sequence[str]) -> Player:
    path = Path(program).absolute()
    return Player(path.name, (str(path), *(kind.arguments if kind else ()), *more))
