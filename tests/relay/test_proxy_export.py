"""A list of relayed addresses: every attribute is there, no upstream's address, and any player reads it."""

from channeld.relay.proxy_export import export
from channeld.relay.proxy_m3u import ProxyEntry, parse

ATTRIBUTES = {"tvg-id": "one.uk", "group-title": "A, B"}
ENTRY = ProxyEntry("one", "One, the first", "http://me:s3cr3t@cam.test/", ATTRIBUTES, "A, B", ("#EXTVLCOPT:a=b",))


def address(channel_id: str) -> str:
    return f"http://relay.test/{channel_id}/stream.ts"


def test_a_list_has_the_relays_addresses_and_all_attributes() -> None:
    assert export([ENTRY], address, {"url-tvg": "http://g.test/"}) == (
        '#EXTM3U url-tvg="http://g.test/"\n#EXTINF:-1 tvg-id="one.uk" group-title="A, B",One, the first\nhttp://relay.test/one/stream.ts\n'
    )
    assert export([], address) == "#EXTM3U\n"


def test_what_would_break_a_line_is_not_written() -> None:
    hostile = ProxyEntry("one", "A\nhttp://evil.test/", "http://a/", {'x"=, \n': 'a"b\nc', "\n": "gone"})
    text = export([hostile], address)
    assert text.splitlines()[1:] == ['#EXTINF:-1 x="a\'b c",A http://evil.test/', "http://relay.test/one/stream.ts"]
    (entry,) = parse(text.encode(), schemes=["http"]).entries
    assert (entry.title, dict(entry.attributes)) == ("A http://evil.test/", {"x": "a'b c"})
