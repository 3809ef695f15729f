"""Many readers of one channel: all have the same bytes from the place where they joined, whoever else comes and goes."""

import contextlib
import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from descriptors import none_free
from small_air import PACKET, SmallAir, chunk_of, until

from channeld.bus.protocol import Kind, unpack_told
from channeld.bus.ring import RingWriter
from channeld.playout.readers import PROMPT, Places, Readers

READERS, SLICES, STEP, LAST = 20, 400, 40, 0xFFFFFFFF
SUM = """
import hashlib, sys
from channeld.client import connect
stream, digest, first, count = connect("one", sys.argv[1], timeout=60), hashlib.sha256(), None, 0
for chunk in stream:
    number = int.from_bytes(chunk[:4], "big")
    if number == 0xFFFFFFFF:
        break
    if first is None:
        first = number
        print(first, flush=True)
    digest.update(chunk)
    count += 1
    if number % 40 == 0:
        print(number, flush=True)
print(count, digest.hexdigest(), flush=True)
"""


def test_twenty_readers_have_the_same_bytes_from_where_they_joined(air: SmallAir) -> None:
    """The writer goes on in front of them, as fast as the slowest reads; the ring comes around many times."""
    air.begin(capacity_bytes=256 * 1024, slices=128)
    bodies = [chunk_of(number, packets=1 + number * 7919 % 40) for number in range(SLICES)]
    with contextlib.ExitStack() as parts:
        children = []
        published = iter(range(SLICES))
        for number in range(READERS):
            command = [sys.executable, "-S", "-c", SUM, str(air.folder)]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent.parent)
            children.append(parts.enter_context(child))
            for _ in range(5):
                air.publish(bodies[at := next(published)], is_random_access=at % 3 == 0)
            until(lambda: air.feeder.readers.count("one") == len(children), f"reader {number}")
        joined = []
        for child in children:
            assert child.stdout is not None
            joined.append(int(child.stdout.readline()))
        for at in published:
            air.publish(bodies[at], is_random_access=at % 3 == 0)
            if at % STEP == 0:
                for child in children:
                    assert child.stdout is not None
                    assert str(at) in iter(lambda child=child: child.stdout.readline().strip(), "")  # type: ignore[misc]
        air.publish(LAST.to_bytes(4, "big") * 47)
        told = [child.communicate(timeout=60)[0].split()[-2:] for child in children]
    assert joined == sorted(joined) and joined[0] < joined[-1] and all(first % 3 == 0 for first in joined)
    for first, (count, digest) in zip(joined, told, strict=True):
        assert (int(count), digest) == (SLICES - first, hashlib.sha256(b"".join(bodies[first:])).hexdigest())


def test_who_comes_behind_many_that_are_gone_is_told_of_the_very_next_slice() -> None:
    """The dead have the places of those who are told first; that they are found out may not cost another its message."""
    readers, ring = Readers(), RingWriter.create(capacity_bytes=1 << 16, slice_capacity=64, generation=7, description={})
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(PROMPT + 3)]
    for near, _ in pairs:
        readers.add("one", ring, near, Places(99, 99))
    living = pairs[-1][1]
    for _, far in pairs[:-1]:
        far.close()
    living.recv(200)  # the ring
    ring.publish(b"x" * PACKET, dts=0, duration=1, is_random_access=True, state=b"")
    tell_first = readers.announce("one", ring.ring_id, ring.head_seq)
    assert tell_first is not None
    tell_first()
    readers.tell({"one": (ring.ring_id, ring.head_seq)})
    told = unpack_told(living.recv(200, socket.MSG_DONTWAIT))
    assert (told.kind, told.generation, told.head) == (Kind.HEAD, 7, 1)
    assert readers.count("one") == 1
    with pytest.raises(BlockingIOError):  # once is enough
        living.recv(200, socket.MSG_DONTWAIT)
    readers.close()
    living.close()
    ring.close()


def test_who_comes_when_no_descriptor_is_free_is_hung_up_on_and_nobody_else() -> None:
    readers, ring = Readers(), RingWriter.create(capacity_bytes=1 << 16, slice_capacity=64, generation=7, description={})
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    for (near, _), whether in zip(pairs, (contextlib.nullcontext(), none_free()), strict=True):
        with whether:
            readers.add("one", ring, near, Places(99, 99))
    (_, living), (_, late) = pairs
    assert len(living.recv(200)) > 0 and late.recv(200) == b""
    assert readers.count("one") == 1
    readers.close()
    for each in (living, late):
        each.close()
    ring.close()


def test_a_ring_that_begins_just_as_a_reader_gets_it_is_given_once() -> None:
    readers, ring = Readers(), RingWriter.create(capacity_bytes=1 << 16, slice_capacity=64, generation=7, description={})
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    readers.add("one", ring, near, Places(99, 99))
    readers.began("one", ring)
    assert unpack_told(far.recv(200)).kind == Kind.RING
    with pytest.raises(BlockingIOError):
        far.recv(200, socket.MSG_DONTWAIT)
    readers.close()
    far.close()
    ring.close()
