"""What viewers find reaches the channel, and remedies reach the workers: a real host and media worker, watched."""

import time
from collections.abc import Callable
from pathlib import Path

from station import Station, settings, until

from channeld.channel.alarms import Alarms
from channeld.channel.output_set import OutputSet
from channeld.channel.settings import PushedTarget, ServedTarget
from channeld.channel.watching import Watching
from channeld.readback.judge import Condition, Verdict
from channeld.readback.subject import Reading, Subject, WatchSettings

OpenStation = Callable[..., Station]
HLS = ServedTarget("hls", "hls", "http://origin/hls/one/index.m3u8", segment_s=1.0, window=6)
PUSH = PushedTarget("rtmp", "rtmp://127.0.0.1/live/one", "rtmp://127.0.0.1/live/one")


def sequence(station: Station) -> int:
    """The newest media sequence that the watch has seen; -1 before any."""
    verdict = station.shown()["outputs"][0]["verdict"]
    return -1 if verdict is None else int(verdict["media_sequence"])


def test_a_channel_that_is_ordered_again_goes_on_without_a_break(station_of: OpenStation, shelf: Path) -> None:
    """The remedy for a worker that lost a channel costs one that did not lose it nothing."""
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    station = station_of(settings(shelf / "list.txt", targets=(HLS,)), workers=1)
    alarms = Alarms(station.events.publish)
    watching = Watching(station.registry, station.media, station.means, alarms, WatchSettings(cpu_budget=0.0))
    watching.start()
    try:
        until(lambda: sequence(station) >= 1, "a verdict")
        assert station.shown()["outputs"][0]["verdict"]["condition"] == "ok"
        assert station.order(station.registry.readiness)[2] == {"one": {"hls": "ok"}}
        before = sequence(station)
        worker = station.media.pids()
        station.order(lambda: station.media.order_again("one"))
        until(lambda: sequence(station) >= before + 3, "newer segments")
        reading = station.channel().outputs.readings["hls"]
        assert (reading.discontinuities, reading.segment_errors, alarms.standing()) == (0, 0, [])
        assert station.media.pids() == worker
        station.order(station.channel().stop)
        until(lambda: station.shown()["outputs"][0]["verdict"] is None, "the verdict withdrawn")
    finally:
        watching.close()


JUDGED: list[tuple[dict[str, Condition], bool]] = [
    ({}, True),  # nobody has looked
    ({"hls": Condition.OK}, True),
    ({"hls": Condition.SILENT}, True),
    ({"hls": Condition.STALE}, False),
    ({"hls": Condition.STALE, "rtmp": Condition.LATE}, True),
    ({"hls": Condition.UNREACHABLE, "rtmp": Condition.BROKEN}, False),
]


def test_a_channel_can_be_watched_while_one_output_can(station_of: OpenStation, shelf: Path) -> None:
    (shelf / "list.txt").write_text("a.mp4\n")
    station = station_of(settings(shelf / "list.txt", name="two"))
    outputs = OutputSet(settings(shelf / "list.txt", targets=(HLS, PUSH)), station.means, on_change=lambda state: None)
    for conditions, can_be_watched in JUDGED:
        verdicts = {name: Verdict(condition, None, time.time(), time.monotonic_ns()) for name, condition in conditions.items()}
        seen = {name: Reading(Subject("one", name, "hls", "http://origin/"), each, time.time()) for name, each in verdicts.items()}
        outputs.readings = seen
        assert outputs.can_be_watched is can_be_watched, conditions
        assert outputs.conditions() == {name: condition.value for name, condition in conditions.items()}
