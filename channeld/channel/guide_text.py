"""The programme guide as text: XMLTV and a list of channels in M3U.

Rule: whatever a title holds, the XML is well-formed and the M3U keeps its lines. Channel ids are tvg-ids. Addresses of streams
are written from the listener's root on (`/hls/…`); who serves the list puts the address in front that the viewer came to. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from channeld.channel.settings import Listing

# What XML 1.0 cannot hold, section 2.2: most control characters, surrogates, and two non-characters.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Programme:
    """What airs from `starts_s` to `stops_s`, seconds of the wall clock. `entry` None: the filler, or not known one by one."""

    starts_s: float
    stops_s: float
    title: str
    entry: str | None = None


@dataclass(frozen=True, slots=True)
class ListedChannel:
    """One channel as a guide lists it. `path`: of its stream on the viewers' listener, None where it has none."""

    id: str
    name: str
    listing: Listing
    path: str | None


def xmltv(channels: Iterable[ListedChannel], programmes: Iterable[str]) -> str:
    """The whole document; `programmes` holds each channel's `xmltv_programmes`."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tv SYSTEM "xmltv.dtd">\n<tv generator-info-name="channeld">\n'
    return head + "".join(map(_xmltv_channel, channels)) + "".join(programmes) + "</tv>\n"


def _xmltv_channel(channel: ListedChannel) -> str:
    names = [channel.name, *([str(channel.listing.number)] if channel.listing.number is not None else [])]
    shown = "".join(f"<display-name>{_xml(name)}</display-name>" for name in names)
    icon = f"<icon src={_attribute(channel.listing.logo)}/>" if channel.listing.logo else ""
    return f"  <channel id={_attribute(channel.id)}>{shown}{icon}</channel>\n"


def xmltv_programmes(channel: str, programmes: Iterable[Programme]) -> str:
    """One channel's programmes. What does not reach the next whole second is left out."""
    lines = []
    for each in programmes:
        start, stop = _moment(each.starts_s), _moment(each.stops_s)
        if start < stop:
            title = _xml(each.title)
            lines.append(f'  <programme start="{start}" stop="{stop}" channel={_attribute(channel)}><title>{title}</title></programme>\n')
    return "".join(lines)


def m3u_entries(channels: Iterable[ListedChannel]) -> str:
    """Two lines for each channel that has a stream: its attributes, and the path of its stream. Without the list's first line."""
    return "".join(map(_m3u_entry, channels))


def _m3u_entry(channel: ListedChannel) -> str:
    if channel.path is None:
        return ""
    listing = channel.listing
    attributes = {"tvg-id": channel.id, "tvg-name": channel.name, "tvg-chno": listing.number}
    attributes |= {"tvg-logo": listing.logo, "group-title": listing.group}
    shown = "".join(f' {name}="{_m3u(str(value))}"' for name, value in attributes.items() if value is not None)
    return f"#EXTINF:-1{shown},{_line(channel.name)}\n{channel.path}\n"


def _moment(wall_s: float) -> str:
    """As XMLTV writes moments: whole seconds and the zone."""
    return datetime.fromtimestamp(int(wall_s), UTC).strftime("%Y%m%d%H%M%S +0000")


def _xml(text: str) -> str:
    # A carriage return that stands as it is would be read as a line feed (XML 1.0, 2.11).
    return escape(_NOT_XML.sub(REPLACEMENT, text), {"\r": "&#13;"})


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub(REPLACEMENT, text))


def _line(text: str) -> str:
    return _BREAKS.sub(" ", text).encode(errors="replace").decode().strip()


def _m3u(text: str) -> str:
    # There is no escape for a quotation mark in an attribute of an M3U.
    return _line(text).replace('"', "'")
