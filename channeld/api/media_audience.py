"""What a media worker tells control of its clients: how many and how much once a second, each of them when asked.

Rule: totals count from a feed's beginning and name it, so that a report that is lost costs nothing; no message grows with the number
of clients. What is told for the history (`attendance`) names no address. Run by the media worker's event loop.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from channeld.api.media_messages import read_listing
from channeld.api.media_reports import Reporter
from channeld.base.clock import SystemClock
from channeld.outputs.http_ts import MAX_GONE, Feed
from channeld.outputs.places import Places
from channeld.outputs.visitors import SegmentVisits, Stays, agent_class, counted_places

_NOBODY = {"protocols": {}, "agents": {}, "places": {}, "stays": Stays().by_seconds, "stayed_s": 0}
GONE_PER_REPORT = 20
MAX_WATCHED = 2_000
CLIENTS_PER_PAGE = 50
"""A client is 2 KiB of JSON at most: a user agent of 200 characters that all want escapes."""


class AudienceReports:
    """Reports of these feeds, which come and go."""

    def __init__(self, feeds: Mapping[str, Feed], reports: Reporter) -> None:
        self._feeds, self._reports = feeds, reports
        self._told: dict[str, dict[str, Any]] = {}
        self._watched: set[str] = set()
        self._began = f"{time.time():.6f}"
        self.places = Places(lambda problem: reports.put("geoip", error=problem))
        self._visits = SegmentVisits(SystemClock(), self.places.of)
        self._attended: dict[str, dict[str, Any]] = {}
        self._past: dict[str, tuple[int, Stays]] = {}

    def place_of(self, address: str) -> str | None:
        """Where an address is, if anybody knows."""
        return self.places.of(address)

    def asked(self, channel: str, address: str, user_agent: str, protocol: str) -> None:
        """A viewer of HLS or DASH asks for something."""
        self._visits.asked(channel, address, user_agent, protocol)

    def watched(self, channel: str) -> None:
        """A viewer asks for something of a channel; told at once, and then with the next second."""
        if channel not in self._watched:
            self._watched.add(channel)
            self._reports.put("watched", channels=[channel])

    def tell(self) -> None:
        """Once a second: what is watched, and every feed of which something has changed."""
        watched = self._watched | {channel for channel, feed in self._feeds.items() if feed.clients}
        self._watched.clear()
        if watched:
            self._reports.put("watched", channels=sorted(watched)[:MAX_WATCHED])
        self._told = {channel: told for channel, told in self._told.items() if channel in self._feeds}
        for channel, feed in self._feeds.items():
            facts = self._facts(feed)
            gone = feed.past.tell(MAX_GONE if feed.is_closed else GONE_PER_REPORT)
            if gone or facts != self._told.get(channel):
                self._told[channel] = facts
                self._reports.put("audience", channel=channel, **facts, gone=[asdict(each) for each in gone])

        self._tell_attendance()

    def _tell_attendance(self) -> None:
        """Who is there and who was, in numbers: of every channel of which they have changed."""
        self._visits.sweep()
        present = self._visits.present()
        for channel in {*present, *self._visits.stays, *self._feeds, *self._attended}:
            facts = self._attendance(channel, present.get(channel, []))
            if facts != self._attended.get(channel, _NOBODY):
                self._attended[channel] = facts
                self._reports.put("attendance", channel=channel, began=self._began, **facts)

    def _attendance(self, channel: str, on_segments: list[tuple[str, str, str | None]]) -> dict[str, Any]:
        feed = self._feeds.get(channel)
        clients = list(feed.clients.values()) if feed is not None else []
        there = [*on_segments, *(("ts", agent_class(each.guest.user_agent), each.guest.place) for each in clients)]
        streamed = self._streamed(channel, feed)
        stays = self._visits.stays.get(channel, Stays()), streamed
        return {
            "protocols": dict(Counter(protocol for protocol, _, _ in there)),
            "agents": dict(Counter(agent for _, agent, _ in there)),
            "places": counted_places(place for _, _, place in there),
            "stays": [sum(counts) for counts in zip(*(each.by_seconds for each in stays), strict=True)],
            "stayed_s": round(sum(each.seconds for each in stays), 3),
        }

    def _streamed(self, channel: str, feed: Feed | None) -> Stays:
        """Clients of a channel's feed that are gone; those of a feed before it are counted with those of segments from then on."""
        number, stays = self._past.get(channel, (0, Stays()))
        if feed is None or feed.number == number:
            found = stays if feed is None else Stays(list(feed.past.by_seconds), feed.past.seconds)
        else:
            self._visits.stays.setdefault(channel, Stays()).add_all(stays)
            found = Stays(list(feed.past.by_seconds), feed.past.seconds)
        self._past[channel] = (number if feed is None else feed.number, found)
        return found

    def tell_again(self, channel: str) -> None:
        """Whoever is in control may know nothing yet."""
        self._told.pop(channel, None)
        self._attended.pop(channel, None)

    def list_clients(self, values: dict[str, Any]) -> None:
        """Answer `clients`, a page at a time, those furthest behind first. Raises ValueError."""
        wanted = read_listing(values)
        feed = self._feeds.get(wanted.channel)
        clients = [asdict(each) for each in feed.facts()[: wanted.most]] if feed is not None else []
        for at in range(0, max(1, len(clients)), CLIENTS_PER_PAGE):
            page, is_last = clients[at : at + CLIENTS_PER_PAGE], at + CLIENTS_PER_PAGE >= len(clients)
            self._reports.put("clients", request=wanted.request, clients=page, is_last=is_last)

    def _facts(self, feed: Feed) -> dict[str, Any]:
        past = feed.past
        return {
            "output": feed.output,
            "feed": f"{self._began}/{feed.number}",
            "clients": len(feed.clients),
            "bytes": feed.total_bytes(),
            "skips": feed.total_skips(),
            "refused": past.refused,
            "connection_seconds": round(past.seconds, 3),
            "connections": list(past.by_seconds),
        }
