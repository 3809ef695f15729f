"""The one thread that turns rings into files of HLS and DASH for all channels of a media worker, so that disks never hold up viewers.

Rule: the thread owns the store, the packagers and their mappings of the rings; others only leave orders and heads.
A failing channel is told once, tried again every second, and never touches the others.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from channeld.api.media_messages import Cleaning, PackagingOrder
from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.base.worker import Worker
from channeld.bus.reader import Lapped, RingReader
from channeld.outputs.dash import DashPacking
from channeld.outputs.hls import HlsPacking, Packager
from channeld.outputs.hls_store import PackagingType, SegmentStore
from channeld.outputs.packing import Packing
from channeld.telemetry import log

Report = Callable[..., None]
"""Called as report(kind, **values) from this thread; must not block."""

_GATHER_S = 0.05
"""Heads that arrive within this time are worked off together: a segment is seconds long, a wake-up costs the viewers' loop."""

_RETRY_NS = NS_PER_SECOND
_PACKINGS: dict[PackagingType, Packing] = {"hls": HlsPacking(), "dash": DashPacking()}


@dataclass(frozen=True, slots=True)
class Attach:
    """Package this ring for the channel from now on; the thread owns the reader."""

    channel: str
    order: PackagingOrder
    reader: RingReader

    @property
    def type(self) -> PackagingType:
        """How it is packaged."""
        return self.order.type


@dataclass(frozen=True, slots=True)
class Remove:
    """Package the channel so no more."""

    channel: str
    type: PackagingType


class Job:
    """One way of packaging one channel: its ring, its packager, and how far it has read."""

    def __init__(self, attach: Attach, store: SegmentStore, report: Report, clock: Clock) -> None:
        self.channel = attach.channel
        self._store, self._report, self._clock = store, report, clock
        self._order, self._reader = attach.order, attach.reader
        self._packager: Packager | None = None
        self._next_seq: int | None = None
        self._error: str | None = None
        self._retry_ns = 0

    def attach(self, attach: Attach) -> None:
        """Another ring, or other numbers: go on where the last slice, or the last published segment, ended."""
        self._reader.close()
        self._reader = attach.reader
        self._next_seq = None
        if attach.order != self._order:
            self._order, self._packager = attach.order, None

    def advance(self) -> None:
        """Read everything up to the ring's head and publish what is whole; called with each head and once a second."""
        if self._error is not None and self._clock.monotonic_ns() < self._retry_ns:
            self._read(publish=False)
            return
        try:
            if self._packager is None:
                numbers = {"segment_seconds": self._order.segment_seconds, "window": self._order.window}
                how = {"after": self._order.after, "packing": _PACKINGS[self._order.type]}
                self._packager = Packager(self.channel, self._store, clock=self._clock, **numbers, **how)  # type: ignore[arg-type]
            self._publish()
            self._read(publish=True)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Let go of the ring."""
        self._reader.close()

    def _read(self, *, publish: bool) -> None:
        packager = self._packager
        if packager is None:
            return
        head = self._reader.head_seq
        if self._next_seq is None:
            self._next_seq = self._first_seq(packager, head)
        while self._next_seq <= head:
            try:
                piece = self._reader.read(self._next_seq, head=head)
            except Lapped as lapped:
                log.get(self._order.type).warning("slices_lost", channel=self.channel, slices=lapped.oldest_seq - self._next_seq)
                self._next_seq = lapped.oldest_seq
                continue
            packager.push(piece)
            self._next_seq += 1
            if publish and packager.has_unpublished:
                self._publish()

    def _first_seq(self, packager: Packager, head: int) -> int:
        resume_dts = packager.resume_dts(self._reader.description)
        packager.attach(self._reader.description)
        if resume_dts is None:
            return self._reader.tail_seq
        return self._reader.first_at_or_after(resume_dts, head) or head + 1

    def _publish(self) -> None:
        assert self._packager is not None
        names = {"channel": self.channel, "output": self._order.name}
        while (progress := self._packager.flush()) is not None:
            if self._error is not None:
                self._error = None
                self._report("recovered", **names)
            self._report("progress", **names, **asdict(progress))

    def _fail(self, error: OSError) -> None:
        self._retry_ns = self._clock.monotonic_ns() + _RETRY_NS
        text = error.strerror or str(error)
        if text != self._error:
            self._error = text
            self._report("failed", channel=self.channel, output=self._order.name, error=text)


class PackagingThread(Worker):
    """Named `packager:media`. `attach`, `remove` and `advance` may be called from any thread."""

    def __init__(self, store: SegmentStore, report: Report, clock: Clock) -> None:
        super().__init__("packager:media")
        self._store, self._report, self._clock = store, report, clock
        self._lock = threading.Lock()  # guards _orders and _moved only
        self._orders: deque[Attach | Remove | Cleaning] = deque()
        self._moved: set[str] = set()
        self._wanted = threading.Event()
        self._jobs: dict[tuple[str, PackagingType], Job] = {}
        self._is_over_cap = False

    def order(self, order: Attach | Remove | Cleaning) -> None:
        """Leave an order; orders are followed in their order."""
        with self._lock:
            self._orders.append(order)
        self._wanted.set()

    def advance(self, channels: Iterable[str]) -> None:
        """The rings of these channels have new slices."""
        with self._lock:
            self._moved.update(channels)
        self._wanted.set()

    def set_max_bytes(self, max_bytes: int | None) -> None:
        """Another cap, obeyed from the next segment on."""
        self._store.max_bytes = max_bytes

    def wake(self) -> None:
        self._wanted.set()

    def run(self) -> None:
        swept_ns = 0
        while not self.stopping.is_set():
            self._wanted.wait(1.0)
            self._wanted.clear()
            with self._lock:
                orders, moved = list(self._orders), set(self._moved)
                self._orders.clear()
                self._moved.clear()
            moved |= {order.channel for order in orders}
            for order in orders:
                self._follow(order)
            if self._clock.monotonic_ns() - swept_ns >= NS_PER_SECOND:
                swept_ns = self._clock.monotonic_ns()
                moved |= {channel for channel, _ in self._jobs}
                self._sweep()
            for job in [job for (channel, _), job in self._jobs.items() if channel in moved]:
                job.advance()
            self.stopping.wait(_GATHER_S)
        for job in self._jobs.values():
            job.close()

    def _follow(self, order: Attach | Remove | Cleaning) -> None:
        place, names = (order.channel, order.type), _PACKINGS[order.type].names
        job = self._jobs.get(place)
        if isinstance(order, Cleaning):
            if job is None:
                self._store.clean_channel(order.channel, names, keep_s=order.keep_s)
        elif isinstance(order, Remove):
            if job is not None:
                self._jobs.pop(place).close()
                self._store.forget_channel(order.channel, names)
        elif job is None:
            self._jobs[place] = Job(order, self._store, self._report, self._clock)
        else:
            job.attach(order)

    def _sweep(self) -> None:
        error = self._store.purge()
        if error is not None:
            log.get("hls").error("purge_failed", error=error.strerror)
        if self._store.is_over_cap != self._is_over_cap:
            self._is_over_cap = self._store.is_over_cap
            self._report("cap", is_over=self._is_over_cap, total_bytes=self._store.total_bytes, max_bytes=self._store.max_bytes)
