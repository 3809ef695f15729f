"""Relays beside the configuration's channels: the registry has both, whatever of them changes, and the store's say outlives the daemon."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from station import Station, settings, until

from channeld.channel import relay_profiles
from channeld.channel.relayed import RelayRules
from channeld.channel.settings import ChannelSettings
from channeld.daemon_relays import RelayChannels
from channeld.store.relay_records import ConfigDraft, ProfileDraft, ProxyChannel, ProxyDraft
from channeld.store.relays import Relays
from channeld.store.store import Store

COPY = "-i {input_url} -c copy -f mpegts {output_path}"
UPSTREAMS = {"news": "http://news.example.org/live.ts", "inside": "http://10.0.0.5/live.ts"}


@pytest.fixture
def configured(tmp_path: Path) -> ChannelSettings:
    path = tmp_path / "media" / "list.txt"
    path.parent.mkdir()
    path.write_text("a.mp4\n")
    return replace(settings(path), enabled=False)


def rules_of(configured: ChannelSettings, folder: Path, *, private: bool = False, taken: tuple[str, ...] = ("one",)) -> RelayRules:
    return RelayRules(configured.profile, ("http",), private, "http://127.0.0.1:1", folder, taken=taken)


def imported(relays: Relays) -> None:
    """A list of two channels, and a profile."""
    relays.add_proxy(ProxyDraft("TV", "tv.m3u"))
    relays.replace_channels("tv", [ProxyChannel("tv", name, at, name, url) for at, (name, url) in enumerate(UPSTREAMS.items())], 1.0)


def relay_of(relays: Relays, channel: str, profile_id: int) -> int:
    return relays.add_config(ConfigDraft("tv", channel, profile_id, channel, enabled=False)).id


@pytest.fixture
def house(tmp_path: Path, configured: ChannelSettings) -> Iterator[tuple[Station, RelayChannels]]:
    with Station(tmp_path, [configured]) as station:
        stage = RelayChannels(station.store.relays, rules_of(configured, tmp_path))
        assert stage.start([configured]) == [configured]
        stage.connect(station.registry)
        imported(stage.relays)
        yield station, stage


def channels_of(station: Station) -> set[str]:
    return set(station.registry.channels)


def test_a_relay_comes_changes_and_goes_and_the_configurations_channels_stay(
    house: tuple[Station, RelayChannels], configured: ChannelSettings
) -> None:
    station, stage = house
    profile = stage.relays.add_profile(ProfileDraft("Mine", COPY)).id
    relay = relay_of(stage.relays, "news", profile)
    stage.follow()
    assert channels_of(station) == {"one", f"relay-{relay}"} == {"one", *stage.ids}
    stage.relays.change_profile(profile, ProfileDraft("Mine", COPY, segment_duration=3))
    stage.follow()
    assert stage.present()[f"relay-{relay}"].targets[0].segment_s == 3  # type: ignore[union-attr]
    stage.renew([replace(configured, name="Renamed")])
    assert stage.present()["one"].name == "Renamed" and f"relay-{relay}" in channels_of(station)
    stage.relays.remove_config(relay)
    stage.follow()
    until(lambda: channels_of(station) == {"one"}, "the relay to leave")


def test_an_upstream_with_another_address_is_followed(house: tuple[Station, RelayChannels]) -> None:
    _, stage = house
    relay = relay_of(stage.relays, "news", 1)
    stage.follow()
    stage.relays.replace_channels("tv", [ProxyChannel("tv", "news", 0, "news", "http://other.example.org/live.ts")], 2.0)
    stage.follow()
    live = stage.present()[f"relay-{relay}"].live
    assert live is not None and live.sources[0].url == "http://other.example.org/live.ts"


def test_a_relay_that_is_refused_says_why_and_airs_once_it_may(
    house: tuple[Station, RelayChannels], configured: ChannelSettings, tmp_path: Path
) -> None:
    station, stage = house
    relay = relay_of(stage.relays, "inside", 1)
    stage.follow()
    assert "private" in stage.refusals[relay] and channels_of(station) == {"one"}
    assert "private" in (stage.fault(UPSTREAMS["inside"]) or "")
    stage.rules = rules_of(configured, tmp_path, private=True)
    stage.renew([configured])
    assert stage.refusals == {} and channels_of(station) == {"one", f"relay-{relay}"}
    assert stage.fault(UPSTREAMS["inside"]) is None


def test_a_channel_of_the_configuration_keeps_its_id(
    house: tuple[Station, RelayChannels], configured: ChannelSettings, tmp_path: Path
) -> None:
    _, stage = house
    relay = relay_of(stage.relays, "news", 1)
    stage.rules = rules_of(configured, tmp_path, taken=("one", f"relay-{relay}"))
    stage.follow()
    assert "another id" in stage.refusals[relay] and stage.ids == frozenset()


def test_a_daemon_that_starts_again_has_its_relays_from_the_beginning(tmp_path: Path, configured: ChannelSettings) -> None:
    store = Store(tmp_path)
    store.open()
    store.start()
    RelayChannels(store.relays, rules_of(configured, tmp_path)).start([])
    imported(store.relays)
    relay = relay_of(store.relays, "news", 1)
    store.close()
    again = Store(tmp_path)
    again.open()
    again.start()
    try:
        stage = RelayChannels(again.relays, rules_of(configured, tmp_path))
        assert [each.id for each in stage.start([configured])] == ["one", f"relay-{relay}"]
        assert len([each for each in again.relays.profiles() if each.is_system_default]) == len(relay_profiles.system_drafts())
    finally:
        again.close()


def test_a_store_that_cannot_be_read_keeps_no_channel_off_the_air(tmp_path: Path, configured: ChannelSettings) -> None:
    (tmp_path / "state" / "channeld.db").mkdir(parents=True)
    store = Store(tmp_path / "state")
    store.open()
    store.start()
    try:
        stage = RelayChannels(store.relays, rules_of(configured, tmp_path))
        assert stage.start([configured]) == [configured] and not stage.is_read
    finally:
        store.close()
