"""The guide's files follow the channels, and a file that cannot be written is tried again while the other is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from listings import read_m3u, read_xmltv, shown
from station import Station, settings, until

from channeld.channel.guide_desk import GuideDesk
from channeld.channel.settings import ChannelSettings, Listing, ServedTarget

HLS = ServedTarget("hls", "hls", "http://127.0.0.1/hls/one/index.m3u8")


def channel(folder: Path) -> ChannelSettings:
    """One whose only entry is not there: it airs its filler at most."""
    playlist = folder / "list.txt"
    playlist.write_text("missing.mp4\n")
    return replace(settings(playlist, targets=(HLS,)), enabled=False)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(tmp_path, [channel(tmp_path)]) as opened:
        until(lambda: opened.shown()["revision"] == 1, "the first revision")
        yield opened


@pytest.fixture
def guides(tmp_path: Path) -> Path:
    folder = tmp_path / "guides"
    folder.mkdir()
    return folder


@pytest.fixture
def desk(station: Station, guides: Path) -> GuideDesk:
    """Turned by hand."""
    return GuideDesk(guides, station.loop, station.registry, station.events)


def names(guides: Path) -> list[str | None]:
    return [name.text for name in read_xmltv((guides / "guide.xml").read_bytes()).iter("display-name")]


def test_a_channel_that_is_off_is_named_and_tells_nothing(desk: GuideDesk, guides: Path) -> None:
    desk.turn()
    document = (guides / "guide.xml").read_bytes()
    assert [each.get("id") for each in read_xmltv(document).iter("channel")] == ["one"]
    assert shown(document) == []
    assert (guides / "channels.m3u").read_text() == ""


def test_a_reload_shows_and_a_channel_that_left_does_not(desk: GuideDesk, guides: Path, station: Station, tmp_path: Path) -> None:
    desk.turn()
    station.registry.renew([replace(channel(tmp_path), enabled=True, name="Renamed", listing=Listing(3))])
    until(lambda: desk.turn() or names(guides) == ["Renamed", "3"], "the new name")
    (entry,) = read_m3u("#EXTM3U\n" + (guides / "channels.m3u").read_text())[1]
    assert entry.url == "/hls/one/index.m3u8"
    station.registry.renew([])
    until(lambda: not station.registry.channels, "the channel to be gone")
    until(lambda: desk.turn() or names(guides) == [], "a guide without it")


def test_an_unchanged_guide_is_not_written_again(desk: GuideDesk, guides: Path) -> None:
    desk.turn()
    before = (guides / "guide.xml").stat().st_mtime_ns
    desk.turn()
    assert (guides / "guide.xml").stat().st_mtime_ns == before


def test_a_guide_that_somebody_removed_comes_back(desk: GuideDesk, guides: Path) -> None:
    desk.turn()
    (guides / "guide.xml").unlink()
    until(lambda: desk.turn() or (guides / "guide.xml").exists(), "the guide")


def test_what_cannot_be_written_is_tried_again_and_stops_nothing_else(desk: GuideDesk, guides: Path) -> None:
    (guides / "guide.xml").mkdir()
    desk.turn()
    assert (guides / "channels.m3u").exists()
    (guides / "guide.xml").rmdir()
    until(lambda: desk.turn() or (guides / "guide.xml").is_file(), "the guide")
    read_xmltv((guides / "guide.xml").read_bytes())
