"""Live sources in the configuration: what they become, and every fault with its key."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import pytest
from test_config import only_fault, read

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
