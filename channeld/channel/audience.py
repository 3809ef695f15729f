"""The clients of the endless streams, over all media workers: totals, who has gone, and who is there for whoever asks.

Rule: a worker's totals begin anew with each of its feeds; here they go on. Everything is bounded: outputs, ended connections, pages.
Control loop's thread, but for `Inquiry`.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from channeld.base.clock import SystemClock
from channeld.base.wire import Message
from channeld.channel.attendance import Attendance
from channeld.telemetry.lateness import LatenessFigures
from channeld.telemetry.metric_table import CONNECTION_BUCKETS_S

HOST = -1
"""In place of a worker's number: the playout host, which knows who reads a ring."""
MAX_GONE = 200
MAX_OUTPUTS = 1000
MAX_INQUIRIES = 64
_NO_CONNECTIONS = LatenessFigures((0,) * (len(CONNECTION_BUCKETS_S) + 1), 0.0)


@dataclass(frozen=True, slots=True)
class Totals:
    """Clients of now, and what was counted since control began; `connections`: ended ones by their seconds."""

    clients: int = 0
    bytes: int = 0
    skips: int = 0
    refused: int = 0
    connections: LatenessFigures = _NO_CONNECTIONS

    def plus(self, other: "Totals") -> "Totals":
        """Both together."""
        counts = tuple(map(sum, zip(self.connections.counts, other.connections.counts, strict=True)))
        return Totals(
            self.clients + other.clients,
            self.bytes + other.bytes,
            self.skips + other.skips,
            self.refused + other.refused,
            LatenessFigures(counts, self.connections.sum_s + other.connections.sum_s),
        )


@dataclass(slots=True)
class _Output:
    """What is known of one output: each worker's feed and its totals, and all that came before these."""

    now: dict[int, tuple[str, Totals]] = field(default_factory=dict)
    before: Totals = Totals()
    gone: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_GONE))

    def lose(self, worker: int) -> None:
        """Its feed is no more; what it counted stays."""
        if worker in self.now:
            self.before = self.before.plus(replace(self.now.pop(worker)[1], clients=0))


class Inquiry:
    """A question to the workers who is there. Made on the control loop; waited for on any other thread."""

    def __init__(self, number: int, workers: Sequence[int]) -> None:
        self.number = number
        self._silent = set(workers)
        self._lock = threading.Lock()  # guards the list below
        self._clients: list[dict[str, Any]] = []
        self._answered = threading.Event()
        if not workers:
            self._answered.set()

    def add(self, worker: int, clients: list[dict[str, Any]], *, is_last: bool) -> None:
        """A page of a worker's answer."""
        with self._lock:
            self._clients += clients
        if is_last:
            self.lose(worker)

    def lose(self, worker: int) -> None:
        """Nothing more comes from this worker."""
        self._silent.discard(worker)
        if not self._silent:
            self._answered.set()

    def wait(self, timeout_s: float) -> tuple[list[dict[str, Any]], bool]:
        """The clients so far, and whether these are all that were to come."""
        is_complete = self._answered.wait(timeout_s)
        with self._lock:
            return list(self._clients), is_complete


class Audience:
    """Of all channels. `attendance` keeps how many they were over time."""

    def __init__(self) -> None:
        self.attendance = Attendance(SystemClock())
        self._outputs: OrderedDict[tuple[str, str], _Output] = OrderedDict()
        self._inquiries: OrderedDict[int, Inquiry] = OrderedDict()
        self._asked = 0

    def take(self, worker: int, kind: str, values: dict[str, Any]) -> None:
        """What a worker says of its clients."""
        {"audience": self.told, "clients": self.listed, "attendance": self.attendance.told}[kind](worker, values)

    def told(self, worker: int, values: dict[str, Any]) -> None:
        """A worker's `audience`."""
        output = self._output(str(values["channel"]), str(values["output"]))
        feed = str(values["feed"])
        if output.now.get(worker, (feed,))[0] != feed:
            output.lose(worker)
        connections = LatenessFigures(tuple(values["connections"]), values["connection_seconds"])
        output.now[worker] = feed, Totals(values["clients"], values["bytes"], values["skips"], values["refused"], connections)
        output.gone.extend(values["gone"])

    def listed(self, worker: int, values: dict[str, Any]) -> None:
        """A page of a worker's `clients`."""
        inquiry = self._inquiries.get(values["request"])
        if inquiry is not None:
            inquiry.add(worker, values["clients"], is_last=bool(values["is_last"]))

    def host_told(self, message: Message) -> None:
        """Anything that a playout host said: perhaps who reads a ring."""
        if message.kind == "readers":
            self.listed(HOST, message.values)

    def lost(self, worker: int) -> None:
        """A worker has ended, and its connections with it."""
        for output in self._outputs.values():
            output.lose(worker)
        for inquiry in self._inquiries.values():
            inquiry.lose(worker)
        self.attendance.lost(worker)

    def inquire(self, workers: Sequence[int]) -> Inquiry:
        """A new question to these workers, to be sent with its number."""
        self._asked += 1
        inquiry = self._inquiries[self._asked] = Inquiry(self._asked, workers)
        if len(self._inquiries) > MAX_INQUIRIES:
            self._inquiries.popitem(last=False)
        return inquiry

    def totals(self, channel: str, output: str) -> Totals:
        """Of one output."""
        known = self._outputs.get((channel, output), _Output())
        total = known.before
        for _, part in known.now.values():
            total = total.plus(part)
        return total

    def clients(self, channel: str, output: str) -> int:
        """How many watch one output."""
        known = self._outputs.get((channel, output))
        return sum(part.clients for _, part in known.now.values()) if known is not None else 0

    def gone(self, channel: str, output: str) -> list[dict[str, Any]]:
        """Connections that have ended, the newest first."""
        known = self._outputs.get((channel, output), _Output())
        return list(reversed(known.gone))

    def _output(self, channel: str, name: str) -> _Output:
        output = self._outputs.setdefault((channel, name), _Output())
        self._outputs.move_to_end((channel, name))
        if len(self._outputs) > MAX_OUTPUTS:
            self._outputs.popitem(last=False)
        return output
