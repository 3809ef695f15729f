"""One client of the endless stream: its place, its connection, and what is known of it.

Rule: a client that is ready gets what is published at once, in as few sends as the kernel allows, of slices that all share; one
that is not waits for its own connection and for nobody else's. Everything here belongs to the event loop.
"""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from channeld.base.clock import NS_PER_SECOND
from channeld.outputs.ts_place import Place

MAX_AGENT_CHARS = 200
_NUMBERS = itertools.count(1)


class Pipe(Protocol):
    """A connection to one client."""

    def start(self, on_room: Callable[[], None], on_gone: Callable[[], None]) -> None:
        """Have `on_room` called when a send took less than it was given and there is room again, `on_gone` when the client left."""
        ...

    def send(self, data: memoryview | bytes) -> int:
        """How many bytes were taken; never waits."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End it; `at_once`: with what is unsent. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Guest:
    """Who asks for a stream. `is_admitted`: whether what it showed still opens; `place`: where the address is, if anybody knows."""

    address: str
    user_agent: str
    is_admitted: Callable[[], bool] = lambda: True
    place: str | None = None


class End(StrEnum):
    """Why a client is no more."""

    LEFT = "left"
    STALE = "stale"
    DENIED = "denied"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """One client, as is told of it. Moments in seconds since 1970; `ended`: why it is no more."""

    id: str
    address: str
    user_agent: str
    since_s: float
    connected_s: float
    bytes: int
    skips: int
    position: int | None
    lag_bytes: int
    lag_s: float
    last_read_s: float
    ended: str | None = None
    place: str | None = None


class TsClient:
    """A connected client. `wall_s`, `now_ns`: the clocks when it came."""

    __slots__ = ("_came_ns", "_is_blocked", "_last_ns", "_pipe", "_sent", "_since_s", "guest", "id", "place")

    def __init__(self, guest: Guest, pipe: Pipe, place: Place, *, wall_s: float, now_ns: int) -> None:
        self.id = f"{os.getpid():x}-{next(_NUMBERS):x}"
        self.guest, self.place = guest, place
        self._pipe = pipe
        self._since_s, self._came_ns, self._last_ns = wall_s, now_ns, now_ns
        self._sent = 0
        self._is_blocked = False

    @property
    def bytes(self) -> int:
        """What it has taken, answer's head included."""
        return self._sent

    def pump(self, now_ns: int) -> None:
        """Send what there is, unless the client has not taken what it was given before."""
        while not self._is_blocked:
            data = self.place.wanted()
            if data is None:
                self._last_ns = now_ns  # it has everything: nobody can be stale now
                return
            taken = self._pipe.send(data)
            self._is_blocked = taken < len(data)
            if taken:
                self._last_ns = now_ns
                self._sent += taken
                self.place.took(data, taken)

    def unblock(self, now_ns: int) -> None:
        """The connection has room again."""
        self._is_blocked = False
        self.pump(now_ns)

    def idle_s(self, now_ns: int) -> float:
        """Since it last took something that was there for it."""
        return (now_ns - self._last_ns) / NS_PER_SECOND if self._is_blocked else 0.0

    def connected_s(self, now_ns: int) -> float:
        """Since it came."""
        return (now_ns - self._came_ns) / NS_PER_SECOND

    def facts(self, now_ns: int, ended: End | None = None) -> ClientFacts:
        """What is known of it."""
        lag_bytes, lag_s = self.place.behind()
        connected_s = self.connected_s(now_ns)
        return ClientFacts(
            id=self.id,
            address=self.guest.address,
            user_agent=self.guest.user_agent,
            since_s=self._since_s,
            connected_s=connected_s,
            bytes=self._sent,
            skips=self.place.skips,
            position=self.place.seq,
            lag_bytes=lag_bytes,
            lag_s=lag_s,
            last_read_s=self._since_s + (self._last_ns - self._came_ns) / NS_PER_SECOND,
            ended=ended,
            place=self.guest.place,
        )

    def close(self, *, at_once: bool) -> None:
        """End its connection."""
        self._pipe.close(at_once=at_once)


def printable(text: str) -> str:
    """A user agent as it may be shown: bounded, without control characters."""
    return "".join(each if each.isprintable() else "?" for each in text[:MAX_AGENT_CHARS])
