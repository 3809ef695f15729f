"""What alerts are told of a real station: each trouble as a fact, and nothing where all is well."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from station import Station, relay, settings, until

from channeld.channel.alarms import Alarms
from channeld.channel.disk import Room
from channeld.channel.settings import LiveSettings, PushedTarget, SourceSettings
from channeld.channel.troubles import Troubles
from channeld.notices.alert_book import Fact
from channeld.notices.settings import Trouble
from channeld.readback.judge import Condition, Verdict
from channeld.readback.subject import Reading, Subject

GIB = 1 << 30
DEAD = PushedTarget("dead", "rtmp://127.0.0.1:1/live/one", "rtmp://127.0.0.1:1/live/one")
OpenStation = Callable[..., Station]


class Scene:
    """Troubles over a station, whose disks and configuration are what the test says."""

    def __init__(self, station: Station) -> None:
        self.alarms = Alarms(station.events.publish)
        self.rooms: dict[str, Room] = {}
        self.error: dict[str, Any] | None = None
        self._troubles = Troubles(station.loop, station.registry, self.alarms, rooms=self.rooms, config_error=lambda: self.error)

    def look(self, trouble: Trouble) -> list[tuple[str, str]]:
        """Subject and text of its facts."""
        return [(fact.subject, fact.text) for fact in self.facts(trouble)]

    def facts(self, trouble: Trouble) -> list[Fact]:
        facts = self._troubles.look(frozenset({trouble}))
        assert {fact.trouble for fact in facts} <= {trouble}
        return facts


@pytest.fixture
def station(station_of: OpenStation, shelf: Path) -> Station:
    """A channel on air whose push reaches nobody."""
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    opened = station_of(settings(shelf / "list.txt", targets=(DEAD,)))
    opened.until_state("on_air")
    return opened


def test_a_push_that_does_not_deliver_is_down(station: Station) -> None:
    scene = Scene(station)
    until(lambda: "refused" in str(scene.look(Trouble.OUTPUT_DOWN)), "the reason")
    assert [subject for subject, _ in scene.look(Trouble.OUTPUT_DOWN)] == ["one/dead"]
    station.order(station.channel().stop)
    until(lambda: not scene.look(Trouble.OUTPUT_DOWN), "a channel off the air has no output that is down")
    assert scene.look(Trouble.CHANNEL_DOWN) == []


def test_a_channel_on_air_with_all_prepared_has_no_other_trouble(station: Station) -> None:
    scene = Scene(station)
    for trouble in (Trouble.CHANNEL_DOWN, Trouble.CHANNEL_FILLER, Trouble.OUTPUT_FAULTY, Trouble.ALARM, Trouble.CONFIG_REFUSED):
        assert scene.look(trouble) == []
    until(lambda: station.order(lambda: station.channel().rundown.dry_in_s(time.monotonic_ns())) is None, "all prepared")
    assert Scene(station).look(Trouble.PREPARE_BEHIND) == []


def test_a_filler_on_air_is_told(station_of: OpenStation, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    station = station_of(settings(tmp_path / "list.txt"))
    station.until_state("filler")
    assert Scene(station).look(Trouble.CHANNEL_FILLER) == [("one", "the filler airs")]


def test_a_live_source_that_is_lost_is_told_with_its_reason(station_of: OpenStation, tmp_path: Path, free_port: Callable[[], int]) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"  # where nobody listens
    station = station_of(relay(tmp_path, LiveSettings((SourceSettings("camera", "Camera", url, url),))))
    scene = Scene(station)
    until(lambda: scene.look(Trouble.SOURCE_LOST), "a source that is lost")
    ((subject, text),) = scene.look(Trouble.SOURCE_LOST)
    assert subject == "one/camera" and text.startswith("cannot_connect")


def test_what_viewers_find_counts_as_faulty_and_where_they_see_nothing_as_stale(station: Station) -> None:
    scene, outputs = Scene(station), station.channel().outputs

    def find(condition: Condition) -> None:
        verdict = Verdict(condition, "three segments long", 0.0, 0)
        reading = Reading(Subject("one", "hls", "hls", "http://127.0.0.1/"), verdict, 0.0, None, None, None, None, 0, 0)
        station.order(lambda: outputs.readings.update({"hls": reading}))

    find(Condition.SILENT)
    assert scene.look(Trouble.OUTPUT_FAULTY) == [("one/hls", "viewers find it silent: three segments long")]
    assert scene.look(Trouble.MANIFEST_STALE) == []
    find(Condition.STALE)
    assert scene.look(Trouble.MANIFEST_STALE) == [("one/hls", "viewers find it stale: three segments long")]
    find(Condition.OK)
    assert scene.look(Trouble.OUTPUT_FAULTY) == []


def test_folders_of_one_disk_are_one_subject(station: Station) -> None:
    scene = Scene(station)
    shared = Room(100 * GIB, 5 * GIB)
    scene.rooms.update({"state": shared, "cache": shared, "hls": Room(10 * GIB, 10 * GIB)})
    full, empty = scene.facts(Trouble.DISK_FULL)
    assert (full.subject, full.text, full.percent) == ("state, cache", "95.0 % in use, 5120 MiB are free", 95.0)
    assert (empty.subject, empty.percent) == ("hls", 0.0)


def test_the_machine_the_configuration_and_alarms_are_told(station: Station) -> None:
    scene = Scene(station)
    for trouble in (Trouble.CPU, Trouble.MEMORY):
        (fact,) = scene.facts(trouble)
        assert fact.subject == "machine" and fact.percent is not None and 0 <= fact.percent <= 100
    scene.error = {"file": "channeld.yaml", "line": 7, "message": "unknown key"}
    assert scene.look(Trouble.CONFIG_REFUSED) == [("configuration", "channeld.yaml:7: unknown key")]
    scene.alarms.raise_alarm("store", "database", level="critical", message="locked")
    assert scene.look(Trouble.ALARM) == [("store database", "locked")]
