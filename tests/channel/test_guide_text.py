"""The guide is valid XMLTV and the list a readable M3U, whatever titles and names hold."""

from hypothesis import given
from hypothesis import strategies as st
from listings import read_m3u, read_xmltv, shown

from channeld.channel.guide_text import ListedChannel, Programme, m3u_entries, xmltv, xmltv_programmes
from channeld.channel.settings import Listing

FIRST_S = 1_800_000_000.0
LISTED = ListedChannel("live1", "Live One", Listing(7, "https://example.com/one.png", "News"), "/hls/live1/index.m3u8")
ANYTHING = st.text(st.characters(), max_size=40)


def written(*programmes: Programme, channel: ListedChannel = LISTED) -> bytes:
    return xmltv([channel], [xmltv_programmes(channel.id, programmes)]).encode()


def test_a_channel_has_its_name_its_number_and_its_logo():
    (channel,) = read_xmltv(written()).iter("channel")
    assert channel.get("id") == "live1"
    assert [name.text for name in channel.iter("display-name")] == ["Live One", "7"]
    assert [icon.get("src") for icon in channel.iter("icon")] == ["https://example.com/one.png"]


def test_a_programme_has_its_title_and_moments_with_their_zone():
    document = written(Programme(FIRST_S, FIRST_S + 90.4, "Käse & <Wurst>", "e1"))
    (programme,) = read_xmltv(document).iter("programme")
    assert programme.get("start") == "20270115080000 +0000"
    (told,) = shown(document)
    assert (told.title, told.starts_s, told.stops_s) == ("Käse & <Wurst>", FIRST_S, FIRST_S + 90)


def test_what_does_not_reach_the_next_second_is_left_out():
    assert shown(written(Programme(FIRST_S + 0.1, FIRST_S + 0.9, "blink"))) == []


@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_title_or_name_breaks_the_document(title: str, name: str, logo: str):
    channel = ListedChannel("one", name, Listing(None, logo), None)
    (told,) = shown(written(Programme(FIRST_S, FIRST_S + 1, title), channel=channel))
    assert told.channel == "one" and len(told.title or "") == len(title)


def test_a_list_names_what_players_ask_for():
    _, (station,) = read_m3u("#EXTM3U\n" + m3u_entries([LISTED]))
    assert station.attributes == {
        "tvg-id": "live1",
        "tvg-name": "Live One",
        "tvg-chno": "7",
        "tvg-logo": "https://example.com/one.png",
        "group-title": "News",
    }
    assert (station.name, station.url) == ("Live One", "/hls/live1/index.m3u8")


def test_a_channel_without_a_stream_is_in_the_guide_only():
    silent = ListedChannel("dark", "Dark", Listing(), None)
    assert m3u_entries([silent]) == ""
    assert [channel.get("id") for channel in read_xmltv(written(channel=silent)).iter("channel")] == ["dark"]


@given(ANYTHING, ANYTHING)
def test_no_name_breaks_a_line_of_the_list(name: str, group: str):
    entry = m3u_entries([ListedChannel("one", name, Listing(None, None, group), "/hls/one/index.m3u8")])
    entry.encode()
    _, stations = read_m3u("#EXTM3U\n" + entry)
    assert [station.attributes["tvg-id"] for station in stations] == ["one"]
    assert set(stations[0].attributes) == {"tvg-id", "tvg-name", "group-title"}
