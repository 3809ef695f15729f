"""Live sources in the configuration: what they become, and every fault with its key."""

from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from typing import get_args, get_origin

import pytest
from test_config import only_fault, read

from channeld.channel.timetable import Slot
from channeld.config import _STAND_INS
from channeld.config_model import ConfigModel, Section, inner_type
from channeld.media.live_input import PATTERN
from channeld.media.picture_rules import PictureRules

CAM = "rtsp://viewer:secret@10.0.0.5/main"


def test_sources_are_named_in_order_and_their_passwords_stay_out_of_sight(tmp_path: Path) -> None:
    text = f"channels: {{a: {{sources: ['{CAM}', {{url: 'srt://10.0.0.6:9000', name: spare}}, pattern]}}}}"
    channel = read(text, tmp_path).channel("a")
    assert [source.name for source in channel.sources] == ["source", "spare", "source-2"]
    assert [source.url for source in channel.sources] == [CAM, "srt://10.0.0.6:9000", PATTERN]
    assert "secret" not in repr(channel) and "secret" not in channel.sources[0].shown_url
    assert not channel.has_list


def test_a_list_behind_sources_airs_where_it_is_named(tmp_path: Path) -> None:
    channel = read("channels: {a: {sources: [pattern], playlist: a.m3u}}", tmp_path).channel("a")
    assert channel.has_list and channel.playlist == tmp_path / "a.m3u"


def test_nobody_looks_at_a_picture_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert not read("channels: {a: {sources: [pattern]}}", tmp_path).channel("a").failover.picture.any
    text = "channels: {a: {sources: [pattern], failover: {frozen_seconds: 5, black_seconds: 3}}}"
    assert read(text, tmp_path).channel("a").failover.picture == PictureRules(frozen_s=5, black_s=3)


def test_sources_on_demand_are_let_go_of_after_the_relays_time_or_their_own(tmp_path: Path) -> None:
    on_demand = "sources: [pattern], lifecycle: on_demand, outputs: [hls]"
    channels = f"a: {{{on_demand}}}, b: {{{on_demand}, idle_seconds: 9}}, c: {{sources: [pattern]}}"
    text = f"relay: {{default_timeout_seconds: 77}}\nchannels: {{{channels}}}"
    config = read(text, tmp_path)
    assert [config.channel(name).idle_s for name in "abc"] == [77, 9, None]


@pytest.mark.parametrize(
    ("channel", "key", "message"),
    [
        ("sources: [{url: 'rtsp://h/1', name: x}, {url: 'rtsp://h/2', name: x}]", "sources[1].name", "another source of this channel"),
        ("sources: ['file:///etc/passwd']", "sources[0].url", "the schemes are"),
        ("sources: ['rtsp://h/a b']", "sources[0].url", "without spaces"),
        ("sources: ['rtsp://']", "sources[0].url", "not a usable source"),
        ("sources: ['http://[::1/x']", "sources[0].url", "not a usable source"),
        ("sources: [{url: 'rtsp://h/1', pattern: true}]", "sources[0]", "a source is a url or the test pattern"),
        ("sources: [pattern], idle_seconds: 10", "idle_seconds", "counts with `lifecycle: on_demand` only"),
        ("lifecycle: on_demand", "lifecycle", "only live sources are connected to on demand"),
        (
            "sources: [pattern], lifecycle: on_demand, outputs: [rtmp: 'rtmp://127.0.0.1/live/a']",
            "outputs[0].rtmp",
            "nobody sees who watches a push",
        ),
        (
            "sources: [{url: 'rtsp://h/1', mode: copy}], failover: {silent_seconds: 5}",
            "sources[0].mode",
            "a copied source is not decoded",
        ),
    ],
)
def test_sources_that_cannot_work_are_refused(channel: str, key: str, message: str, tmp_path: Path) -> None:
    fault = only_fault(f"channels: {{a: {{{channel}}}}}", tmp_path)
    assert fault.key == f"channels.a.{key}" and message in fault.message


def test_a_refused_item_of_any_list_leaves_the_other_keys_judged(tmp_path: Path) -> None:
    """A list in the configuration whose items have no stand-in would end the judging with a traceback."""

    def lists(section: type[Section]) -> Iterator[str]:
        for name, field in section.model_fields.items():
            kind = inner_type(field.annotation)
            inner = inner_type(get_args(kind)[-1]) if get_origin(kind) in (dict, list) else kind
            if get_origin(kind) is list:
                yield name
            if isinstance(inner, type) and issubclass(inner, Section):
                yield from lists(inner)

    assert set(lists(ConfigModel)) <= set(_STAND_INS)


def test_a_timetable_is_read_with_its_zone_days_and_dates(tmp_path: Path) -> None:
    text = """
        channels:
          a:
            playlist: a.m3u
            sources: [{name: hall, url: "rtsp://h/1"}]
            timezone: Europe/Berlin
            schedule:
              - {at: 10:00, days: [sun], seconds: 5400, source: hall}
              - {at: "9:30:15", seconds: 60, playlist: true}
              - {at: 2026-12-24T18:00, path: mass.mp4, once: true}
        """
    table = read(text, tmp_path).channel("a").timetable
    assert table is not None and str(table.zone) == "Europe/Berlin"
    assert table.slots == (
        Slot(time(10), 5400, frozenset({6}), source="hall"),
        Slot(time(9, 30, 15), 60, is_list=True),
        Slot(datetime(2026, 12, 24, 18), 600, file=str(tmp_path / "mass.mp4"), once=True),
    )
    assert read("channels: {a: {}}", tmp_path).channel("a").timetable is None


@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        ("schedule: [{at: 25:00, seconds: 1, text: x}]", "schedule[0].at", "is no time"),
        ("schedule: [{at: soon, seconds: 1, text: x}]", "schedule[0].at", "is no time"),
        ("schedule: [{at: '2026-12-24T18:00+01:00', seconds: 1, text: x}]", "schedule[0].at", "without a zone"),
        ("schedule: [{at: '2026-12-24T18:00', days: [mon], seconds: 1, text: x}]", "schedule[0].days", "a date has its day"),
        ("schedule: [{at: 8:00, text: x}]", "schedule[0]", "it has no end"),
        ("schedule: [{at: 8:00, seconds: 5}]", "schedule[0]", "exactly one thing"),
        ("schedule: [{at: 8:00, seconds: 5, text: x, path: y}]", "schedule[0]", "exactly one thing"),
        ("schedule: [{at: 8:00, seconds: 5, days: [monday], text: x}]", "schedule[0].days[0]", "Input should be 'mon'"),
        ("schedule: [{at: 8:00, seconds: 5, source: hall}]", "schedule[0].source", "no source of this channel is named 'hall'"),
        ("schedule: [{at: 8:00, seconds: 5, playlist: true}]", "schedule[0].playlist", "no sources, or no playlist"),
        ("schedule: [{at: 8:00, seconds: 5, text: x}, {at: 8:00, seconds: 9, text: y}]", "schedule", "two items begin"),
        ("timezone: Nowhere/City", "timezone", "there is no time zone"),
        ("timezone: ../../etc/passwd", "timezone", "there is no time zone"),
    ],
)
def test_a_timetable_that_cannot_be_kept_is_refused(keys: str, key: str, message: str, tmp_path: Path) -> None:
    fault = only_fault(f"channels: {{a: {{{keys}}}}}", tmp_path)
    assert fault.key == f"channels.a.{key}" and message in fault.message
