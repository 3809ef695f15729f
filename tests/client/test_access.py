"""Who gets a ring, and what they cannot do with it."""

import contextlib
import fcntl
import hashlib
import json
import os
import random
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from small_air import SmallAir, chunk_of, open_descriptors, until

from channeld.bus.protocol import MAX_MESSAGE_BYTES, Kind, Refusal, pack_request, unpack_told
from channeld.channel.attach_desk import MAX_WAITING
from channeld.client import Refused, connect

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")


def knock(air: SmallAir, channel: str = "one") -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.connect(str(air.path(channel)))  # with a timeout it would not wait while many others do (EAGAIN, connect(2))
    end.settimeout(20)
    return end


def answer_to(air: SmallAir, request: bytes) -> Refusal | None:
    with knock(air) as end:
        end.send(request)
        datagram = end.recv(MAX_MESSAGE_BYTES)
        assert datagram == b"" or unpack_told(datagram).kind is Kind.REFUSED
        return unpack_told(datagram).refusal if datagram else None


def test_another_version_and_nonsense_are_refused_by_name(air: SmallAir) -> None:
    air.begin()
    assert answer_to(air, pack_request(version=2)) is Refusal.VERSION
    assert answer_to(air, pack_request(wants=6)) is Refusal.MALFORMED
    assert answer_to(air, b"GET / HTTP/1.1") is Refusal.MALFORMED
    assert answer_to(air, pack_request() + b"!") is Refusal.MALFORMED


def test_who_says_nothing_is_hung_up_on(air: SmallAir) -> None:
    with knock(air) as end:
        assert unpack_told(end.recv(MAX_MESSAGE_BYTES)).refusal is Refusal.TOO_SLOW


def test_fuzzed_handshakes_harm_nobody(air: SmallAir) -> None:
    air.begin()
    before = open_descriptors()
    rng = random.Random(6)
    silent = [knock(air) for _ in range(MAX_WAITING + 6)]
    for _ in range(300):
        length = rng.choice((1, 15, 16, 17, 64, 5_000))
        junk = bytearray(rng.randbytes(length))
        if length == 16:
            junk = bytearray(pack_request())
            junk[rng.randrange(16)] ^= 1 << rng.randrange(8)
        with knock(air) as end, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # or hung up on already
            if rng.random() < 0.5:
                socket.send_fds(end, [bytes(junk)], [0, 1, 2])
            else:
                end.send(junk)
    with connect("one", air.folder, timeout=20) as stream:
        air.publish(chunk_of(1))
        assert next(stream) == chunk_of(1)
    for end in silent:
        end.close()
    air.publish(chunk_of(2))
    until(lambda: open_descriptors() <= before, "every descriptor is closed")


def test_sockets_are_for_our_own_user_alone_and_go_with_the_desk(air: SmallAir) -> None:
    assert stat.S_IMODE(air.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(air.path().parent.stat().st_mode) == 0o700
    air.channels.discard("two")
    until(lambda: not air.path("two").exists(), "the socket of a channel that is gone")
    air.desk.close()
    assert not air.path().parent.exists()


def test_what_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "bus").mkdir()
    for name in ("one", "gone"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
            stale.bind(str(tmp_path / "bus" / f"{name}.sock"))
    air = SmallAir(tmp_path)
    try:
        air.begin()
        connect("one", tmp_path, timeout=20).close()
        assert not air.path("gone").exists()
    finally:
        air.close()


AS_OTHER = """
import os, sys
sys.path[:0] = sys.argv[3].split(os.pathsep)
from channeld.client import connect, Refused
os.setgroups([int(group) for group in sys.argv[2].split()]); os.setgid(65534); os.setuid(65534)
try:
    connect("one", sys.argv[1], timeout=20).close()
    print("attached")
except Refused as refused:
    print(refused)
"""


def as_nobody(where: str, groups: str = "") -> str:
    command = [sys.executable, "-c", AS_OTHER, where, groups, os.pathsep.join(path for path in sys.path if path)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True, cwd="/").stdout


REFUSED = {"EPERM", "EACCES", "EBADF", "EINVAL", "EOPNOTSUPP", "EXDEV"}


@needs_root
def test_a_reader_of_another_user_can_neither_write_into_the_ring_nor_take_it_from_its_host(open_folder: Path) -> None:
    """Let in by the group, it tries all that writing.py knows; the host is this very process."""
    air = SmallAir(open_folder, gid=54_321)
    try:
        ring = air.begin()
        air.publish(chunk_of(1))
        until(lambda: not air.feeder._published, "the feeder's turn")
        fd = ring.open_reader_fd()
        before = hashlib.sha256(os.pread(fd, os.fstat(fd).st_size, 0)).hexdigest(), os.fstat(fd).st_size, fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        mode = os.fstat(fd).st_mode, os.fstat(fd).st_uid
        command = [sys.executable, str(Path(__file__).parent / "writing.py"), str(air.path()), str(os.getpid())]
        paths = os.pathsep.join(path for path in sys.path if path)
        told = json.loads(subprocess.run([*command, paths], stdout=subprocess.PIPE, timeout=60, check=True, cwd="/").stdout)
        assert len(told) == 33
        assert {name: found for name, found in told.items() if found not in REFUSED} == {}
        ring.note_readers(0)
        after = hashlib.sha256(os.pread(fd, os.fstat(fd).st_size, 0)).hexdigest(), os.fstat(fd).st_size, fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        assert (after, (os.fstat(fd).st_mode, os.fstat(fd).st_uid)) == (before, mode)
        os.close(fd)
    finally:
        air.close()


AS_MANY = """
import os, sys
sys.path[:0] = sys.argv[2].split(os.pathsep)
from channeld.client import connect, Refused
os.setgroups([54321]); os.setgid(65534); os.setuid(65534)
held = []
try:
    while len(held) < 9:
        held.append(connect("one", sys.argv[1], timeout=20))
except Refused as refused:
    print(len(held), refused, flush=True)
sys.stdin.read()
"""


@needs_root
def test_no_user_takes_all_places(open_folder: Path) -> None:
    """Of four, two: the daemon's own user still gets the others, and all four where nobody else is there."""
    air = SmallAir(open_folder, most=4, most_each=2, gid=54_321)
    try:
        air.begin()
        command = [sys.executable, "-c", AS_MANY, str(open_folder), os.pathsep.join(path for path in sys.path if path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as greedy:
            assert greedy.stdout is not None
            assert greedy.stdout.readline() == "2 one: one has 2 readers of user 65534 already\n"
            assert [each["uid"] for each in air.feeder.readers.listed("one", 9)] == [NOBODY, NOBODY]
            ours = [connect("one", open_folder, timeout=20) for _ in range(2)]
            with pytest.raises(Refused, match="4 readers"):
                connect("one", open_folder, timeout=20)
            greedy.communicate(timeout=20)
        ours += [connect("one", open_folder, timeout=20) for _ in range(2)]
        for stream in ours:
            stream.close()
    finally:
        air.close()


@needs_root
def test_another_user_is_let_in_by_the_group_and_not_without_it(open_folder: Path) -> None:
    gid = 54_321
    open_folder.chmod(0o750)
    air = SmallAir(open_folder, gid=gid)
    try:
        air.begin()
        assert "not permitted" in as_nobody(str(open_folder))
        assert as_nobody(str(open_folder), str(gid)) == "attached\n"
        assert stat.S_IMODE(air.path().stat().st_mode) == 0o660
        # Past the modes there is still the question who it is.
        air.path().parent.chmod(0o755)
        air.path().chmod(0o666)
        assert "attach.group" in as_nobody(str(open_folder))
    finally:
        air.close()
