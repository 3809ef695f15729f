"""The feeder: one thread that moves bus bytes into FIFOs, and tells other readers how far the bus was written.

Rule: it never blocks and never slows the bus. A full FIFO is backpressure: the feed waits for room while the ring
holds its place, and jumps to the newest random access point when the ring is about to overtake it. How far each feed is
stands in the ring's header, from where another host goes on. Each FIFO's fd belongs to its feed and is closed here.
DESIGN names a thread per FIFO; one thread with epoll does the same with a hundredth of the GIL traffic.
"""

import fcntl
import os
import select
import socket
import sys
import termios
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import TICKS_PER_SECOND
from channeld.base.worker import Worker
from channeld.bus.attach import pack_heads
from channeld.bus.feeds import FeedPosition
from channeld.bus.layout import Lapped
from channeld.bus.ring import RingWriter
from channeld.playout.readers import Readers
from channeld.playout.terms import PUSH, Terms
from channeld.ts.packet import PACKET_BYTES

BURST_S = 2
REWIND_S = 2
"""What a new FFmpeg gets again of what was written for the one before it: that much may have been in pipes and queues."""
LOOK_S = 0.5
GUARD_SLICES = 8
"""A feed this close to the ring's tail jumps: what it is about to write could change under it."""

log = structlog.get_logger()


@dataclass(slots=True)
class Feed:
    """One FIFO: the next slice, how many bytes of it are done, and the rest of the packet that it took a part of (counted as done)."""

    channel: str
    output: str
    ring: RingWriter
    fd: int
    slot: int
    seq: int
    offset: int = 0
    torn: bytes = b""
    is_blocked: bool = False
    jumps: int = 0
    terms: Terms = PUSH
    taken_ns: int = 0
    unread: int = 0
    """When the FIFO took something last, or its reader was seen to, and what lay in it then."""


def burst_start(ring: RingWriter, behind_s: float) -> int:
    """The newest random access point at least `behind_s` behind the head, else the oldest one, else what comes next."""
    if ring.head_seq < ring.tail_seq:
        return ring.head_seq + 1
    limit = ring.slice(ring.head_seq).dts - round(behind_s * TICKS_PER_SECOND)
    oldest = None
    for seq in range(ring.head_seq, ring.tail_seq + GUARD_SLICES * (ring.tail_seq > 1) - 1, -1):
        info = ring.slice(seq)
        if info.is_random_access:
            oldest = seq
            if info.dts <= limit:
                break
    return oldest if oldest is not None else ring.head_seq + 1


def rewound_start(ring: RingWriter, last: FeedPosition | None) -> int:
    """Where a new FFmpeg begins: REWIND_S before what the one before it was given, at a random access point, so that nothing is missed.

    As for the very first one where the ring holds that no more, or never had it.
    """
    oldest = ring.tail_seq + GUARD_SLICES * (ring.tail_seq > 1)
    if last is None or not oldest <= last.seq <= ring.head_seq + 1 or ring.head_seq < oldest:
        return burst_start(ring, BURST_S)
    limit = ring.slice(min(last.seq, ring.head_seq)).dts - REWIND_S * TICKS_PER_SECOND
    seq = ring.random_access_at_or_before(limit)
    if seq is not None and seq >= oldest:
        return seq
    kept = (seq for seq in range(oldest, last.seq) if ring.slice(seq).is_random_access)
    return next(kept, None) or burst_start(ring, BURST_S)


class Feeder(Worker):
    """Commands come from other threads through `post`; all state belongs to this thread."""

    def __init__(self, report: Callable[..., None]) -> None:
        super().__init__("feeder")
        self._report = report
        self._commands: deque[Callable[[], None]] = deque()
        self._published: deque[tuple[str, int, int]] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._feeds: dict[str, dict[str, Feed]] = {}
        self._by_fd: dict[int, Feed] = {}
        self._listeners: dict[int, socket.socket] = {}
        self.readers = Readers()
        self.turned_ns = time.monotonic_ns()

    def post(self, command: Callable[[], None]) -> None:
        """Have a command run on the feeder's thread."""
        self._commands.append(command)
        self.wake()

    def published(self, channel: str, ring_id: int, head: int) -> None:
        """A slice was published; called by the heap thread, costs it one system call."""
        self._published.append((channel, ring_id, head))
        os.eventfd_write(self._wake_fd, 1)

    def wake(self) -> None:
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.turned_ns = time.monotonic_ns()
            for fd, _ in self._epoll.poll(LOOK_S):
                if fd == self._wake_fd:
                    os.eventfd_read(fd)
                elif fd in self._by_fd:
                    self._pump(self._by_fd[fd])
            self._turn()
        for feeds in list(self._feeds.values()):
            for feed in list(feeds.values()):
                self._close(feed)
        self.readers.close()
        self._epoll.close()

    def close(self, timeout_s: float = 10.0) -> None:
        """End the thread, and then what wakes it: it may be gone between the order and the call. Idempotent."""
        super().close(timeout_s)
        wake_fd, self._wake_fd = self._wake_fd, -1
        if wake_fd >= 0:
            os.close(wake_fd)

    def _turn(self) -> None:
        while self._commands:
            try:
                self._commands.popleft()()
            except Exception:  # one that cannot be fed, such as for want of descriptors, takes nothing from all others
                log.exception("feeder_command_failed")
        self.readers.look()
        self._look_at_stalled()
        heads: dict[str, tuple[int, int]] = {}
        while self._published:
            channel, ring_id, head = self._published.popleft()
            heads[channel] = (ring_id, head)
        if not heads:
            return
        self.readers.tell(heads)
        for channel in heads:
            for feed in list(self._feeds.get(channel, {}).values()):
                if not feed.is_blocked:
                    self._pump(feed)
        datagram = pack_heads(heads.values())
        for worker, listener in list(self._listeners.items()):
            self._notify(worker, listener, datagram)

    def _notify(self, worker: int, listener: socket.socket, datagram: bytes) -> None:
        try:
            listener.send(datagram, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return  # the next datagram carries newer heads
        except OSError:
            self.remove_listener(worker)

    def add_listener(self, worker: int, listener: socket.socket) -> None:
        """Tell a media worker heads from now on; the socket is owned here. Feeder thread."""
        self.remove_listener(worker)
        self._listeners[worker] = listener

    def remove_listener(self, worker: int) -> None:
        """Forget a media worker. Feeder thread."""
        listener = self._listeners.pop(worker, None)
        if listener is not None:
            listener.close()

    def add(self, channel: str, output: str, ring: RingWriter, fd: int, *, continues: bool = False, terms: Terms = PUSH) -> None:
        """Begin to fill a FIFO; `fd` is owned here. Feeder thread.

        One that continues goes on at the byte that the feed before it ended with; a new one begins with a burst, or as its terms say.
        """
        self.remove(channel, output)
        os.set_blocking(fd, False)
        last = ring.feeds.get(output)
        feed = Feed(channel, output, ring, fd, ring.feeds.slot(output), 0, terms=terms, taken_ns=time.monotonic_ns())
        if continues and last is not None:
            _go_on(feed, last)
        elif terms.joins:
            feed.seq = burst_start(ring, 0.0)
        else:
            feed.seq = rewound_start(ring, last)
        self._feeds.setdefault(channel, {})[output] = feed
        self._by_fd[fd] = feed
        self._pump(feed)

    def remove(self, channel: str, output: str) -> None:
        """Stop filling a FIFO and close its fd. Feeder thread."""
        feed = self._feeds.get(channel, {}).get(output)
        if feed is not None:
            self._close(feed)

    def give_up(self, channel: str, output: str) -> None:
        """As remove, where the reader is gone: what it left in its FIFO was never given to anybody. Feeder thread."""
        feed = self._feeds.get(channel, {}).get(output)
        if feed is not None:
            _take_back(feed)
            self._close(feed)

    def drop_channel(self, channel: str, ring: RingWriter) -> None:
        """Stop all feeds of a channel and close its ring, whose last user this thread is. Feeder thread."""
        for feed in list(self._feeds.pop(channel, {}).values()):
            self._close(feed)
        ring.mark_ended()
        self.readers.ended(channel, ring)
        ring.close()

    def _close(self, feed: Feed) -> None:
        self._feeds.get(feed.channel, {}).pop(feed.output, None)
        del self._by_fd[feed.fd]
        if feed.is_blocked:
            self._epoll.unregister(feed.fd)
        os.close(feed.fd)

    def _pump(self, feed: Feed) -> None:
        """Write until the FIFO is full or everything published is written."""
        try:
            while feed.seq <= feed.ring.head_seq:
                if (feed.seq < feed.ring.tail_seq + GUARD_SLICES and feed.ring.tail_seq > 1) or _is_too_late(feed):
                    self._jump(feed)
                    continue
                try:
                    self._write(feed)
                except Lapped:  # by one large slice that took the place of many small ones
                    continue
            self._set_blocked(feed, False)
        except BlockingIOError:
            feed.unread = _unread(feed.fd)
            self._set_blocked(feed, True)
        except OSError as error:
            self._lose(feed, "gone", str(error))

    def _lose(self, feed: Feed, reason: str, error: str) -> None:
        _take_back(feed)
        self._close(feed)
        facts = {"channel": feed.channel, "output": feed.output, "serial": feed.terms.serial}
        self._report("feed_lost", **facts, reason=reason, error=error)

    def _look_at_stalled(self) -> None:
        """Hang up on readers that took nothing for longer than their terms let them."""
        now_ns = time.monotonic_ns()
        for feed in [feed for feed in self._by_fd.values() if feed.is_blocked and feed.terms.stall_s is not None]:
            unread = _unread(feed.fd)
            if unread < feed.unread:
                feed.unread, feed.taken_ns = unread, now_ns
            elif now_ns - feed.taken_ns >= (feed.terms.stall_s or 0) * NS_PER_SECOND:
                self._lose(feed, "stalled", f"it took nothing for {feed.terms.stall_s:g} s")

    def _write(self, feed: Feed) -> None:
        try:
            self._write_some(feed)
            feed.taken_ns = time.monotonic_ns()
        finally:
            feed.ring.feeds.put(feed.slot, feed.seq, max(0, feed.offset - len(feed.torn)))

    def _write_some(self, feed: Feed) -> None:
        if feed.torn:
            feed.torn = feed.torn[os.write(feed.fd, feed.torn) :]
            return
        pieces = _behind(feed.ring.views(feed.seq), feed.offset)
        written = os.writev(feed.fd, pieces)
        feed.offset += written
        if written == sum(len(piece) for piece in pieces):
            feed.seq, feed.offset = feed.seq + 1, 0
        elif feed.offset % PACKET_BYTES:
            # Taken out of the ring now: while the FIFO is full, its place may be written over.
            rest = PACKET_BYTES - feed.offset % PACKET_BYTES
            feed.torn = b"".join(_behind(tuple(pieces), written))[:rest]
            feed.offset += rest

    def _jump(self, feed: Feed) -> None:
        """Leave what the ring is about to overwrite, at a packet boundary, for the newest random access point."""
        ring, behind_s = feed.ring, _behind_s(feed)
        target = _newest_random_access(ring, max(feed.seq, ring.tail_seq + GUARD_SLICES)) or ring.head_seq + 1
        feed.jumps += 1
        log.warning("feed_jumped", channel=feed.channel, output=feed.output, slices=target - feed.seq, jumps=feed.jumps)
        feed.seq, feed.offset = target, 0
        if feed.terms.lag_s is not None:
            lost_s = round(behind_s - _behind_s(feed), 1)
            self._report("feed_jumped", channel=feed.channel, output=feed.output, serial=feed.terms.serial, lost_s=lost_s)

    def _set_blocked(self, feed: Feed, is_blocked: bool) -> None:
        if is_blocked == feed.is_blocked:
            return
        feed.is_blocked = is_blocked
        if is_blocked:
            self._epoll.register(feed.fd, select.EPOLLOUT)
        else:
            self._epoll.unregister(feed.fd)

    def figures(self) -> list[dict[str, Any]]:
        """How far each feed is behind its ring, in slices and seconds, how often it jumped, and what its FIFO holds. Any thread."""
        return [
            {
                "channel": feed.channel,
                "output": feed.output,
                "behind": max(0, feed.ring.head_seq - feed.seq + 1),
                "behind_s": _behind_s(feed),
                "jumps": feed.jumps,
                "fifo": _fifo_fill(feed.fd),
                "may_lag": feed.terms.lag_s is not None,
            }
            for feed in list(self._by_fd.values())
        ]


def _behind_s(feed: Feed) -> float:
    """Seconds of stream that the feed has not written; as far as the ring holds it."""
    ring, head = feed.ring, feed.ring.head_seq
    seq = max(feed.seq, ring.tail_seq)
    if seq > head:
        return 0.0
    try:
        newest, next_one = ring.slice(head), ring.slice(seq)
    except (Lapped, ValueError):
        return 0.0  # overtaken, or its channel taken off the air, while we looked
    return (newest.dts + newest.duration - next_one.dts) / TICKS_PER_SECOND


def _newest_random_access(ring: RingWriter, after: int) -> int | None:
    """The newest random access point behind a slice."""
    return next((seq for seq in range(ring.head_seq, after, -1) if ring.slice(seq).is_random_access), None)


def _is_too_late(feed: Feed) -> bool:
    """The reader is further behind than its terms let it, and there is a random access point to go on at."""
    lag_s = feed.terms.lag_s
    return lag_s is not None and _behind_s(feed) > lag_s and _newest_random_access(feed.ring, feed.seq) is not None


def _fifo_fill(fd: int) -> tuple[int, int] | None:
    """Bytes in a FIFO, and how many it can hold; None for one that was closed meanwhile."""
    try:
        return _unread(fd), fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:
        return None


def _unread(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _go_on(feed: Feed, last: FeedPosition) -> None:
    """Set a feed to the byte behind the last one written, perhaps in the middle of a packet."""
    ring, rest = feed.ring, -last.offset % PACKET_BYTES
    oldest = ring.tail_seq + GUARD_SLICES * (ring.tail_seq > 1)
    if oldest <= last.seq <= ring.head_seq + 1:
        feed.seq, feed.offset = last.seq, last.offset
        if rest:
            feed.torn = b"".join(_behind(ring.views(last.seq), last.offset))[:rest]
            feed.offset += rest
        return
    # The ring holds it no more: the packet that was begun is filled up, so that the reader finds the next one where it looks.
    points = (seq for seq in range(ring.head_seq, max(oldest, 1) - 1, -1) if ring.slice(seq).is_random_access)
    feed.seq, feed.torn, feed.jumps = next(points, ring.head_seq + 1), b"\xff" * rest, 1
    log.warning("feed_jumped", channel=feed.channel, output=feed.output, slices=feed.seq - last.seq, jumps=feed.jumps)


def _take_back(feed: Feed) -> None:
    """Put the position in the feed table back by what lies in the FIFO unread, so that the next reader begins before it."""
    seq, left = feed.seq, max(0, feed.offset - len(feed.torn)) - _unread(feed.fd)
    while left < 0 and seq - 1 >= feed.ring.tail_seq:
        seq -= 1
        left += feed.ring.slice(seq).length
    feed.ring.feeds.put(feed.slot, seq, max(0, left))


def _behind(views: tuple[memoryview, ...], offset: int) -> list[memoryview]:
    """The pieces without their first `offset` bytes."""
    pieces = []
    for view in views:
        if offset < len(view):
            pieces.append(view[offset:])
        offset = max(0, offset - len(view))
    return pieces
