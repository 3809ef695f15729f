"""Profiles, proxies and relays: an edit that returns is there for the next process; one that is refused names its field. Both databases."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from postgresql_server import Server, running_server

from channeld.base.clock import FakeClock
from channeld.base.errors import StoreError
from channeld.store.relay_errors import (
    AlreadyTaken,
    EditRefused,
    ReadOnlyRecord,
    StillUsed,
    UnknownRecord,
    UnknownReference,
    ValueRefused,
)
from channeld.store.relay_questions import ChannelFilter
from channeld.store.relay_records import ConfigDraft, ProfileDraft, ProxyChannel, ProxyDraft, RelayStatus
from channeld.store.relays import Relays
from channeld.store.store import Store

SECRET = "s3cr3t"
COPY = ProfileDraft("Copy", "-c copy", "as it comes")
LIST = ProxyDraft("My List", f"https://me:{SECRET}@lists.test/get.m3u?password={SECRET}", 3600.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


class Place:
    """A database, and the stores that were opened on it."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder, self.url = folder, url
        self.clock = FakeClock(wall_s=1_000.0)
        self._stores: list[Store] = []

    def open(self) -> Store:
        """As a new process would."""
        store = Store(self.folder, url=self.url, clock=self.clock)
        store.open()
        store.start()
        self._stores.append(store)
        return store

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = request.getfixturevalue("server").new_database() if request.param == "postgresql" else None
    made = Place(tmp_path, url)
    yield made
    made.close()


@pytest.fixture
def relays(place: Place) -> Relays:
    return place.open().relays


def channel(number: int, proxy_id: str = "my-list", **values: object) -> ProxyChannel:
    made = ProxyChannel(
        proxy_id,
        f"channel-{number}",
        number,
        f"Channel {number}",
        f"rtsp://me:{SECRET}@cam{number}.test/",
        {"tvg-id": f"c{number}.test", "group-title": "Näws"},
        "Näws",
        (f"#EXTVLCOPT:http-password={SECRET}",),
    )
    return replace(made, **values)  # type: ignore[arg-type]


def relayed(relays: Relays) -> int:
    """A proxy of three channels whose first is relayed; gives the relay's id."""
    relays.add_proxy(LIST)
    relays.replace_channels("my-list", [channel(number) for number in range(3)], 1_000.0)
    profile = relays.add_profile(COPY)
    return relays.add_config(ConfigDraft("my-list", "channel-0", profile.id, "First", f"-headers {SECRET}")).id


def test_what_was_acknowledged_is_there_for_the_next_process(place: Place, relays: Relays) -> None:
    config_id = relayed(relays)
    again = place.open().relays
    (profile,), (proxy,), (config,) = again.profiles(), again.proxies(), again.configs()
    assert (profile.name, profile.ffmpeg_args, profile.is_system_default, profile.created_at_s) == ("Copy", "-c copy", False, 1_000.0)
    assert (proxy.id, proxy.source, proxy.refresh_s, proxy.fetched_at_s) == ("my-list", LIST.source, 3600.0, 1_000.0)
    assert (config.id, config.channel_id, config.profile_id, config.custom_args) == (
        config_id,
        "channel-0",
        profile.id,
        f"-headers {SECRET}",
    )
    assert again.channels("my-list") == [channel(0), channel(1), channel(2)]
    assert again.config_of("my-list", "channel-0") == config and again.config_of("my-list", "channel-1") is None


def test_each_record_is_changed_and_removed_by_its_id(place: Place, relays: Relays) -> None:
    config_id = relayed(relays)
    place.clock.advance(60.0)
    profile = relays.change_profile(relays.profiles()[0].id, replace(COPY, name="Small", max_segments=3, hardware_acceleration="vaapi"))
    assert (profile.name, profile.max_segments, profile.hardware_acceleration) == ("Small", 3, "vaapi")
    assert (profile.created_at_s, profile.updated_at_s) == (1_000.0, 1_060.0)
    draft = ConfigDraft("my-list", "channel-1", profile.id, "Second", None, False, "on_demand", 60.0, "software")
    assert (relays.config(config_id).lifecycle, relays.config(config_id).hardware_fallback) == ("always", "refuse")
    config = relays.change_config(config_id, draft)
    assert (config.id, config.channel_id, config.enabled) == (config_id, "channel-1", False)
    assert (config.lifecycle, config.idle_seconds, config.hardware_fallback) == ("on_demand", 60.0, "software")
    assert place.open().relays.config(config_id) == config
    renamed = relays.change_proxy("my-list", replace(LIST, name="Other"))
    assert (renamed.id, renamed.name, renamed.fetched_at_s) == ("my-list", "Other", 1_000.0)
    assert relays.change_proxy("my-list", replace(LIST, source="lists/tv.m3u")).fetched_at_s is None
    relays.remove_config(config_id)
    relays.remove_proxy("my-list")
    relays.remove_profile(profile.id)
    again = place.open().relays
    assert (again.configs(), again.proxies(), again.profiles()) == ([], [], [])


def test_an_id_of_a_relay_is_never_given_again(relays: Relays) -> None:
    config_id = relayed(relays)
    draft = ConfigDraft("my-list", "channel-0", relays.profiles()[0].id, "Again")
    relays.remove_config(config_id)
    assert relays.add_config(draft).id > config_id


FIRST = ConfigDraft("my-list", "channel-0", 1, "First")
REFUSED: list[tuple[str, Callable[[Relays], object], type[EditRefused], str]] = [
    ("an empty name", lambda each: each.add_profile(replace(COPY, name=" ")), ValueRefused, "name"),
    ("a name of two lines", lambda each: each.add_profile(replace(COPY, name="a\nb")), ValueRefused, "name"),
    ("a name with half a surrogate", lambda each: each.add_profile(replace(COPY, name="a\udcff")), ValueRefused, "name"),
    ("a name that is taken", lambda each: each.add_profile(COPY), AlreadyTaken, "name"),
    ("a long description", lambda each: each.add_profile(replace(COPY, name="b", description="x" * 9_000)), ValueRefused, "description"),
    ("NUL in arguments", lambda each: each.add_profile(replace(COPY, name="b", ffmpeg_args="a\0")), ValueRefused, "ffmpeg_args"),
    ("half a surrogate", lambda each: each.add_profile(replace(COPY, name="b", ffmpeg_args="\ud800")), ValueRefused, "ffmpeg_args"),
    ("a format of capitals", lambda each: each.add_profile(replace(COPY, name="b", output_format="HLS")), ValueRefused, "output_format"),
    (
        "hardware by a path",
        lambda each: each.add_profile(replace(COPY, name="b", hardware_acceleration="/dev/x")),
        ValueRefused,
        "hardware_acceleration",
    ),
    (
        "a segment of NaN seconds",
        lambda each: each.add_profile(replace(COPY, name="b", segment_duration=float("nan"))),
        ValueRefused,
        "segment_duration",
    ),
    ("no segments", lambda each: each.add_profile(replace(COPY, name="b", max_segments=0)), ValueRefused, "max_segments"),
    ("too many segments", lambda each: each.add_profile(replace(COPY, name="b", max_segments=2**40)), ValueRefused, "max_segments"),
    (
        "an endless timeout",
        lambda each: each.add_profile(replace(COPY, name="b", input_timeout=float("inf"))),
        ValueRefused,
        "input_timeout",
    ),
    ("an unknown profile", lambda each: each.change_profile(99, COPY), UnknownRecord, "id"),
    ("a profile beyond all numbers", lambda each: each.profile(2**70), UnknownRecord, "id"),
    ("a profile that is used", lambda each: each.remove_profile(each.profiles()[0].id), StillUsed, "id"),
    ("a proxy without a source", lambda each: each.add_proxy(ProxyDraft("b", "  ")), ValueRefused, "source"),
    ("a source of two lines", lambda each: each.add_proxy(ProxyDraft("b", "a\r\nHost: b")), ValueRefused, "source"),
    ("a refresh each second", lambda each: each.add_proxy(ProxyDraft("b", "b.m3u", 1.0)), ValueRefused, "refresh_s"),
    ("an id with a slash", lambda each: each.add_proxy(ProxyDraft("b", "b.m3u", id="../b")), ValueRefused, "id"),
    ("an id that is taken", lambda each: each.add_proxy(ProxyDraft("b", "b.m3u", id="my-list")), AlreadyTaken, "id"),
    ("a proxy's name that is taken", lambda each: each.add_proxy(replace(LIST, id="b")), AlreadyTaken, "name"),
    ("another id", lambda each: each.change_proxy("my-list", replace(LIST, id="b")), ValueRefused, "id"),
    ("a proxy that is relayed", lambda each: each.remove_proxy("my-list"), StillUsed, "id"),
    ("a proxy with NUL", lambda each: each.proxy("a\0"), UnknownRecord, "id"),
    ("channels of another", lambda each: each.replace_channels("my-list", [channel(1, "b")], 1.0), ValueRefused, "channel_id"),
    ("channels of nobody", lambda each: each.replace_channels("b", [], 1.0), UnknownRecord, "id"),
    ("an unknown proxy", lambda each: each.add_config(ConfigDraft("b", "channel-1", 1, "B")), UnknownReference, "proxy_id"),
    ("an unknown channel", lambda each: each.add_config(ConfigDraft("my-list", "channel-9", 1, "B")), UnknownReference, "channel_id"),
    ("a channel with NUL", lambda each: each.add_config(ConfigDraft("my-list", "a\0", 1, "B")), UnknownReference, "channel_id"),
    ("an unknown profile", lambda each: each.add_config(ConfigDraft("my-list", "channel-1", 99, "B")), UnknownReference, "profile_id"),
    (
        "a channel that is relayed",
        lambda each: each.add_config(ConfigDraft("my-list", "channel-0", each.profiles()[0].id, "B")),
        AlreadyTaken,
        "channel_id",
    ),
    (
        "long arguments",
        lambda each: each.add_config(ConfigDraft("my-list", "channel-1", each.profiles()[0].id, "B", "x" * 9_000)),
        ValueRefused,
        "custom_args",
    ),
    *(
        (
            f"an odd {field}",
            lambda each, field=field, value=value: each.change_config(1, replace(FIRST, **{field: value})),
            ValueRefused,
            field,
        )
        for field, value in (("lifecycle", "at times"), ("hardware_fallback", "gpu"), ("idle_seconds", 1.0), ("idle_seconds", float("nan")))
    ),
    ("an unknown relay", lambda each: each.remove_config(-1), UnknownRecord, "id"),
]


def test_a_wrong_edit_is_refused_by_the_field_and_changes_nothing(place: Place, relays: Relays) -> None:
    relayed(relays)
    before = (relays.profiles(), relays.proxies(), relays.configs(), relays.channels("my-list"))
    for what, edit, kind, field in REFUSED:
        with pytest.raises(EditRefused) as caught:
            edit(relays)
        assert (type(caught.value), caught.value.field) == (kind, field), what
        assert SECRET not in str(caught.value)
    again = place.open().relays
    assert (again.profiles(), again.proxies(), again.configs(), again.channels("my-list")) == before


def test_what_a_relay_has_may_stay_though_its_channel_went_and_its_profile_is_inactive(relays: Relays) -> None:
    config_id = relayed(relays)
    profile_id = relays.profiles()[0].id
    relays.change_profile(profile_id, replace(COPY, is_active=False))
    relays.replace_channels("my-list", [channel(1)], 1_000.0)
    assert relays.change_config(config_id, ConfigDraft("my-list", "channel-0", profile_id, "Still")).name == "Still"
    with pytest.raises(ValueRefused, match="profile_id"):
        relays.add_config(ConfigDraft("my-list", "channel-1", profile_id, "New"))


def test_system_profiles_are_read_only_and_follow_the_version(place: Place, relays: Relays) -> None:
    relays.add_profile(ProfileDraft("Low latency", "mine"))
    first = relays.keep_system_profiles([ProfileDraft("TS", "-c copy"), ProfileDraft("Old", "x"), ProfileDraft("Used", "y")])
    assert relays.keep_system_profiles([ProfileDraft("TS", "-c copy"), ProfileDraft("Old", "x"), ProfileDraft("Used", "y")]) == first
    for edit in (lambda: relays.change_profile(first[0].id, COPY), lambda: relays.remove_profile(first[0].id)):
        with pytest.raises(ReadOnlyRecord):
            edit()
    relays.add_proxy(LIST)
    relays.replace_channels("my-list", [channel(0)], 1.0)
    relays.add_config(ConfigDraft("my-list", "channel-0", first[2].id, "First"))
    for _ in range(2):
        relays.keep_system_profiles([ProfileDraft("TS", "-c copy -muxdelay 0"), ProfileDraft("Low latency", "system's")])
    found = [(each.name, each.ffmpeg_args, each.is_system_default) for each in place.open().relays.profiles()]
    assert found == [
        ("Low latency (system)", "system's", True),
        ("TS", "-c copy -muxdelay 0", True),
        ("Low latency", "mine", False),
        ("Used", "y", False),
    ]
    assert relays.profiles()[1].id == first[0].id


def test_a_newer_list_changes_what_it_must(relays: Relays) -> None:
    relayed(relays)
    newer = [channel(0), channel(1, title="Renamed"), channel(3, position=2)]
    changes = relays.replace_channels("my-list", newer, 2_000.0)
    assert (changes.added, changes.changed, changes.removed) == (1, 1, 1)
    assert relays.channels("my-list") == newer and relays.proxy("my-list").fetched_at_s == 2_000.0
    same = relays.replace_channels("my-list", newer, 3_000.0)
    assert (same.added, same.changed, same.removed) == (0, 0, 0)


def test_a_channel_that_is_relayed_stays_when_its_list_has_it_no_more_and_goes_with_its_relay(relays: Relays) -> None:
    config_id = relayed(relays)
    changes = relays.replace_channels("my-list", [channel(1)], 2_000.0)
    assert (changes.added, changes.changed, changes.removed) == (0, 0, 2)
    assert relays.channels("my-list") == [channel(0, is_listed=False), channel(1)]
    assert relays.replace_channels("my-list", [channel(1)], 3_000.0).removed == 0
    assert relays.replace_channels("my-list", [channel(0), channel(1)], 4_000.0).changed == 1
    assert relays.channel("my-list", "channel-0") == channel(0)
    relays.replace_channels("my-list", [channel(1)], 5_000.0)
    relays.remove_config(config_id)
    assert relays.replace_channels("my-list", [channel(1)], 6_000.0).removed == 1
    assert relays.channels("my-list") == [channel(1)]


def test_channels_are_found_by_group_and_title_a_page_at_a_time(relays: Relays) -> None:
    relays.add_proxy(LIST)
    many = [channel(number, group=("Näws", None)[number % 2]) for number in range(10)]
    relays.replace_channels("my-list", many, 1_000.0)
    assert [each.position for each in relays.channels("my-list", ChannelFilter(after=3), 2)] == [4, 5]
    assert [each.position for each in relays.channels("my-list", ChannelFilter(group="Näws"))] == [0, 2, 4, 6, 8]
    assert [each.position for each in relays.channels("my-list", ChannelFilter(search="NNEL 7"))] == [7]
    relays.replace_channels("my-list", [replace(many[3], title="Первый канал ÖRF")], 2_000.0)
    for words in ("ПЕРВЫЙ", "первый", "Канал ö", "örf"):
        assert [each.position for each in relays.channels("my-list", ChannelFilter(search=words))] == [3]
    relays.replace_channels("my-list", many, 3_000.0)
    for nothing in (ChannelFilter(search="%"), ChannelFilter(search="\0\udcff"), ChannelFilter(after=2**70), ChannelFilter(group="a\0")):
        assert relays.channels("my-list", nothing) == []
    assert relays.groups("my-list") == [("Näws", 5), (None, 5)]
    assert relays.channel("my-list", "channel-7") == many[7]


def test_a_failed_fetch_is_noted_without_its_password(relays: Relays) -> None:
    relayed(relays)
    noted = relays.note_failure("my-list", f"no answer from {LIST.source}")
    assert noted.last_error is not None and SECRET not in noted.last_error and "lists.test" in noted.last_error
    assert len(relays.channels("my-list")) == 3
    relays.replace_channels("my-list", [channel(1)], 1_000.0)
    assert relays.proxy("my-list").last_error is None


def test_no_secret_is_in_a_record_shown(relays: Relays) -> None:
    relayed(relays)
    shown = [LIST, relays.proxies(), relays.channels("my-list"), relays.configs(), ConfigDraft("a", "b", 1, "n", SECRET)]
    assert SECRET not in repr(shown)


def test_status_and_events_are_written_without_waiting_and_without_secrets(place: Place, relays: Relays) -> None:
    config_id = relayed(relays)
    store = place.open()
    for clients in range(50):
        store.relays.save_status(RelayStatus(config_id, "running", 4242, 1.0, 2.0, 2**40, clients, "main", 1, f"lost rtsp://a:{SECRET}@b/"))
    store.relays.save_status(RelayStatus(config_id + 7, "running"))
    first = store.relays.add_event(config_id, "source_lost", {"url": f"rtsp://a:{SECRET}@b/", "tried": [f"http://b/?key={SECRET}", 3]})
    second = store.relays.add_event(config_id + 7, "stopped", {})
    store.flush(20.0)
    again = place.open().relays
    (status,) = again.statuses().values()
    assert (status.clients, status.bytes, status.pid, status.source) == (49, 2**40, 4242, "main")
    assert again.events() == [second, first] and again.events(config_id) == [first] and again.events(before=second.id) == [first]
    assert first.details["tried"][1] == 3 and SECRET not in f"{first}{status}"
    assert again.add_event(config_id, "next", {}).id == second.id + 1
    again.remove_config(config_id)
    assert again.statuses() == {} and first in again.events(config_id)


def test_edits_of_many_people_at_once_are_each_made_or_refused(place: Place, relays: Relays) -> None:
    relays.add_proxy(LIST)
    relays.replace_channels("my-list", [channel(number) for number in range(10)], 1.0)
    profile_id = relays.add_profile(COPY).id
    made: list[int] = []
    refused: list[str] = []

    def insist() -> None:
        for number in range(10):
            try:
                made.append(relays.add_config(ConfigDraft("my-list", f"channel-{number}", profile_id, "One")).id)
            except AlreadyTaken as error:
                refused.append(error.field)

    threads = [threading.Thread(target=insist) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert len(made) == len(set(made)) == 10 and refused == ["channel_id"] * 30
    assert len(place.open().relays.configs()) == 10


def test_two_lists_that_come_at_once_leave_one_of_them_whole(relays: Relays) -> None:
    relays.add_proxy(LIST)
    lists = [[channel(number, title=f"List {each}") for number in range(each, 300 + each)] for each in range(4)]
    threads = [threading.Thread(target=relays.replace_channels, args=("my-list", each, 1.0 + each[0].position)) for each in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert relays.channels("my-list") in lists


def test_an_edit_of_a_locked_database_is_refused_and_may_be_repeated(tmp_path: Path) -> None:
    place = Place(tmp_path, None)
    relays = place.open().relays
    relays.add_profile(replace(COPY, name="Before"))
    other = sqlite3.connect(tmp_path / "channeld.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):
            relays.add_profile(COPY)
    finally:
        other.close()
    assert relays.add_profile(COPY).name == "Copy"
    place.close()
    with pytest.raises(StoreError, match="nothing was changed"):
        relays.add_profile(replace(COPY, name="Late"))


def test_what_people_made_outlives_a_database_that_was_removed(tmp_path: Path) -> None:
    """Channels come of the list again, which is to be fetched at once; ids stay."""
    place = Place(tmp_path, None)
    store = place.open()
    config_id = relayed(store.relays)
    gone = store.relays.add_profile(replace(COPY, name="Gone"))
    store.relays.remove_profile(gone.id)
    for path in tmp_path.glob("channeld.db*"):
        path.unlink()
    assert store.relays.add_profile(replace(COPY, name="New")).name == "New"
    again = place.open().relays
    assert [each.name for each in again.profiles()] == ["Copy", "New"] and again.proxy("my-list").fetched_at_s is None
    assert [each.id for each in again.configs()] == [config_id] and again.channels("my-list") == []
    place.close()


def test_what_cannot_be_written_puts_no_password_into_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A statement's values are in no error of the driver's."""
    place = Place(tmp_path, None)
    relays = place.open().relays
    relays.add_proxy(LIST)
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError) as caught:
        relays.replace_channels("my-list", [channel(1, title=None), channel(2)], 1.0)
    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert SECRET not in told and relays.channels("my-list") == []
    assert relays.add_profile(COPY).name == "Copy"
    place.close()
