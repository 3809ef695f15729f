"""Daemons, clips and origins for the tests that watch a channel on air.

Rule: what takes long is made once a session: numbered clips by FFmpeg, and the prepared form of the clips of the deck.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clips import ClipShelf, numbered_clip
from running import Channels, RunningDaemon, prepare
from timeline import DECK, LONG, LONG_FRAMES

StartDaemon = Callable[..., RunningDaemon]


@pytest.fixture(scope="session")
def deck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips in the house's own rate and shape, a number in every picture: d0.mp4 to d7.mp4, and long.mp4 of 10 s."""
    shelf = ClipShelf(tmp_path_factory.mktemp("deck"))
    for name, marks in DECK.items():
        shelf.get(name, numbered_clip, frames=marks.frames, base=marks.first, size=(320, 180))
    shelf.get(LONG, numbered_clip, frames=LONG_FRAMES, base=50_000, size=(320, 180))
    return shelf.folder


@pytest.fixture(scope="session")
def prepared(deck: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deck as `channeld prepare` makes it: a cache folder to copy."""
    folder = tmp_path_factory.mktemp("prepared")
    playlist = folder / "deck.txt"
    playlist.write_text("".join(f"{deck / name}\n" for name in (*DECK, LONG)))
    return prepare(folder, {"deck": {"playlist": str(playlist), "media_roots": [str(deck)]}})


@pytest.fixture
def daemon_of(tmp_path: Path) -> Iterator[StartDaemon]:
    """Makes daemons, not yet started; each is ended with the test, and must leave nothing."""
    made: list[RunningDaemon] = []

    def make(channels: Channels, *, cache: Path | None = None, name: str = "daemon") -> RunningDaemon:
        made.append(RunningDaemon(tmp_path / name, channels, cache=cache))
        return made[-1]

    yield make
    faults = [fault for daemon in made for fault in daemon.stop()]
    assert faults == []
