"""What a player makes of a programme guide and of a list of channels: read by lxml against the DTD, and line by line.

Rule: shares no code with what writes them.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lxml import etree

DTD = etree.DTD(str(Path(__file__).with_name("xmltv.dtd")))
_ATTRIBUTE = re.compile(r'([A-Za-z-]+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Shown:
    """One programme as a viewer sees it, in seconds of the wall clock."""

    channel: str
    title: str
    starts_s: float
    stops_s: float


@dataclass(frozen=True, slots=True)
class Station:
    """One channel of an M3U."""

    attributes: dict[str, str]
    name: str
    url: str


def read_xmltv(document: bytes) -> etree._Element:
    """The document's root. Fails with the DTD's complaints when it is not valid."""
    root = etree.fromstring(document)
    assert DTD.validate(root), DTD.error_log.filter_from_errors()
    return root


def shown(document: bytes, channel: str | None = None) -> list[Shown]:
    """The programmes of a valid document, in its order."""
    return [
        Shown(each.get("channel"), each.findtext("title"), _moment(each.get("start")), _moment(each.get("stop")))
        for each in read_xmltv(document).iter("programme")
        if channel in (None, each.get("channel"))
    ]


def read_m3u(text: str) -> tuple[dict[str, str], list[Station]]:
    """Attributes of the first line, and the channels."""
    first, *lines = text.splitlines()
    assert first.startswith("#EXTM3U"), first
    stations = []
    for info, url in zip(lines[::2], lines[1::2], strict=True):
        assert info.startswith("#EXTINF:-1 ") and not url.startswith("#"), (info, url)
        head, _, name = info.rpartition('",')
        stations.append(Station(dict(_ATTRIBUTE.findall(head + '"')), name, url))
    return dict(_ATTRIBUTE.findall(first)), stations


def _moment(text: str) -> float:
    return datetime.strptime(text, "%Y%m%d%H%M%S %z").timestamp()
