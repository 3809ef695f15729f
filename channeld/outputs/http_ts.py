"""Endless transport stream to many clients: each reads the bus at its own pace and never holds anybody up.

Rule: a slice is copied out of the ring once and sent to all who stand there; a client that falls half a ring behind goes on at the
newest random access point, counted and told once a second; one that takes nothing for too long is dropped. No thread and no task
per client; everything here belongs to the event loop.
"""

import itertools
from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from channeld.base.client_address import address_key
from channeld.base.clock import Clock, SystemClock
from channeld.bus.reader import RingReader, Slice
from channeld.outputs.ts_client import ClientFacts, End, Guest, Pipe, TsClient
from channeld.outputs.ts_place import TICKS_PER_SECOND, Place
from channeld.telemetry import log
from channeld.telemetry.metric_table import CONNECTION_BUCKETS_S

MAX_CLIENTS = 4096
"""Of all channels of one worker; each has a descriptor."""
MAX_GONE = 100
"""Ended connections that are kept until they are told."""
_NUMBERS = itertools.count(1)
_SHARED_SLICES = 12
"""Slices kept as one copy for all clients that stand near the head: a GOP, for those who join."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may be; None: no limit of its own. `stale_s`: how long one may take nothing of what is there for it."""

    per_channel: int | None = 1000
    per_address: int | None = 100
    stale_s: float = 30.0


class Feed:
    """One channel's stream as clients of HTTP-TS read it. `attach` gives it each generation's ring, which it then owns."""

    def __init__(self, channel: str, output: str = "ts", clock: Clock | None = None) -> None:
        self.output = output
        self.number = next(_NUMBERS)
        self.head_seq = 0
        self.is_closed = False
        self.clients: dict[str, TsClient] = {}
        self.addresses: Counter[str] = Counter()
        self.past = Past()
        self._clock = clock or SystemClock()
        self._reader: RingReader | None = None
        self._generation = 0
        self._recent: OrderedDict[int, Slice] = OrderedDict()
        self._repeats = log.Repeats(log.get("http_ts").bind(channel=channel, output=output), clock=self._clock)

    @property
    def reader(self) -> RingReader | None:
        """The ring of now; None before the first."""
        return self._reader

    @property
    def generation(self) -> int:
        """Counts the rings attached so far."""
        return self._generation

    def attach(self, reader: RingReader, head_seq: int) -> None:
        """Slices come from this ring now; clients find their place in it by DTS."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self.head_seq = reader, min(head_seq, reader.head_seq)
        self._generation += 1
        self._recent.clear()
        self._pump()

    def advance(self, head_seq: int) -> None:
        """The writer told how far it is."""
        if self._reader is not None and head_seq > self.head_seq:
            self.head_seq = min(head_seq, self._reader.head_seq)
            if self.clients:
                self._pump()

    def join(self, guest: Guest, pipe: Pipe, *, head: bytes = b"", burst_s: float = 0.0) -> TsClient:
        """Serve one more client, from the newest random access point on or `burst_s` behind it. `head` goes before the stream."""
        place = Place(self, head, round(burst_s * TICKS_PER_SECOND))
        now_ns = self._clock.monotonic_ns()
        client = TsClient(guest, pipe, place, wall_s=self._clock.wall_s(), now_ns=now_ns)
        self.clients[client.id] = client
        self.addresses[address_key(guest.address)] += 1
        pipe.start(lambda: self._serve(client), lambda: self.leave(client, End.LEFT))
        self._serve(client)
        return client

    def leave(self, client: TsClient, end: End) -> None:
        """End one client; idempotent."""
        if self.clients.pop(client.id, None) is None:
            return
        key = address_key(client.guest.address)
        self.addresses[key] -= 1
        if not self.addresses[key]:
            del self.addresses[key]
        self.past.add(client.facts(self._clock.monotonic_ns(), end))
        # What a stale client has not taken would stay in the kernel for minutes.
        client.close(at_once=end is End.STALE)
        if not self.clients:
            self._recent.clear()

    def check(self, limits: Limits) -> None:
        """Drop who is stale, or no longer admitted, and tell what was counted; called once a second."""
        now_ns = self._clock.monotonic_ns()
        for client in list(self.clients.values()):
            if client.idle_s(now_ns) >= limits.stale_s:
                self._repeats.tell("info", "client_dropped", client=client.id, stale_s=limits.stale_s, clients=len(self.clients) - 1)
                self.leave(client, End.STALE)
            elif not client.guest.is_admitted():
                self.leave(client, End.DENIED)
        self._repeats.flush()

    def close(self) -> None:
        """End every client's stream; idempotent."""
        self.is_closed = True
        for client in list(self.clients.values()):
            self.leave(client, End.OVER)
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def facts(self) -> list[ClientFacts]:
        """All clients, the one furthest behind first."""
        now_ns = self._clock.monotonic_ns()
        return sorted((client.facts(now_ns) for client in self.clients.values()), key=lambda each: (-each.lag_bytes, each.id))

    def total_bytes(self) -> int:
        """Sent to clients so far."""
        return self.past.bytes + sum(client.bytes for client in self.clients.values())

    def total_skips(self) -> int:
        """How often clients were too slow so far."""
        return self.past.skips + sum(client.place.skips for client in self.clients.values())

    def read(self, seq: int) -> Slice:
        """One slice, copied once for all who ask soon. Raises Lapped."""
        if seq in self._recent:
            return self._recent[seq]
        assert self._reader is not None
        piece = self._reader.read(seq, head=self.head_seq)
        self._recent[seq] = piece
        if len(self._recent) > _SHARED_SLICES:
            self._recent.popitem(last=False)
        return piece

    def note_skip(self, skipped_bytes: int) -> None:
        """A client was too slow."""
        self._repeats.tell("warning", "client_skipped", bytes=skipped_bytes, skips=self.total_skips(), clients=len(self.clients))

    def _pump(self) -> None:
        now_ns = self._clock.monotonic_ns()
        for client in list(self.clients.values()):
            client.pump(now_ns)

    def _serve(self, client: TsClient) -> None:
        client.unblock(self._clock.monotonic_ns())


class Past:
    """What is known of the clients that are no more: totals since the feed began, and the newest of them until they are told."""

    def __init__(self) -> None:
        self.clients = self.bytes = self.skips = self.refused = 0
        self.seconds = 0.0
        self.by_seconds = [0] * (len(CONNECTION_BUCKETS_S) + 1)
        self._gone: deque[ClientFacts] = deque(maxlen=MAX_GONE)

    def add(self, facts: ClientFacts) -> None:
        """One more is gone."""
        self.clients += 1
        self.bytes += facts.bytes
        self.skips += facts.skips
        self.seconds += facts.connected_s
        self.by_seconds[bisect_left(CONNECTION_BUCKETS_S, facts.connected_s)] += 1
        self._gone.append(facts)

    def tell(self, most: int) -> list[ClientFacts]:
        """The oldest that are not told yet."""
        return [self._gone.popleft() for _ in range(min(most, len(self._gone)))]


def refusal(feeds: Iterable[Feed], feed: Feed, address: str, limits: Limits) -> tuple[int, str] | None:
    """Why one more client is not taken, as an HTTP status and a sentence; None when it is. Counted."""
    feeds, key = list(feeds), address_key(address)
    mine = sum(each.addresses[key] for each in feeds)
    refused: tuple[int, str] | None = None
    if sum(len(each.clients) for each in feeds) >= MAX_CLIENTS:
        refused = 503, f"{MAX_CLIENTS} clients are connected, which is all that one media worker serves."
    elif limits.per_channel is not None and len(feed.clients) >= limits.per_channel:
        refused = 503, f"The channel has {len(feed.clients)} clients, which is all that media.max_clients_per_channel allows."
    elif limits.per_address is not None and mine >= limits.per_address:
        refused = 429, f"{mine} clients come from your address, which is all that media.max_clients_per_address allows."
    if refused is not None:
        feed.past.refused += 1
    return refused
