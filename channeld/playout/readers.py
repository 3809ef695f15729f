"""Local readers of the channels' rings: who gets the ring, is told its heads, and follows it to the next generation.

Rule: a reader never makes anybody wait. A head that finds its socket full is dropped, as the next one says more; any other message that
does so costs the reader its connection, and it comes again. Sockets are owned here from `add` on. Feeder's thread only, but for `count`
and `listed`.
"""

import os
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from channeld.base.unix_socket import Peer, peer_of
from channeld.bus.protocol import Kind, Refusal, pack_refusal, pack_told
from channeld.bus.ring import RingWriter

NEXT_RING_S = 3.0
"""How long readers of a ring that ended wait for the channel's next one before they are told that it is off the air."""


@dataclass(frozen=True, slots=True)
class Places:
    """How many readers a channel has room for, and how many of these any one user may have; root and our own user are not counted so."""

    most: int
    most_each: int


@dataclass(slots=True, eq=False)
class _Reader:
    """One reader's socket, who it is and since when; `dropped`: heads that found its socket full."""

    socket: socket.socket
    peer: Peer
    command: str | None
    since_s: float
    dropped: int = 0

    def describe(self) -> dict[str, Any]:
        """For the wire."""
        peer = self.peer
        return {"pid": peer.pid, "uid": peer.uid, "command": self.command, "since_s": self.since_s, "dropped": self.dropped}


@dataclass(slots=True)
class _Group:
    """The readers of one channel. `waits_until_ns`: its ring ended, and its next one is waited for. `ring`: whose header tells how many."""

    ends: list[_Reader] = field(default_factory=list)
    waits_until_ns: int | None = None
    ring: RingWriter | None = None


class Readers:
    """All readers of one host."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def count(self, channel: str) -> int:
        """Readers of a channel, as far as it is known that they live. Any thread."""
        group = self._groups.get(channel)
        return len(group.ends) if group is not None else 0

    def listed(self, channel: str, limit: int) -> list[dict[str, Any]]:
        """Readers of a channel, the newest first. Any thread."""
        group = self._groups.get(channel)
        return [end.describe() for end in reversed(group.ends[-limit:])] if group is not None else []

    def add(self, channel: str, ring: RingWriter | None, end: socket.socket, places: Places) -> None:
        """Give a reader the ring, and tell it heads from now on. None: it is not on air."""
        peer = peer_of(end)
        reader = _Reader(end, peer, peer.command(), time.time())
        if ring is None:
            _refuse(reader, Refusal.NOT_ON_AIR, f"{channel} is not on air")
            return
        group = self._groups.setdefault(channel, _Group())
        group.ring = ring
        refusal = _full(channel, group, peer.uid, places)
        if refusal is not None:
            _bury(group)
            refusal = _full(channel, group, peer.uid, places)
        if refusal is not None:
            _refuse(reader, Refusal.TOO_MANY, refusal)
        elif _give(reader, ring):
            group.ends.append(reader)

    def tell(self, heads: Mapping[str, tuple[int, int]]) -> None:
        """Slices were published: ring id and head by channel."""
        for channel, (ring_id, head) in heads.items():
            group = self._groups.get(channel)
            if group is not None and group.ends:
                message = pack_told(Kind.HEAD, ring_id, head)
                group.ends = [end for end in group.ends if _send(end, message, may_drop=True)]

    def ended(self, channel: str, ring: RingWriter) -> None:
        """Nothing follows in a channel's ring; another one may."""
        group = self._groups.get(channel)
        if group is not None:
            message = pack_told(Kind.ENDED, ring.ring_id, ring.head_seq)
            group.ends = [end for end in group.ends if _send(end, message)]
            group.ring = None
            group.waits_until_ns = time.monotonic_ns() + round(NEXT_RING_S * 1e9)

    def began(self, channel: str, ring: RingWriter) -> None:
        """A channel has a ring: those that waited for it get it."""
        group = self._groups.get(channel)
        if group is not None:
            group.waits_until_ns, group.ring = None, ring
            group.ends = [end for end in group.ends if _give(end, ring)]

    def look(self) -> None:
        """Tell those that waited long enough that their channel is off the air, and, in each ring, how many read it."""
        now_ns = time.monotonic_ns()
        for channel, group in list(self._groups.items()):
            if group.ring is not None:
                group.ring.note_readers(len(group.ends))
            if group.waits_until_ns is not None and group.waits_until_ns <= now_ns:
                self._dismiss(channel)

    def _dismiss(self, channel: str) -> None:
        group = self._groups.pop(channel)
        for end in group.ends:
            if group.waits_until_ns is None or _send(end, pack_told(Kind.CLOSED)):
                end.socket.close()

    def close(self) -> None:
        """The host ends. Readers of what was on air are told nothing: another host goes on with their rings."""
        for channel in list(self._groups):
            self._dismiss(channel)


def _give(end: _Reader, ring: RingWriter) -> bool:
    """False when the reader is gone, and its socket closed."""
    fd = ring.open_reader_fd()
    try:
        socket.send_fds(end.socket, [pack_told(Kind.RING, ring.ring_id, ring.head_seq)], [fd], socket.MSG_DONTWAIT)
    except OSError:
        end.socket.close()
        return False
    finally:
        os.close(fd)
    return True


def _send(end: _Reader, message: bytes, *, may_drop: bool = False) -> bool:
    """False when the reader is gone, and its socket closed."""
    try:
        end.socket.send(message, socket.MSG_DONTWAIT)
    except OSError as error:
        if may_drop and isinstance(error, BlockingIOError):
            end.dropped += 1
            return True
        end.socket.close()
        return False
    return True


def _refuse(end: _Reader, refusal: Refusal, text: str) -> None:
    if _send(end, pack_refusal(refusal, text)):
        end.socket.close()


def _full(channel: str, group: _Group, uid: int, places: Places) -> str | None:
    """Why there is no place for one more reader of a user."""
    if len(group.ends) >= places.most:
        return f"{channel} has {places.most} readers already"
    if uid not in (0, os.geteuid()) and sum(end.peer.uid == uid for end in group.ends) >= places.most_each:
        return f"{channel} has {places.most_each} readers of user {uid} already"
    return None


def _bury(group: _Group) -> None:
    """Close the sockets of readers that hung up: otherwise that is only seen at the next publish."""
    poller = select.poll()
    for end in group.ends:
        poller.register(end.socket, 0)
    gone = {fd for fd, _ in poller.poll(0)}
    for end in group.ends:
        if end.socket.fileno() in gone:
            end.socket.close()
    group.ends = [end for end in group.ends if end.socket.fileno() >= 0]
