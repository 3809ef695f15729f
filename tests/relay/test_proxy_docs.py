"""What docs/relay-proxies.md shows is what happens."""

import re
from pathlib import Path

from channeld.relay import proxy_m3u
from channeld.relay.proxy_export import export
from channeld.relay.proxy_m3u import parse


def test_the_lists_of_the_document_are_read_and_written_as_it_says(repository: Path) -> None:
    text = (repository / "docs" / "relay-proxies.md").read_text()
    imported, exported = re.findall(r"^```m3u\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = parse(imported.encode(), schemes=["https", "http", "rtsp", "udp"])
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \| (.*?) ?\|$", text, re.MULTILINE)
    assert [(each.channel_id, each.title, each.group or "") for each in found.entries] == rows
    (told,) = re.findall(r"`line (\d+): (.+?)`", text)
    assert [(str(fault.line), fault.message) for fault in found.faults] == [told]
    numbers = {"news-example-2": 7, "news-example": 4, "ocean": 9, "239-0-0-1": 2}
    assert export(found.entries, lambda channel_id: f"http://relay.example.org/api/v1/relay/{numbers[channel_id]}/stream.ts") == exported


def test_the_limits_of_the_document_are_those_of_the_parser(repository: Path) -> None:
    text = (repository / "docs" / "relay-proxies.md").read_text()
    rows = dict(re.findall(r"^\| (.+?) \| ([\d,]+)(?: \w+)? \| ", text, re.MULTILINE))
    shown = {what: int(number.replace(",", "")) for what, number in rows.items()}
    assert shown == {
        "bytes": proxy_m3u.CAPS.bytes >> 20,
        "entries, those with faults included": proxy_m3u.CAPS.entries,
        "lines": proxy_m3u.CAPS.lines,
        "one line": proxy_m3u.MAX_LINE,
        "a URL": proxy_m3u.MAX_URL,
        "attributes of an entry": proxy_m3u.MAX_ATTRIBUTES,
        "options of an entry": proxy_m3u.MAX_OPTIONS,
        "a title": proxy_m3u.MAX_TITLE,
        "faults told": proxy_m3u.MAX_FAULTS,
    }
