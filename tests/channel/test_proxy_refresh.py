"""A proxy's list is fetched, imported and, when it cannot be, noted; its channels keep their ids."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from channeld.base.clock import FakeClock
from channeld.channel.proxy_refresh import Refresh, due_in_s, refresh_once, relayed_list
from channeld.media.list_fetch import ListReader
from channeld.media.pinned import FetchRules
from channeld.relay import proxy_m3u
from channeld.store.relay_errors import UnknownRecord
from channeld.store.relay_records import ChannelChanges, ProxyChannel, ProxyDraft
from channeld.store.relays import Relays
from channeld.store.store import Store

SCHEMES = ("rtsp", "http")


class House:
    """A folder of lists, and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(wall_s=1_000.0)
        self.store = Store(folder / "state", clock=self.clock)
        self.store.open()
        self.store.start()
        self.relays: Relays = self.store.relays
        self.reader = ListReader(FetchRules(), [folder], base=folder)
        self.relays.add_proxy(ProxyDraft("TV", "tv.m3u", 600.0))

    def write(self, *entries: tuple[str, str]) -> None:
        text = "".join(f'#EXTINF:-1 tvg-id="{title}" tvg-logo="http://l.test/",{title}\n{url}\n' for title, url in entries)
        (self.folder / "tv.m3u").write_text("#EXTM3U\n" + text)

    def refresh(self) -> Refresh:
        return refresh_once("tv", relays=self.relays, reader=self.reader, schemes=SCHEMES, clock=self.clock, should_stop=lambda: False)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def test_a_list_is_imported_and_told_what_changed_and_what_was_left_out(house: House) -> None:
    house.write(("One", "rtsp://u:p@one.test/"), ("Two", "file:///etc/passwd"), ("Three", "http://three.test/"))
    done = house.refresh()
    assert (done.error, done.channels, done.changes, done.left_out) == (None, 2, ChannelChanges(2, 0, 0), 1)
    assert done.faults[0].line == 5
    assert [(each.channel_id, each.url) for each in house.relays.channels("tv")] == [
        ("one", "rtsp://u:p@one.test/"),
        ("three", "http://three.test/"),
    ]
    assert house.relays.proxy("tv").fetched_at_s == 1_000.0


def test_channels_keep_their_ids_in_another_order_and_with_other_addresses(house: House) -> None:
    house.write(("News", "http://a.test/1"), ("News", "http://a.test/2"), ("Films", "http://a.test/3"))
    house.refresh()
    before = {each.url: each.channel_id for each in house.relays.channels("tv")}
    house.write(("Films", "http://a.test/3?token=2"), ("News", "http://a.test/0"), ("News", "http://a.test/2"), ("News", "http://a.test/1"))
    done = house.refresh()
    after = {each.url: each.channel_id for each in house.relays.channels("tv")}
    assert {url: after[url] for url in ("http://a.test/1", "http://a.test/2")} == {
        url: before[url] for url in ("http://a.test/1", "http://a.test/2")
    }
    assert after["http://a.test/3?token=2"] == before["http://a.test/3"] and after["http://a.test/0"] == "news-3"
    assert done.changes == ChannelChanges(1, 3, 0)


def test_a_list_that_cannot_be_had_is_noted_and_its_channels_stay(house: House) -> None:
    house.write(("One", "http://one.test/"))
    house.refresh()
    (house.folder / "tv.m3u").write_text("<html>Sign in</html>")
    done = house.refresh()
    assert done.error is not None and "web page" in done.error and house.relays.proxy("tv").last_error == done.error
    (house.folder / "tv.m3u").unlink()
    assert "No such file" in str(house.refresh().error)
    assert len(house.relays.channels("tv")) == 1
    house.write(("One", "http://one.test/"))
    assert house.refresh().error is None and house.relays.proxy("tv").last_error is None


def test_no_password_of_a_source_is_noted(house: House) -> None:
    house.relays.change_proxy("tv", ProxyDraft("TV", "rtsp://me:s3cr3t@a.test/get?password=s3cr3t", None))
    error = house.refresh().error
    assert error is not None and "scheme rtsp" in error and "s3cr3t" not in error


def test_an_unknown_proxy_is_no_failure_of_a_list(house: House) -> None:
    with pytest.raises(UnknownRecord):
        refresh_once("no", relays=house.relays, reader=house.reader, schemes=SCHEMES, clock=house.clock, should_stop=lambda: False)


def test_a_list_is_due_at_once_then_after_its_refresh_and_at_once_when_the_clock_was_set_back(house: House) -> None:
    proxy = house.relays.proxy("tv")
    assert due_in_s(proxy, 1_000.0) == 0.0
    house.write(("One", "http://one.test/"))
    house.refresh()
    proxy = house.relays.proxy("tv")
    assert [due_in_s(proxy, now_s) for now_s in (1_000.0, 1_400.0, 9_999.0, 0.0)] == [600.0, 200.0, 0.0, 0.0]
    house.relays.change_proxy("tv", ProxyDraft("TV", "tv.m3u", None))
    assert due_in_s(house.relays.proxy("tv"), 9_999.0) is None


def test_what_leads_to_the_provider_is_not_told_to_viewers() -> None:
    secret = "http://p.test/x?username=bob&password=geheim"
    attributes = {"tvg-id": "a", "tvg-logo": secret, "catchup-source": "http://p.test/timeshift/bob/geheim/1", "catchup": "default"}
    attributes |= {"catchup-template": "?utc={utc}&token=geheim", "tvg-rec": "bob:geheim@p.test", "x-own": "geheim"}
    plain = {"tvg-logo": "http://l.test/a.png?v=1", "group-title": "News & Sports = A&E?"}
    channels = [ProxyChannel("tv", name, 0, name, secret, each, None, ()) for name, each in (("a", attributes), ("b", plain))]
    text = relayed_list(channels, lambda channel_id: f"http://relay.test/{channel_id}")
    assert "geheim" not in text and "p.test" not in text
    assert 'tvg-id="a" catchup="default"' in text and "http://l.test/a.png?v=1" in text
    assert 'group-title="News & Sports = A&E?"' in text


def test_an_imported_list_is_written_with_the_addresses_of_its_relays(house: House) -> None:
    house.write(("One", "http://me:s3cr3t@one.test/"), ("Two, too", "http://two.test/"))
    house.refresh()
    text = relayed_list(house.relays.channels("tv"), lambda channel_id: f"http://relay.test/{channel_id}")
    assert "s3cr3t" not in text
    again = proxy_m3u.parse(text.encode(), schemes=SCHEMES).entries
    assert [(each.channel_id, each.title, each.url, each.attributes["tvg-logo"]) for each in again] == [
        ("one", "One", "http://relay.test/one", "http://l.test/"),
        ("two-too", "Two, too", "http://relay.test/two-too", "http://l.test/"),
    ]
