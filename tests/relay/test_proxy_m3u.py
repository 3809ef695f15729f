"""An M3U list of upstream channels: what is in it is imported, what is wrong is told by its line."""

import pytest

from channeld.relay import proxy_m3u
from channeld.relay.proxy_m3u import Caps, Fault, ProxyList, ProxyListError, parse

SCHEMES = ("http", "https", "rtsp", "udp")
URL = "http://cam.test/live.ts"


def read(text: str | bytes) -> ProxyList:
    return parse(text.encode() if isinstance(text, str) else text, schemes=SCHEMES)


def test_all_attributes_of_an_entry_are_kept_with_commas_in_quotes_and_in_the_title() -> None:
    guide = 'tvg-id="one.uk" tvg-name="One, two" TVG-Logo="http://l.test/1.png?a=b,c" tvg-shift=-1'
    (entry,) = read(f'#EXTM3U\n#EXTINF:-1 {guide} group-title="News, World",Hello, "you"\n{URL}\n').entries
    assert (entry.channel_id, entry.title, entry.url, entry.group) == ("one-uk", 'Hello, "you"', URL, "News, World")
    assert dict(entry.attributes) == {
        "tvg-id": "one.uk",
        "tvg-name": "One, two",
        "tvg-logo": "http://l.test/1.png?a=b,c",
        "tvg-shift": "-1",
        "group-title": "News, World",
    }


def test_attributes_of_the_header_are_kept_and_one_that_cannot_be_read_does_no_harm() -> None:
    assert read(f'#EXTM3U url-tvg="http://g.test/e.xml" x-shift=2\n{URL}').attributes == {"url-tvg": "http://g.test/e.xml", "x-shift": "2"}
    assert read(f'#EXTM3U url-tvg="http://g.test\n{URL}').attributes == {}


def test_a_title_that_is_missing_is_taken_from_names_and_never_from_the_path_of_the_url() -> None:
    lines = [
        f'#EXTINF:-1 tvg-name="Name" tvg-id="i1",\n{URL}',
        f'#EXTINF:0 tvg-id="i2"\n{URL}',
        "http://cam.test/me/s3cr3t",
        "udp://@239.0.0.1:1234",
    ]
    found = read("\n".join(lines))
    assert [(each.title, each.channel_id) for each in found.entries] == [
        ("Name", "i1"),
        ("i2", "i2"),
        ("cam.test", "cam-test"),
        ("239.0.0.1", "239-0-0-1"),
    ]


def test_a_group_line_counts_for_its_entry_or_before_one_for_all_that_follow() -> None:
    text = f"""#EXTM3U
#EXTGRP:Films
#EXTINF:-1,A
{URL}?a
#EXTINF:-1,B
#EXTGRP: News
{URL}?b
#EXTINF:-1 group-title="Kids",C
{URL}?c
#EXTINF:-1,D
{URL}?d
#EXTGRP:
#EXTINF:-1,E
{URL}?e
"""
    assert [(each.group, each.attributes.get("group-title")) for each in read(text).entries] == [
        (name, name) for name in ("Films", "News", "Kids", "Films", None)
    ]


def test_options_are_kept_and_mean_nothing() -> None:
    text = f"#EXTVLCOPT:http-user-agent=X\n#EXTINF:-1,A\n#KODIPROP:a=b\n# a word\n{URL}|User-Agent=Y&Cookie=z\n#EXTINF:-1,B\n{URL}?b"
    first, second = read(text).entries
    assert first.options == ("#EXTVLCOPT:http-user-agent=X", "#KODIPROP:a=b", "|User-Agent=Y&Cookie=z")
    assert (first.url, second.options) == (URL, ())


@pytest.mark.parametrize(
    ("content", "encoding", "title"),
    [
        (f"\ufeff#EXTM3U\r\n#EXTINF:-1,Ärte\r\n{URL}\r\n".encode(), "utf-8", "Ärte"),
        (f"#EXTM3U\r#EXTINF:-1,Ärte\r{URL}\r".encode(), "utf-8", "Ärte"),
        (f"#EXTM3U\n#EXTINF:-1,Ärte\n{URL}".encode("latin-1"), "latin-1", "Ärte"),
        (f"#EXTM3U\n#EXTINF:-1,Ärte\n{URL}".encode("utf-16"), "utf-16", "Ärte"),
        (f"#extm3u\n#extinf:-1,\x1b[31mÄrte\x85\x00\n{URL}".replace("\0", "").encode(), "utf-8", "[31mÄrte"),
    ],
)
def test_lists_of_all_lands_and_editors_are_read(content: bytes, encoding: str, title: str) -> None:
    found = read(content)
    assert (found.encoding, found.entries[0].title, found.entries[0].url) == (encoding, title, URL)


def test_an_entry_with_a_fault_is_left_out_and_told_and_the_others_are_there() -> None:
    text = f"""#EXTM3U
#EXTINF:-1,No address
#EXTINF:-1 tvg-id="open,Broken
{URL}
#EXTINF:-1,File
films/a.mp4

#EXTINF:-1,Good
{URL}
#EXTINF:-1,Last
"""
    found = read(text)
    assert [each.title for each in found.entries] == ["Good"]
    assert found.left_out == 4
    assert found.faults == (
        Fault(2, "no URL follows this #EXTINF"),
        Fault(4, "a quotation mark is not closed, or stands inside of a value"),
        Fault(6, "this is no URL: a list of upstream channels has no files and no relative addresses"),
        Fault(10, "no URL follows this #EXTINF"),
    )


def test_a_line_that_is_too_long_costs_its_entry_only() -> None:
    long = "x" * proxy_m3u.MAX_LINE
    text = f"#{long}\n#EXTINF:-1,A\n{URL}\n#EXTINF:-1,{long}\n{URL}\nhttp://{long}\n#EXTINF:-1,B\n{URL}?b"
    found = read(text)
    assert [each.title for each in found.entries] == ["A", "B"]
    assert [fault.line for fault in found.faults] == [5, 6] and all("longer than" in fault.message for fault in found.faults)


def test_many_faults_are_counted_and_some_of_them_told() -> None:
    found = read("films/a.mp4\n" * (proxy_m3u.MAX_FAULTS + 5) + URL)
    assert (len(found.faults), found.left_out, len(found.entries)) == (proxy_m3u.MAX_FAULTS, proxy_m3u.MAX_FAULTS + 5, 1)


def test_what_one_entry_may_hold_is_bounded() -> None:
    attributes = " ".join(f"a{number}=1" for number in range(proxy_m3u.MAX_ATTRIBUTES + 1))
    options = "#EXTVLCOPT:a=b\n" * 100
    found = read(f"#EXTINF:-1 {attributes},Many\n{URL}\n#EXTINF:-1,{'t' * 9_000}\n{options}{URL}")
    (entry,) = found.entries
    assert found.faults == (Fault(2, f"more than {proxy_m3u.MAX_ATTRIBUTES} attributes"),)
    assert (len(entry.title), len(entry.options)) == (proxy_m3u.MAX_TITLE, proxy_m3u.MAX_OPTIONS)


def test_ten_thousand_entries_are_read_with_all_they_have() -> None:
    line = '#EXTINF:-1 tvg-id="c{0}.test" tvg-logo="http://l.test/{0}.png" group-title="G{1}",Channel {0}\nhttp://u:p@h.test/{0}.ts\n'
    found = read("#EXTM3U\n" + "".join(line.format(number, number % 7) for number in range(10_000)))
    assert (len(found.entries), found.left_out) == (10_000, 0)
    assert found.entries[9_999].channel_id == "c9999-test" and len({each.channel_id for each in found.entries}) == 10_000


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no entry"),
        (b"\xef\xbb\xbf\r\n\r\n", "no entry"),
        (b"#EXTM3U\n# nothing here\n", "no entry"),
        (b"\x00\x01\x02", "not text"),
        (b"#EXTM3U\n#EXTINF:-1,\x81\x8d\n" + URL.encode(), "not text"),
        (b"\xff\xfe\x00", "not text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not text"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\n\n<?xml version='1.0'?><playlist/>", "web page"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://a.test/1.ts\n", "HLS manifest"),
        (b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://a.test/1.m3u8\n", "HLS manifest"),
        (b"#EXTM3U\n/etc/passwd\n", "Line 2: this is no URL"),
        (b"x" * ((16 << 20) + 1), "larger than 16 MiB"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_list_of_which_nothing_can_be_had_is_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(ProxyListError, match=why):
        read(content)


CAPPED = [(b"#\n", "lines"), (b"a\n", "entries"), (b"http://a.test/\n", "entries")]


@pytest.mark.parametrize(("line", "what"), CAPPED)
def test_a_list_over_a_cap_is_refused(line: bytes, what: str) -> None:
    caps = Caps(1 << 20, 10, 20)
    with pytest.raises(ProxyListError, match=rf"more than \d0 {what}"):
        parse(line * 21, schemes=SCHEMES, caps=caps)
    assert len(parse(b"http://a.test/\n" * 10 + b"#\n" * 10, schemes=SCHEMES, caps=caps).entries) == 10


@pytest.mark.parametrize(("line", "what"), CAPPED)
def test_a_list_of_many_thousand_lines_is_refused(line: bytes, what: str) -> None:
    with pytest.raises(ProxyListError, match=rf"more than \d+ {what}"):
        read(line * 500_001)


HOSTILE = [
    ("/etc/passwd", "no URL"),
    ("../../etc/passwd", "no URL"),
    ("C:\\clips\\a.ts", "no URL"),
    ("javascript:alert(1)", "no URL"),
    ("-i", "no URL"),
    ("file:///etc/passwd", "scheme file"),
    ("FILE:///etc/passwd", "scheme file"),
    ("concat://a|b", "scheme concat"),
    ("subfile://,,start,0,end,9,,:/etc/passwd", "scheme subfile"),
    ("lavfi://movie=a", "scheme lavfi"),
    ("gopher://a.test/", "scheme gopher"),
    ("data://text/plain,x", "scheme data"),
    ("crypto+http://a.test/", "scheme crypto"),
    ("httpx://a.test/", "scheme httpx"),
    ("http://", "no host"),
    ("http:///live.ts", "no host"),
    ("http://:8080/a", "no host"),
    ("http://user:s3cr3t@/a", "no host"),
    ("http://a.test:0/", "port 0"),
    ("http://a.test:99999/s3cr3t", "not valid"),
    ("http://a.test:x/s3cr3t", "not valid"),
    ("http://[::1/s3cr3t", "not valid"),
    ("http://a.test/a b", "space"),
    ("http://a.test/\x01", "control"),
    ("http://a.test/\x1b[2J", "control"),
    ("http://a.test/\u2028x", "control"),
    ("http://a.test/\xa0x", "space"),
    ("http://a.test/' -f null", "quotation"),
    ('http://a.test/"', "quotation"),
    ("http://a.test\\@b.test/", "backslash"),
    ("http://a.test/`id`", "quotation"),
    ("http://a.test/<script>", "quotation"),
    ("http://a.test/" + "a" * 5_000, "longer than 4096"),
    ("http://a\u2100.test/s3cr3t", "not valid"),
]


def test_the_table_of_hostile_addresses_is_as_long_as_was_promised() -> None:
    assert len(HOSTILE) >= 25


@pytest.mark.parametrize(("url", "why"), HOSTILE)
def test_a_hostile_address_costs_its_entry_and_is_told_without_its_secrets(url: str, why: str) -> None:
    found = read(f"#EXTM3U\n#EXTINF:-1,Bad\n{url}\n#EXTINF:-1,Good\n{URL}\n")
    assert [each.title for each in found.entries] == ["Good"]
    ((line, message),) = [(fault.line, fault.message) for fault in found.faults]
    assert line == 3 and why in message and "s3cr3t" not in message


def test_no_repr_holds_an_address_or_an_option() -> None:
    found = read(f'#EXTINF:-1 tvg-logo="http://l/?k=s3cr3t",A\n#EXTVLCOPT:http-password=s3cr3t\nhttp://u:s3cr3t@cam.test/{"x"}\n')
    assert len(found.entries) == 1 and "s3cr3t" not in repr(found)
