"""A proxy's list, fetched once and imported.

Rule: one attempt; what is wrong with the list is noted at the proxy, whose channels stay as they were. When to try is the caller's.
Blocking; run by a thread of whoever refreshes proxies.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from channeld.base.clock import Clock
from channeld.base.redact import has_credentials, redact_source
from channeld.media.list_fetch import ListReader
from channeld.media.pinned import FetchError
from channeld.relay import proxy_export, proxy_m3u
from channeld.relay.proxy_ids import Identity
from channeld.relay.proxy_m3u import Fault, ProxyEntry, ProxyListError
from channeld.store.relay_records import ChannelChanges, ProxyChannel, RelayProxy
from channeld.store.relays import Relays


@dataclass(frozen=True, slots=True)
class Refresh:
    """What an attempt gave. With an `error` nothing was imported; `left_out` entries of the list had faults, of which some are told."""

    proxy_id: str
    at_s: float
    error: str | None = None
    channels: int = 0
    changes: ChannelChanges | None = None
    left_out: int = 0
    faults: tuple[Fault, ...] = ()


_PICTURES = ("tvg-logo", "tvg-logo-small", "logo", "logo-small")
_PLAIN = (
    "group-title",
    "channel-id",
    "channel-number",
    "radio",
    "catchup",
    "catchup-days",
    "parent-code",
    "audio-track",
    "aspect-ratio",
    "type",
)
_LEADS_AWAY = re.compile(r"://|[?&;][\w.-]+=|\S:\S+@\S")


def due_in_s(proxy: RelayProxy, now_s: float) -> float | None:
    """Until the list is to be fetched again; 0 when it never was; None when only somebody's asking does it."""
    if proxy.fetched_at_s is None:
        return 0.0
    if proxy.refresh_s is None:
        return None
    if now_s < proxy.fetched_at_s:
        return 0.0  # the clock was set back, by nobody knows how much: fetched again, it is dated by the one that counts
    return max(0.0, proxy.fetched_at_s + proxy.refresh_s - now_s)


def refresh_once(
    proxy_id: str, *, relays: Relays, reader: ListReader, schemes: Collection[str], clock: Clock, should_stop: Callable[[], bool]
) -> Refresh:
    """Fetch, read and import the list. Raises FetchStopped, UnknownRecord, StoreError."""
    proxy = relays.proxy(proxy_id)
    try:
        content = reader.read(proxy.source, should_stop)
        known = {each.channel_id: _identity(each) for each in relays.channels(proxy_id)}
        found = proxy_m3u.parse(content, schemes=schemes, known=known)
    except (FetchError, ProxyListError) as error:
        reason = str(error).replace(proxy.source, redact_source(proxy.source))
        return Refresh(proxy_id, clock.wall_s(), error=relays.note_failure(proxy_id, reason).last_error)
    at_s = clock.wall_s()
    changes = relays.replace_channels(proxy_id, _channels(proxy_id, found.entries), at_s)
    return Refresh(proxy_id, at_s, None, len(found.entries), changes, found.left_out, found.faults)


def relayed_list(channels: Iterable[ProxyChannel], address: Callable[[str], str]) -> str:
    """Channels of a proxy as an M3U list of relayed addresses, `address` giving each id's.

    For viewers: addresses of the provider are left out, as a password may stand anywhere in them, but for pictures that show none.
    """
    return proxy_export.export((replace(each, attributes=_public(each.attributes)) for each in channels), address)


def _public(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if _is_public(name, value)}


def _is_public(name: str, value: str) -> bool:
    if name in _PICTURES:
        return not has_credentials(value.strip())
    # What a player fetches by the rest, such as catchup-source, is the provider's, and a token may stand in it.
    return (name.startswith("tvg-") or name in _PLAIN) and not _LEADS_AWAY.search(value)


def _identity(channel: ProxyChannel) -> Identity:
    return Identity(channel.attributes.get("tvg-id", ""), channel.title, channel.url)


def _channels(proxy_id: str, entries: Iterable[ProxyEntry]) -> list[ProxyChannel]:
    return [
        ProxyChannel(proxy_id, each.channel_id, position, each.title, each.url, each.attributes, each.group, each.options)
        for position, each in enumerate(entries)
    ]
