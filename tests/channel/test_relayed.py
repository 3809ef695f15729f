"""A relay as a channel: what of its profile and its upstream becomes which setting, and what cannot air."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from channeld.base.relay_id import channel_by, channel_of, config_of
from channeld.base.units import FrameRate
from channeld.channel import relay_profiles
from channeld.channel.relayed import RelayRefused, RelayRules, relayed
from channeld.channel.settings import ChannelSettings, Listing, ServedTarget, SourceSettings
from channeld.media.profile import Profile
from channeld.media.treatment import NO_TREATMENT
from channeld.relay.arguments import refusals_of
from channeld.relay.profile import Hardware
from channeld.store.relay_records import ProxyChannel, RelayConfig, RelayProfile
from channeld.ts.nal import VideoCodec

HOUSE = Profile("720p30", 1280, 720, FrameRate(30, 1), 3_000_000, 128_000)
RULES = RelayRules(HOUSE, ("https", "http", "rtsp"), False, "http://media:8090", Path("/state/relays"))
COPY = "-i {input_url} -c copy -f mpegts {output_path}"
CODED = "-i {input_url} -c:v libx264 -preset slow -s 641x360 -r 29.97 -b:v 1.5M -c:a aac -b:a 96k -f mpegts {output_path}"
CONFIG = RelayConfig(7, "tv", "news", 3, "News", None, True, 0.0, 0.0)
UPSTREAM = ProxyChannel("tv", "news", 0, "News", "rtsp://user:secret@cam.example.org/main")


def profile(args: str = COPY, **changes: Any) -> RelayProfile:
    made = RelayProfile(3, "P", "", args, "transport_stream", 6.0, 6, 10.0, None, False, True, 0.0, 0.0)
    return replace(made, **changes)


def source_of(settings: ChannelSettings) -> SourceSettings:
    assert settings.live is not None
    return settings.live.sources[0]


def test_a_relay_is_a_channel_of_one_live_source_with_hls_and_an_endless_stream() -> None:
    made = relayed(CONFIG, profile(segment_duration=4.0, max_segments=9, input_timeout=5.0), UPSTREAM, RULES)
    assert (made.id, made.name, made.has_list, made.enabled, made.profile) == ("relay-7", "News", False, True, HOUSE)
    assert made.targets == (
        ServedTarget("hls", "hls", "http://media:8090/hls/relay-7/index.m3u8", True, 4.0, 9),
        ServedTarget("ts", "ts", "http://media:8090/ts/relay-7"),
    )
    source = source_of(made)
    assert (source.url, source.mode, source.timeout_s) == (UPSTREAM.url, "auto", 5.0)
    assert "secret" not in source.shown_url and "secret" not in repr(made)


def test_a_profile_of_dash_adds_dash() -> None:
    args = COPY.replace("-f mpegts", "-f dash")
    made = relayed(CONFIG, profile(args, output_format="dash", segment_duration=4.0, max_segments=9), UPSTREAM, RULES)
    assert [target.name for target in made.targets] == ["hls", "dash", "ts"]
    assert made.targets[1] == ServedTarget("dash", "dash", "http://media:8090/dash/relay-7/manifest.mpd", True, 4.0, 9)


def test_what_a_profile_says_of_size_rates_and_preset_is_its_house_format() -> None:
    made = relayed(CONFIG, profile(CODED), UPSTREAM, RULES)
    assert source_of(made).mode == "transcode"
    wanted = replace(HOUSE, name="relay-profile-3", width=640, height=360, fps=FrameRate(30000, 1001), video_bitrate=1_500_000)
    assert made.profile == replace(wanted, audio_bitrate=96_000, preset="slow")


FILTERED = "-fflags nobuffer -i {input_url} -vf hflip -af volume=2 -crf 30 -maxrate 1M -bufsize 500k -g 25 -tune film"


def test_filters_and_what_encodes_go_to_ffmpeg_within_the_house_format() -> None:
    made = relayed(CONFIG, profile(f"{FILTERED} -c:v libx264 -c:a aac -f mpegts {{output_path}}"), UPSTREAM, RULES)
    own = source_of(made).treatment
    assert (own.picture, own.sound, own.reading) == ("hflip", "volume=volume=2", (("fflags", "nobuffer"),))
    assert dict(own.encoding) == {"crf": "30", "bufsize": "500000"}
    # 1 Mb/s at most, with peaks of 1.2 times the mean.
    assert (made.profile.video_bitrate, made.profile.tune) == (833_333, "film")
    assert made.profile.gop_seconds == pytest.approx(25 / 30)
    assert source_of(relayed(CONFIG, profile(), UPSTREAM, RULES)).treatment == NO_TREATMENT


def test_the_longest_gop_is_a_segment_and_the_shortest_a_fifth_of_a_second() -> None:
    for said, wanted in (("-g 1000", 6.0), ("-g 1", 0.2), ("-force_key_frames expr:gte(t,n_forced*3)", 3.0)):
        made = relayed(CONFIG, profile(f"-i {{input_url}} {said} -c:v libx264 -c:a aac -f mpegts {{output_path}}"), UPSTREAM, RULES)
        assert made.profile.gop_seconds == wanted


def test_without_sound_it_is_never_copied() -> None:
    made = relayed(CONFIG, profile("-i {input_url} -c:v copy -an -f mpegts {output_path}"), UPSTREAM, RULES)
    assert source_of(made).mode == "transcode" and not source_of(made).treatment.has_sound


def test_one_on_demand_waits_as_long_as_it_says_or_as_is_configured() -> None:
    on_demand = replace(CONFIG, lifecycle="on_demand")
    for config, wanted in ((CONFIG, None), (on_demand, 300.0), (replace(on_demand, idle_seconds=20.0), 20.0)):
        live = relayed(config, profile(), UPSTREAM, RULES).live
        assert live is not None and live.idle_s == wanted


def test_where_hardware_is_absent_it_is_refused_or_the_cpu_encodes() -> None:
    card = profile("-i {input_url} -c:v h264_nvenc -preset p4 -c:a aac -f mpegts {output_path}", hardware_acceleration="nvidia")

    def absent(hardware: Hardware, device: str) -> str | None:
        return f"there is no {hardware}"

    assert source_of(relayed(CONFIG, card, UPSTREAM, RULES)).treatment.encoder == "h264_nvenc"
    with pytest.raises(RelayRefused, match="there is no nvidia"):
        relayed(CONFIG, card, UPSTREAM, RULES, absent=absent)
    made = relayed(replace(CONFIG, hardware_fallback="software"), card, UPSTREAM, RULES, absent=absent)
    assert source_of(made).treatment.encoder == "libx264"


def test_arguments_of_one_relay_stand_in_place_of_its_profiles() -> None:
    made = relayed(replace(CONFIG, custom_args=CODED), profile(COPY), UPSTREAM, RULES)
    assert (source_of(made).mode, made.profile.width) == ("transcode", 640)


def test_a_gop_is_never_longer_than_a_segment() -> None:
    assert relayed(CONFIG, profile(segment_duration=1.0), UPSTREAM, RULES).profile.gop_seconds == 1.0


def test_every_system_profile_can_be_aired() -> None:
    for number, draft in enumerate(relay_profiles.system_drafts(), 1):
        record = RelayProfile(number, **fields_of(draft))
        assert refusals_of(relay_profiles.as_profile(record)) == ()
        made = relayed(replace(CONFIG, profile_id=number), record, UPSTREAM, RULES)
        assert len(made.targets) == 2


def fields_of(draft: Any) -> dict[str, Any]:
    said = {name: getattr(draft, name) for name in draft.__dataclass_fields__}
    return {**said, "is_system_default": True, "created_at_s": 0.0, "updated_at_s": 0.0}


def test_a_guide_lists_a_relay_as_its_list_did() -> None:
    attributes = {"tvg-chno": "12", "tvg-logo": "https://l.example.org/n.png"}
    made = relayed(CONFIG, profile(), replace(UPSTREAM, attributes=attributes, group="News, World"), RULES)
    assert made.listing == Listing(12, "https://l.example.org/n.png", "News, World")
    for logo in ("javascript:alert(1)", "http://bob:geheim@l.example.org/n.png", "https://l.example.org/n.png?Password=geheim"):
        odd = replace(UPSTREAM, attributes={"tvg-chno": "0x1", "tvg-logo": logo})
        assert relayed(CONFIG, profile(), odd, RULES).listing.logo is None
    cached = replace(UPSTREAM, attributes={"tvg-logo": "https://l.example.org/n.png?v=3"})
    assert relayed(CONFIG, profile(), cached, RULES).listing.logo == "https://l.example.org/n.png?v=3"


def test_it_airs_only_while_it_is_enabled_and_relays_are() -> None:
    assert not relayed(CONFIG, profile(), UPSTREAM, replace(RULES, enabled=False)).enabled
    assert not relayed(replace(CONFIG, enabled=False), profile(), UPSTREAM, RULES).enabled


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("udp://239.0.0.1:1234", "scheme udp"),
        ("file:///etc/passwd", "scheme file"),
        ("http://127.0.0.1/x", "private"),
        ("http://[::1]/x", "private"),
        ("http://0x7f000001/x", "private"),
        ("http://192.168.1.9/x", "private"),
        ("rtsp://localhost/x", "private"),
    ],
)
def test_an_upstream_that_may_not_be_connected_to_is_refused(url: str, words: str) -> None:
    with pytest.raises(RelayRefused, match=words):
        relayed(CONFIG, profile(), replace(UPSTREAM, url=url), RULES)


@pytest.mark.parametrize(
    ("record", "rules", "words"),
    [
        (profile(is_active=False), RULES, "inactive"),
        (profile("-i {input_url} -report -c copy -f mpegts {output_path}"), RULES, "report"),
        (profile("-i {input_url} -c:v libx264 -s 9998x9998 -c:a aac -f mpegts {output_path}"), RULES, "cannot be aired"),
        (profile("-i {input_url} -c:v libx264 -r 240 -c:a aac -f mpegts {output_path}"), RULES, "cannot be aired"),
        (profile(), replace(RULES, taken=("relay-7",)), "another id"),
    ],
)
def test_what_cannot_air_is_refused_with_a_reason(record: RelayProfile, rules: RelayRules, words: str) -> None:
    with pytest.raises(RelayRefused, match=words):
        relayed(CONFIG, record, UPSTREAM, rules)


def test_ids_of_channels_and_relays_lead_to_each_other() -> None:
    assert (channel_of(12), channel_by("12"), config_of("relay-12")) == ("relay-12", "relay-12", 12)
    assert [config_of(each) for each in ("relay-0", "relay-012", "relay-x", "relay-1x", "live1", "relay-" + "9" * 40)] == [None] * 6
    assert [channel_by(each) for each in ("", "0", "012", "x", "1\n", "9" * 40, "٣")] == [None] * 7


def test_a_house_of_h265_is_kept_by_relays_that_copy() -> None:
    house = replace(HOUSE, codec=VideoCodec.H265)
    rules = replace(RULES, house=house)
    assert relayed(CONFIG, profile(), UPSTREAM, rules).profile is house
    coded = relayed(CONFIG, profile("-i {input_url} -c:v libx264 -c:a aac -f mpegts {output_path}"), UPSTREAM, rules)
    assert coded.profile.codec is VideoCodec.H264 and source_of(coded).mode == "transcode"
