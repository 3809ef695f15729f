"""Entries to an M3U list again: a proxy's channels under the addresses of their relays.

Rule: what `proxy_m3u` would not read is not written: a value loses its quotation marks, a text its control characters. Options are not
written: they are for whoever asks the upstream. Pure.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_KEY = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029,\"=]")


class Listed(Protocol):
    """What is told of a channel."""

    @property
    def channel_id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...


def export(channels: Iterable[Listed], address: Callable[[str], str], attributes: Mapping[str, str] | None = None) -> str:
    """The list, LF at the end of each line. `address` gives a channel id's relay; `attributes` are for `#EXTM3U`."""
    return "".join(f"{line}\n" for line in _lines(channels, address, attributes or {}))


def _lines(channels: Iterable[Listed], address: Callable[[str], str], attributes: Mapping[str, str]) -> Iterator[str]:
    yield f"#EXTM3U{_written(attributes)}"
    for channel in channels:
        yield f"#EXTINF:-1{_written(channel.attributes)},{_CONTROL.sub(' ', channel.title)}"
        yield address(channel.channel_id)


def _written(attributes: Mapping[str, str]) -> str:
    values = ((_KEY.sub("", key), _CONTROL.sub(" ", value).replace('"', "'")) for key, value in attributes.items())
    return "".join(f' {key}="{value}"' for key, value in values if key)
