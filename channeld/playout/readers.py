"""Local readers of the channels' rings: who gets the ring, is told its heads, and follows it to the next generation.

Rule: a reader never makes anybody wait. A head that finds its socket full is dropped, as the next one says more; any other message that
does so costs the reader its connection, and it comes again. Sockets are owned here from `add` on.

Everything is the feeder's thread's, but `count` and `listed`, and that the heap thread tells the first PROMPT readers of a channel itself:
a second thread would have to wait for the interpreter and for its turn on a CPU, which takes longer than the way to a reader's process.
"""

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from channeld.base.unix_socket import Peer, peer_of
from channeld.bus.protocol import Kind, Refusal, pack_refusal, pack_told
from channeld.bus.ring import RingWriter

_DONTWAIT = int(socket.MSG_DONTWAIT)
NEXT_RING_S = 3.0
"""How long readers of a ring that ended wait for the channel's next one before they are told that it is off the air."""
PROMPT = 32
"""Readers of a channel that hear of a slice first. Each costs the heap thread a system call of some microseconds that cannot wait."""
OVERFLOW_UID = 65534
"""Whom the kernel names in place of every user that our namespace does not know."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Places:
    """How many readers a channel has room for, and how many of these any one user may have; root and our own user are not counted so."""

    most: int
    most_each: int


@dataclass(slots=True, eq=False)
class _Reader:
    """One reader's socket, who it is and since when.

    `dropped`: heads that found its socket full; `told`: ring and head that it was given, or that the heap thread told it last.
    """

    socket: socket.socket
    peer: Peer
    command: str | None
    since_s: float
    dropped: int = 0
    told: tuple[int, int] = (0, 0)

    def describe(self) -> dict[str, Any]:
        """For the wire."""
        peer = self.peer
        return {"pid": peer.pid, "uid": peer.uid, "command": self.command, "since_s": self.since_s, "dropped": self.dropped}


@dataclass(slots=True, eq=False)
class _Group:
    """The readers of one channel. `waits_until_ns`: its ring ended, and its next one is waited for. `ring`: whose header tells how many."""

    ends: tuple[_Reader, ...] = ()  # replaced, never changed: the heap thread goes through it
    waits_until_ns: int | None = None
    ring: RingWriter | None = None


class Readers:
    """All readers of one host."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._closing = threading.Lock()
        """Held while the heap thread sends, and while a socket is closed: its number may be another file's a moment later."""

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
        if ring is None:
            _refuse(end, Refusal.NOT_ON_AIR, f"{channel} is not on air")
            return
        peer = peer_of(end)
        reader = _Reader(end, peer, peer.command(), time.time())
        group = self._groups.setdefault(channel, _Group())
        group.ring = ring
        refusal = _full(channel, group, peer.uid, places)
        if refusal is not None:
            self._part(group, _hung_up(group.ends))
            refusal = _full(channel, group, peer.uid, places)
        if refusal is not None:
            _refuse(end, Refusal.TOO_MANY, refusal)
            return
        given = ring.head_seq
        if not _give(reader, ring):
            end.close()
            return
        group.ends = (*group.ends, reader)
        if ring.head_seq != given:  # published before it was one of those who are told
            self._send_all(group, (reader,), pack_told(Kind.HEAD, ring.ring_id, ring.head_seq), may_drop=True)

    def announce(self, channel: str, ring_id: int, head: int) -> Callable[[], None] | None:
        """Before a slice is published: what tells those who hear of it first, to be called when it is; None without any. Heap thread.

        Whatever can be done before is done here: each function between the two costs a reader some ten microseconds.
        """
        group = self._groups.get(channel)
        if group is None or not group.ends:
            return None
        return partial(self._send_first, group.ends[:PROMPT], pack_told(Kind.HEAD, ring_id, head), (ring_id, head))

    def _send_first(self, ends: tuple[_Reader, ...], message: bytes, told: tuple[int, int]) -> None:
        with self._closing:
            for end in ends:
                try:
                    end.socket.send(message, _DONTWAIT)
                except BlockingIOError:
                    end.dropped += 1
                except OSError:
                    continue  # it is gone: `tell` finds that out, too, and may do something about it
                end.told = told

    def tell(self, heads: Mapping[str, tuple[int, int]]) -> None:
        """Slices were published, ring id and head by channel: tell the others."""
        for channel, (ring_id, head) in heads.items():
            group = self._groups.get(channel)
            if group is not None:
                # By what each was told, not by its place: who stood before it may have gone since.
                others = tuple(end for end in group.ends if end.told[0] != ring_id or end.told[1] < head)
                self._send_all(group, others, pack_told(Kind.HEAD, ring_id, head), may_drop=True)

    def ended(self, channel: str, ring: RingWriter) -> None:
        """Nothing follows in a channel's ring; another one may."""
        group = self._groups.get(channel)
        if group is not None:
            self._send_all(group, group.ends, pack_told(Kind.ENDED, ring.ring_id, ring.head_seq))
            group.ring = None
            group.waits_until_ns = time.monotonic_ns() + round(NEXT_RING_S * 1e9)

    def began(self, channel: str, ring: RingWriter) -> None:
        """A channel has a ring: those that waited for it get it."""
        group = self._groups.get(channel)
        if group is not None:
            group.waits_until_ns, group.ring = None, ring
            # Who attached a moment ago has it already.
            self._part(group, tuple(end for end in group.ends if end.told[0] != ring.ring_id and not _give(end, ring)))

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
        if group.waits_until_ns is not None:
            self._send_all(group, group.ends, pack_told(Kind.CLOSED))
        self._part(group, group.ends)

    def close(self) -> None:
        """The host ends. Readers of what was on air are told nothing: another host goes on with their rings."""
        for channel in list(self._groups):
            self._dismiss(channel)

    def _send_all(self, group: _Group, ends: tuple[_Reader, ...], message: bytes, *, may_drop: bool = False) -> None:
        self._part(group, tuple(end for end in ends if not _send(end, message, may_drop=may_drop)))

    def _part(self, group: _Group, gone: tuple[_Reader, ...]) -> None:
        """Forget readers, and close their sockets."""
        if gone:
            group.ends = tuple(end for end in group.ends if end not in gone)
            with self._closing:
                for end in gone:
                    end.socket.close()


def _give(end: _Reader, ring: RingWriter) -> bool:
    """False when the reader is gone."""
    try:
        fd = ring.open_reader_fd()
    except OSError as error:  # no descriptor is free
        log.warning("ring_not_given", error=error.strerror)
        return False
    told = ring.ring_id, ring.head_seq
    try:
        socket.send_fds(end.socket, [pack_told(Kind.RING, *told)], [fd], socket.MSG_DONTWAIT)
    except OSError:
        return False
    finally:
        os.close(fd)
    end.told = told
    return True


def _send(end: _Reader, message: bytes, *, may_drop: bool = False) -> bool:
    """False when the reader is gone, or has no room for a message that must arrive."""
    try:
        end.socket.send(message, socket.MSG_DONTWAIT)
    except OSError as error:
        if not (may_drop and isinstance(error, BlockingIOError)):
            return False
        end.dropped += 1
    return True


def _refuse(end: socket.socket, refusal: Refusal, text: str) -> None:
    with contextlib.suppress(OSError):  # gone, or not reading: it is hung up on anyway
        end.send(pack_refusal(refusal, text), socket.MSG_DONTWAIT)
    end.close()


def _full(channel: str, group: _Group, uid: int, places: Places) -> str | None:
    """Why there is no place for one more reader of a user."""
    if len(group.ends) >= places.most:
        return f"{channel} has {places.most} readers already"
    if uid not in (0, os.geteuid()) and sum(end.peer.uid == uid for end in group.ends) >= places.most_each:
        return f"{channel} has {places.most_each} readers of {_who(uid)} already"
    return None


def _who(uid: int) -> str:
    """What a user is called; under PrivateUsers= of a unit the kernel has one number for all but root and ours."""
    knows_all = Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ["0", "0", "4294967295"]
    return f"user {uid}" if knows_all or uid != OVERFLOW_UID else "users that cannot be told apart (PrivateUsers= of the unit)"


def _hung_up(ends: tuple[_Reader, ...]) -> tuple[_Reader, ...]:
    """Readers that are gone already; otherwise that is only seen at the next publish."""
    poller = select.poll()
    for end in ends:
        poller.register(end.socket, 0)
    gone = {fd for fd, _ in poller.poll(0)}
    return tuple(end for end in ends if end.socket.fileno() in gone)
