"""The library desk: real folders, a real station, real probes."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import ClipShelf, numbered_clip
from station import Station, settings, until

from channeld.api.control import UnknownChannel
from channeld.control_library import LibraryDesk
from channeld.media.folder_walk import walk
from channeld.media.glance import GlanceBook, Glancer
from channeld.media.tools import find_tools


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second, 320x180, 25 fps."""
    shelf = ClipShelf(tmp_path_factory.mktemp("clips"))
    return shelf.get("film.mp4", numbered_clip, frames=25, base=0, size=(320, 180))


@pytest.fixture
def media(tmp_path: Path, film: Path) -> Path:
    """A folder with a list that names one of two good files, and with what cannot air."""
    folder = tmp_path / "media"
    (folder / "deep" / "er").mkdir(parents=True)
    shutil.copy(film, folder / "listed.mp4")
    shutil.copy(film, folder / "deep" / "er" / "Free Film.mp4")
    (folder / "broken.mp4").write_bytes(b"no film" * 100)
    (folder / "list.txt").write_text("listed.mp4\nlisted.mp4\n")
    return folder


@pytest.fixture
def desk_of(tmp_path: Path, media: Path) -> Iterator[Callable[[], LibraryDesk]]:
    """Opens the desk of a station over the folder; one at a time."""
    opened: list[LibraryDesk] = []
    with Station(tmp_path, [settings(media / "list.txt")]) as station:
        until(lambda: station.shown()["revision"] == 1, "the first revision")

        def open_desk() -> LibraryDesk:
            tools = find_tools()
            glancer = Glancer(GlanceBook(tmp_path / "glances.json"), station.cache.fingerprints, tools)
            opened.append(LibraryDesk(station.loop, station.registry, station.clips, station.events.airings.totals, glancer, tools))
            opened[-1].start()
            return opened[-1]

        yield open_desk
        for each in opened:
            each.close()


def files(desk: LibraryDesk, words: str = "") -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in desk.read("one", after=None, limit=1_000, words=words).files}


def test_every_file_that_the_list_could_name_is_there_and_filled_in_soon(desk_of: Callable[[], LibraryDesk]) -> None:
    desk = desk_of()
    assert sorted(files(desk)) == ["broken.mp4", "deep/er/Free Film.mp4", "listed.mp4"]
    until(lambda: "unknown" not in {file["state"] for file in files(desk).values()}, "every file was looked at")
    until(lambda: files(desk)["listed.mp4"]["state"] == "ready", "the listed file is prepared")
    found = files(desk)
    free, broken, listed = found["deep/er/Free Film.mp4"], found["broken.mp4"], found["listed.mp4"]
    assert (free["width"], free["height"], free["fps"], free["video_codec"]) == (320, 180, 25, "h264")
    assert free["duration_s"] == pytest.approx(1.0, abs=0.1) and free["bytes"] > 1000
    assert (broken["state"], broken["width"]) == ("refused", None) and broken["reason"]
    assert (listed["entries"], free["entries"]) == (2, 0)
    # The same content under another name needs no preparing.
    assert free["state"] == "ready"


def test_what_airs_is_counted(desk_of: Callable[[], LibraryDesk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channeld.control_library.TOTALS_FRESH_S", 0.0)
    desk = desk_of()
    until(lambda: files(desk)["listed.mp4"]["aired"] > 0, "the listed file aired")
    assert files(desk)["listed.mp4"]["aired_at"] and files(desk)["broken.mp4"]["aired"] == 0


def test_nothing_outside_of_the_roots_and_nothing_hidden_is_shown(desk_of: Callable[[], LibraryDesk], media: Path, film: Path) -> None:
    (media / "out.mp4").symlink_to(film)
    (media / "folder").symlink_to(film.parent)
    (media / "loop").symlink_to(media)
    (media / "in.mp4").symlink_to(media / "listed.mp4")
    (media / ".hidden.mp4").write_bytes(b"x")
    (media / "two\nlines.mp4").write_bytes(b"x")
    (media / "other.m3u").write_text("listed.mp4\n")
    os.mkfifo(media / "pipe.mp4")
    assert sorted(files(desk_of())) == ["broken.mp4", "deep/er/Free Film.mp4", "listed.mp4"]


def test_the_daemons_own_folders_are_not_among_the_media(media: Path) -> None:
    (media / "state").mkdir()
    (media / "state" / "clip.ts").write_bytes(b"x")
    found = {file.real for file in walk([media], without=[media / "state", media / "nowhere"]).files}
    assert found == {str(media / name) for name in ("listed.mp4", "broken.mp4", "deep/er/Free Film.mp4")}


def test_words_find_files_and_pages_follow_each_other(desk_of: Callable[[], LibraryDesk]) -> None:
    desk = desk_of()
    assert list(files(desk, "film FREE")) == ["deep/er/Free Film.mp4"]
    first = desk.read("one", after=None, limit=2)
    assert (len(first.files), first.total, first.next) == (2, 3, "deep/er/Free Film.mp4")
    last = desk.read("one", after=first.next, limit=2)
    assert [file["path"] for file in last.files] == ["listed.mp4"] and last.next is None
    with pytest.raises(UnknownChannel):
        desk.read("nobody", after=None, limit=2)


def test_what_was_looked_at_is_known_to_the_next_process_until_it_changes(
    desk_of: Callable[[], LibraryDesk], tmp_path: Path, media: Path
) -> None:
    desk = desk_of()
    until(lambda: files(desk)["broken.mp4"]["state"] == "refused", "the broken file was looked at")
    desk.close()
    assert str(media / "broken.mp4") in json.loads((tmp_path / "glances.json").read_text())
    (media / "listed.mp4").write_bytes(b"another")
    again = files(desk_of())
    assert again["broken.mp4"]["state"] == "refused" and again["listed.mp4"]["width"] is None


def test_twenty_thousand_files_are_listed_within_moments(desk_of: Callable[[], LibraryDesk], media: Path) -> None:
    for folder in range(20):
        (media / f"many{folder:02}").mkdir()
        for number in range(1_000):
            os.close(os.open(media / f"many{folder:02}" / f"{number:04}.mp4", os.O_CREAT | os.O_WRONLY, 0o644))
    desk = desk_of()
    assert desk.read("one", after=None, limit=200).total == 20_003
    begun = time.monotonic()
    page = desk.read("one", after="many10/0500.mp4", limit=200)
    assert len(page.files) == 200 and page.files[0]["path"] == "many10/0501.mp4"
    assert time.monotonic() - begun < 5
    until(
        lambda: {file["state"] for file in desk.read("one", after=None, limit=10).files[3:]} == {"refused"}, "the page asked for is first"
    )
