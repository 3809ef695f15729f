"""Who watches a channel's endless stream or reads its ring, for people: the desk behind the API's list of clients.

Rule: workers and the host are asked when somebody asks, and waited for no longer than PATIENCE_S, off the control loop: what one of them
does not tell in time is left out, and said so. Safe from any thread but the loop's.
"""

import time
from typing import Any

from channeld.api.control import UnknownChannel
from channeld.base.clock import iso_utc
from channeld.channel.audience import HOST, Inquiry, Totals
from channeld.channel.host_hub import HostHub
from channeld.channel.hub import MediaHub
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry

PATIENCE_S = 3.0


class AudienceDesk:
    """Implements `admin_clients.AudienceReader`."""

    def __init__(self, loop: ControlLoop, registry: Registry, media: MediaHub, hosts: HostHub) -> None:
        self._loop, self._registry, self._media, self._hosts = loop, registry, media, hosts

    def read(self, channel: str, limit: int) -> dict[str, Any]:
        """The clients furthest behind, totals, and who has gone. Raises UnknownChannel."""
        of_workers, of_host = self._loop.call(lambda: (self._ask(channel, limit), self._ask_host(channel, limit)))
        (inquiry, totals, gone), (host_inquiry, told_readers) = of_workers, of_host
        found, is_complete = inquiry.wait(PATIENCE_S)
        readers, has_told = host_inquiry.wait(PATIENCE_S)
        found.sort(key=lambda each: (-each["lag_bytes"], each["id"]))
        clients = [_shown(each) for each in found[:limit]]
        return {
            "channel": channel,
            "totals": _shown_totals(totals),
            "clients": clients,
            "readers": [_shown_reader(each) for each in readers],
            "readers_left_out": max(0, told_readers - len(readers)) if len(readers) == limit else 0,
            "is_complete": is_complete and has_told,
            "left_out": max(0, totals.clients - len(clients)) if len(clients) == limit else 0,
            "gone": [{**_shown(each), "ended": each["ended"]} for each in gone],
        }

    def _ask(self, channel: str, limit: int) -> tuple[Inquiry, Totals, list[dict[str, Any]]]:
        """Control loop's thread."""
        supervisor = self._registry.channels.get(channel)
        if supervisor is None:
            raise UnknownChannel(channel)
        totals, gone = Totals(), []
        for output in supervisor.outputs.streams():
            totals = totals.plus(self._media.audience.totals(channel, output))
            gone += self._media.audience.gone(channel, output)
        return self._media.ask_clients(channel, limit), totals, gone

    def _ask_host(self, channel: str, limit: int) -> tuple[Inquiry, int]:
        """The same of who reads the ring, and how many these were a second ago."""
        inquiry = self._media.audience.inquire([HOST])
        if not self._hosts.send("readers", channel=channel, request=inquiry.number, most=limit):
            inquiry.lose(HOST)
        return inquiry, int(self._registry.channels[channel].progress.get("readers", 0))


def _shown(client: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": client["id"],
        "address": client["address"],
        "place": client.get("place"),
        "user_agent": client["user_agent"],
        "since": iso_utc(client["since_s"]),
        "connected_s": round(client["connected_s"], 3),
        "bytes": client["bytes"],
        "position": client["position"],
        "lag_bytes": client["lag_bytes"],
        "lag_s": round(client["lag_s"], 3),
        "skips": client["skips"],
        "last_read_at": iso_utc(client["last_read_s"]),
    }


def _shown_reader(reader: dict[str, Any]) -> dict[str, Any]:
    return {
        "pid": reader["pid"],
        "uid": reader["uid"],
        "command": reader["command"],
        "since": iso_utc(reader["since_s"]),
        "connected_s": round(max(0.0, time.time() - reader["since_s"]), 3),
        "heads_dropped": reader["dropped"],
    }


def _shown_totals(totals: Totals) -> dict[str, Any]:
    ended = sum(totals.connections.counts)
    return {
        "clients": totals.clients,
        "bytes": totals.bytes,
        "skips": totals.skips,
        "refused": totals.refused,
        "ended": ended,
        "ended_mean_s": round(totals.connections.sum_s / ended, 3) if ended else None,
    }
