"""What tests of channels share: numbered clips of one second, already prepared, and a station to air them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import ClipShelf, numbered_clip
from station import SMALL, Station

from channeld.channel.settings import ChannelSettings
from channeld.media.cache import ClipCache
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.slate import ensure_filler
from channeld.media.tools import find_tools

NAMES = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")

OpenStation = Callable[..., Station]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.mp4 to d.mp4, one second each."""
    shelf = ClipShelf(tmp_path_factory.mktemp("clips"))
    for number, name in enumerate(NAMES):
        shelf.get(name, numbered_clip, frames=25, base=100 * number, size=(320, 180))
    return shelf.folder


@pytest.fixture(scope="session")
def prepared_folder(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the filler and all clips; to be copied."""
    folder = tmp_path_factory.mktemp("prepared")
    cache = ClipCache(folder, 1 << 30)
    ensure_filler(cache, SMALL, None)
    for name in NAMES:
        prepare(PrepareRequest(clip_folder / name, SMALL), cache, tools=find_tools())
    return folder


@pytest.fixture
def shelf(tmp_path: Path, clip_folder: Path) -> Path:
    """A folder with copies of the clips, for a playlist beside them."""
    return shutil.copytree(clip_folder, tmp_path / "media")


@pytest.fixture
def station_of(tmp_path: Path, prepared_folder: Path) -> Iterator[OpenStation]:
    """Opens stations over a copy of the prepared clips (or an empty cache); each is closed with the test."""
    opened: list[Station] = []

    def open_station(*channels: ChannelSettings, prepared: bool = True, **options: Any) -> Station:
        cache = tmp_path / "cache"
        if prepared:
            shutil.copytree(prepared_folder, cache)
        opened.append(Station(tmp_path, channels, cache=cache, **options))
        return opened[-1].__enter__()

    yield open_station
    for station in opened:
        station.__exit__()
