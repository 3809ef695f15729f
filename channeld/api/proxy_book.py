"""Lists of upstream channels (proxies), over the store, and which of their channels are relayed.

Rule: no source, address or attribute is shown before it passed the redactor; a list is fetched by the refresher's thread, never by who
asks. Blocking; any thread but the event loop's.

Raises EditRefused, StoreError.
"""

from dataclasses import asdict, dataclass
from typing import Any

from channeld.base.clock import iso_utc
from channeld.base.redact import redact_source, redact_text, redact_url
from channeld.channel import proxy_refresh
from channeld.channel.proxy_worker import Refresher
from channeld.store.relay_questions import ChannelFilter
from channeld.store.relay_records import ProxyChannel, ProxyDraft, RelayProxy
from channeld.store.relays import Relays

REFRESH_WAIT_S = 10.0
TOLD_FAULTS = 100
SAME_PLACE = 50
"""Channels that may share a position: those that are listed no more keep theirs."""
_SEGMENTED = frozenset({"hls", "dash"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which channels: `after` a position, `limit` of them, of a group, with words in their title."""

    after: int | None = None
    limit: int = 100
    search: str | None = None
    group: str | None = None


class ProxyBook:
    """All proxies."""

    def __init__(self, relays: Relays, refresher: Refresher) -> None:
        self._relays, self._refresher = relays, refresher

    def all(self) -> list[dict[str, Any]]:
        """By name."""
        return [self._described(each) for each in self._relays.proxies()]

    def one(self, proxy_id: str) -> dict[str, Any]:
        """With its groups."""
        proxy = self._relays.proxy(proxy_id)
        groups = [{"group": group, "channels": count} for group, count in self._relays.groups(proxy_id)]
        return {**self._described(proxy), "groups": groups}

    def add(self, draft: ProxyDraft) -> dict[str, Any]:
        """A new one, whose list is fetched at once."""
        made = self._relays.add_proxy(draft)
        self._refresher.soon(made.id)
        return self._described(made)

    def change(self, proxy_id: str, *, name: str, source: str | None, refresh_s: float | None) -> dict[str, Any]:
        """Another name, source or refresh; without a `source` it stays."""
        before = self._relays.proxy(proxy_id)
        changed = self._relays.change_proxy(proxy_id, ProxyDraft(name, before.source if source is None else source, refresh_s))
        if changed.source != before.source:
            self._refresher.soon(proxy_id)
        return self._described(changed)

    def remove(self, proxy_id: str) -> None:
        """One of which nothing is relayed."""
        self._relays.remove_proxy(proxy_id)

    def refresh(self, proxy_id: str) -> dict[str, Any]:
        """Fetch its list now; `pending`: that takes longer than anybody should wait."""
        self._relays.proxy(proxy_id)
        done = self._refresher.refresh(proxy_id, REFRESH_WAIT_S)
        if done is None:
            return {"proxy_id": proxy_id, "pending": True, "error": None}
        changes = asdict(done.changes) if done.changes is not None else {"added": 0, "changed": 0, "removed": 0}
        return {
            "proxy_id": proxy_id,
            "pending": False,
            "at": iso_utc(done.at_s),
            "error": done.error,
            "channels": done.channels,
            **changes,
            "left_out": done.left_out,
            "faults": [asdict(fault) for fault in done.faults[:TOLD_FAULTS]],
        }

    def channels(self, proxy_id: str, wanted: Wanted) -> dict[str, Any]:
        """A page of its channels; `next` is the `after` of the page behind it."""
        asked = ChannelFilter(wanted.after, wanted.group, wanted.search)
        found = self._relays.channels(proxy_id, asked, wanted.limit + SAME_PLACE)
        end = wanted.limit
        while 0 < end < len(found) and found[end].position == found[end - 1].position:
            end += 1
        page, is_last = found[:end], end >= len(found)
        relayed = {each.channel_id: each.id for each in self._relays.configs(proxy_id)}
        return {
            "channels": [shown(each, relayed.get(each.channel_id)) for each in page],
            "next": None if is_last else page[-1].position,
        }

    def playlist(self, proxy_id: str, base: str) -> str:
        """Its relayed channels as an M3U list of the addresses below `base` where viewers find them."""
        segmented = {each.id for each in self._relays.profiles() if each.output_format in _SEGMENTED}
        addresses = {
            each.channel_id: f"{base}/api/v1/relay/{each.id}/{'playlist.m3u8' if each.profile_id in segmented else 'stream.ts'}"
            for each in self._relays.configs(proxy_id)
            if each.enabled
        }
        channels = [each for each in self._relays.channels(proxy_id) if each.channel_id in addresses]
        return proxy_refresh.relayed_list(channels, addresses.__getitem__)

    def _described(self, proxy: RelayProxy) -> dict[str, Any]:
        return {
            "id": proxy.id,
            "name": proxy.name,
            "source": redact_source(proxy.source),
            "refresh_s": proxy.refresh_s,
            "fetched_at": iso_utc(proxy.fetched_at_s) if proxy.fetched_at_s is not None else None,
            "last_error": proxy.last_error,
            "channels": sum(count for _, count in self._relays.groups(proxy.id)),
            "relayed": len(self._relays.configs(proxy.id)),
            "created_at": iso_utc(proxy.created_at_s),
            "updated_at": iso_utc(proxy.updated_at_s),
        }


def shown(channel: ProxyChannel, relay: int | None) -> dict[str, Any]:
    """A channel of a list; `relay`: the one that relays it."""
    return {
        "channel_id": channel.channel_id,
        "title": redact_text(channel.title),
        "group": channel.group,
        "url": redact_url(channel.url),
        "attributes": {key: redact_text(value) for key, value in channel.attributes.items()},
        "position": channel.position,
        "is_listed": channel.is_listed,
        "relay": relay,
    }
