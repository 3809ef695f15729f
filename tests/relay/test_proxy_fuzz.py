"""Whatever stands in a list: entries, faults or a refusal, and nothing else; what is written is read again as the same."""

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from channeld.relay.proxy_export import export
from channeld.relay.proxy_ids import CHANNEL_ID
from channeld.relay.proxy_m3u import ProxyEntry, ProxyList, ProxyListError, parse

SCHEMES = ("http", "rtsp", "udp")
DIRECTIVES = ["#EXTM3U", "#EXTINF:", "#EXTINF:-1", "#EXTGRP:", "#EXTVLCOPT:a=b", 'tvg-id="a"', "group-title="]
PLACES = ["http://a.test/", "http://", "rtsp://u:p@", "file:///", "://"]
MARKS = [*'-1 ,"=|#\t\n\r\u2028\x85\ufeffé漢', "[::1]", ":99999"]
PIECES = st.sampled_from(DIRECTIVES) | st.sampled_from(PLACES) | st.sampled_from(MARKS)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=60).map("".join)
# Lines that make sense, with words in them that need not.
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\r\n"\0'), max_size=12)
LINES = st.builds(
    lambda key, value, title, path: f'#EXTINF:-1 {key}="{value}" tvg-id="{title[:3]}",{title}\nhttp://a.test/{path}\n',
    st.sampled_from(["tvg-name", "group-title", "X", "é=,"]),
    WORDS,
    WORDS,
    st.integers(),
)


def check(found: ProxyList) -> None:
    assert found.entries and len({each.channel_id for each in found.entries}) == len(found.entries)
    for entry in found.entries:
        assert CHANNEL_ID.fullmatch(entry.channel_id) and len(entry.channel_id) <= 64
        assert entry.title and entry.title.strip() == entry.title and "\n" not in entry.title
        assert entry.url.partition("://")[0].lower() in SCHEMES and not any(letter.isspace() for letter in entry.url)


def check_again(found: ProxyList) -> None:
    """The exporter's list, with the very addresses, holds the same entries; options are not exported."""
    urls = {each.channel_id: each.url for each in found.entries}
    again = parse(export(found.entries, urls.__getitem__, found.attributes).encode(), schemes=SCHEMES)
    assert again.faults == () and again.attributes == found.attributes
    assert again.entries == tuple(replace(each, options=()) for each in found.entries)


def read(content: bytes) -> ProxyList | None:
    try:
        return parse(content, schemes=SCHEMES)
    except ProxyListError as error:
        assert str(error)
        return None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_list_or_refused(content: bytes) -> None:
    if (found := read(content)) is not None:
        check(found)


@settings(deadline=None, max_examples=600)
@given(TEXTS, st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_any_text_of_the_format_s_pieces_is_a_list_or_refused_and_written_again_as_it_was(text: str, encoding: str) -> None:
    if (found := read(text.encode(encoding, "replace"))) is not None:
        check(found)
        check_again(found)


@settings(deadline=None, max_examples=300)
@given(st.lists(LINES, min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_a_list_in_another_order_holds_the_same_entries(lines: list[str], random: Random) -> None:
    found = read("".join(lines).encode())
    assert found is not None
    check(found)
    check_again(found)
    random.shuffle(lines)
    again = read("".join(lines).encode())
    assert again is not None

    def by_id(entries: tuple[ProxyEntry, ...]) -> list[tuple[str, str, str]]:
        return sorted((each.channel_id, each.title, each.url) for each in entries)

    assert by_id(again.entries) == by_id(found.entries)
