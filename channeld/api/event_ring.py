"""The newest events as every follower of the stream reads them: one ring, and a place in it for each reader.

Rule: an event is kept once and written once, however many read it; a reader whose place was overwritten is moved on and told how many it
missed. Sans-I/O; used by the admin event loop only. Source of the format: the HTML standard, 9.2.
"""

import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from channeld.api.problems import json_bytes

KEPT = 2_000
PIECE_EVENTS = 100
"""So many events at a time, so that a reader that takes nothing holds little."""
_LINE_BREAK = re.compile(r"[\r\n]")


def event_bytes(event: dict[str, Any]) -> bytes:
    """One event in the stream's format; its data is the whole event as JSON, which holds no line break."""
    kind = _LINE_BREAK.sub(" ", str(event.get("kind", "message")))
    return f"id: {int(event['id'])}\nevent: {kind}\ndata: ".encode() + json_bytes(event) + b"\n\n"


def missed_bytes(count: int) -> bytes:
    """What a reader is told that was too slow; without an id, so that coming again begins behind the last event it got."""
    return b"event: missed\ndata: " + json_bytes({"kind": "missed", "count": count}) + b"\n\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events somebody wants; None: all."""

    channels: frozenset[str] | None = None
    kinds: frozenset[str] | None = None

    @classmethod
    def of(cls, channel: str | None, kind: str | None) -> "Wanted":
        """From query values, commas between names."""
        return cls(*(None if text is None else frozenset(text.split(",")) for text in (channel, kind)))

    def admits(self, event: dict[str, Any]) -> bool:
        """It is one of these."""
        return (self.kinds is None or event.get("kind") in self.kinds) and (self.channels is None or event.get("channel") in self.channels)


class _Kept:
    """An event, and its bytes once somebody read it."""

    __slots__ = ("_written", "event")

    def __init__(self, event: dict[str, Any]) -> None:
        self.event = event
        self._written: bytes | None = None

    @property
    def written(self) -> bytes:
        if self._written is None:
            self._written = event_bytes(self.event)
        return self._written


class EventRing:
    """The newest KEPT events. A place counts events from the first that was ever put."""

    def __init__(self) -> None:
        self._ring: deque[_Kept] = deque(maxlen=KEPT)
        self._end = 0

    @property
    def end(self) -> int:
        """The place of the next one."""
        return self._end

    def put(self, event: dict[str, Any]) -> None:
        """One more."""
        self._ring.append(_Kept(event))
        self._end += 1

    def begin(self, last_id: int | None) -> int:
        """Where somebody begins who has read up to `last_id`; None: with what comes.

        An id that was never given is one of a history that was lost: all that is kept may be news.
        """
        if last_id is None or not self._ring:
            return self._end
        start = self._end - len(self._ring)
        if last_id > self._ring[-1].event["id"]:
            return start
        return start + sum(1 for each in self._ring if each.event["id"] <= last_id)

    def read(self, place: int, wanted: Wanted) -> tuple[bytes, int]:
        """What is wanted from a place on, as far as it fits one piece, and the place behind it."""
        start = self._end - len(self._ring)
        pieces = [missed_bytes(start - place)] if place < start else []
        place = max(place, start)
        while place < self._end and len(pieces) < PIECE_EVENTS:
            each = self._ring[place - self._end]
            place += 1
            if wanted.admits(each.event):
                pieces.append(each.written)
        return b"".join(pieces), place

    def newest(self, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
        """The newest of those wanted, newest first."""
        found = []
        for each in reversed(self._ring):
            if wanted.admits(each.event):
                found.append(each.event)
                if len(found) == limit:
                    break
        return found
