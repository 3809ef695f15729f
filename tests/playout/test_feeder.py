"""The feeder and real FIFOs: backpressure, jumps at packet boundaries, one slow reader beside others, nothing left open."""

import array
import errno
import fcntl
import os
import socket
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judge.ts import SPLICED, TsReport, read_ts
from on_fake_air import open_files
from prepared import PreparedShelf, blocks_of, feed_of, stream_format

from channeld.bus.attach import unpack_heads
from channeld.bus.ring import RingWriter
from channeld.playout.feeder import BURST_S, Feeder, burst_start
from channeld.playout.terms import Terms
from channeld.ts.splicer import ClipFeed, Splicer

Until = Callable[[Callable[[], object]], None]
PIPE_BYTES = 4096
CUT_OUT = replace(SPLICED, open_start=True, open_end=True)


class Station:
    """A ring written by a splicer as fast as the test wants, and a feeder that is told of it."""

    def __init__(self, prepared: PreparedShelf, *, capacity_bytes: int = 8 << 20, slices: int = 2048) -> None:
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.feeder = Feeder(lambda kind, **values: self.reports.append((kind, values)))
        self.ring = RingWriter.create(capacity_bytes=capacity_bytes, slice_capacity=slices, generation=7, description={})
        self._blocks = blocks_of(prepared.numbered(50, base=50_000, tone_hz=300))
        self._splicer = Splicer(stream_format())
        self._clip = ClipFeed()
        self.sent: list[bytes] = []
        self.feeder.start()

    def publish(self, slices: int) -> None:
        """Put slices of 0.2 s on the bus, as the heap thread does."""
        for _ in range(slices):
            if not self._clip.frames_ready:
                self._clip = feed_of(self._blocks)
                self._splicer.join(self._clip)
            piece = self._splicer.next_slice(self._clip, 5)
            assert piece is not None
            packets = piece.packets.tobytes()
            self.sent.append(packets)
            self.ring.publish(packets, dts=piece.dts, duration=piece.duration, is_random_access=piece.is_random_access, state=b"")
            self.feeder.published("one", 7, self.ring.head_seq)

    def do(self, command: Callable[[], None]) -> None:
        self.feeder.post(command)

    def close(self) -> None:
        self.feeder.close()
        self.ring.close()


@pytest.fixture
def station(prepared: PreparedShelf) -> Iterator[Station]:
    made = Station(prepared)
    yield made
    made.close()


class Fifo:
    """A FIFO of one page with its reading end here; the writing end is given away."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.read_fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.write_fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.read_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.got = bytearray()

    def read(self) -> int:
        """Take what is in the pipe now; gives how much."""
        taken = 0
        while True:
            try:
                piece = os.read(self.read_fd, PIPE_BYTES)
            except BlockingIOError:
                return taken
            if not piece:
                return taken
            self.got += piece
            taken += len(piece)

    @property
    def waiting(self) -> int:
        """Bytes in the pipe."""
        held = array.array("i", [0])
        fcntl.ioctl(self.read_fd, termios.FIONREAD, held)
        return held[0]

    def close(self) -> None:
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    made = Fifo(tmp_path / "a.fifo")
    yield made
    made.close()


@pytest.fixture
def second_fifo(tmp_path: Path) -> Iterator[Fifo]:
    made = Fifo(tmp_path / "b.fifo")
    yield made
    made.close()


def add(station: Station, fifo: Fifo, output: str = "rtmp") -> None:
    station.do(lambda: station.feeder.add("one", output, station.ring, fifo.write_fd))


def drain(fifo: Fifo, until: Until, wanted: bytes) -> None:
    """Read until these many bytes came."""
    until(lambda: fifo.read() >= 0 and len(fifo.got) >= len(wanted))


def figures(station: Station, output: str = "rtmp") -> dict[str, Any]:
    return next((feed for feed in station.feeder.figures() if feed["output"] == output), {})


def judged_parts(stream: bytes) -> TsReport:
    """Whole packets only: sync everywhere, and every access unit whole."""
    assert len(stream) % 188 == 0
    return read_ts(stream, allowances=CUT_OUT)


def test_a_fifo_gets_every_byte_of_the_bus_in_order(station: Station, fifo: Fifo, until: Until) -> None:
    add(station, fifo)
    for _ in range(10):
        station.publish(3)
        drain(fifo, until, b"".join(station.sent))
    assert bytes(fifo.got) == b"".join(station.sent)
    assert judged_parts(bytes(fifo.got)).faults() == []


def test_an_unread_fifo_is_backpressure_and_the_feed_waits(station: Station, fifo: Fifo, until: Until) -> None:
    station.publish(1)
    add(station, fifo)
    until(lambda: fifo.waiting > 0)
    station.publish(60)
    until(lambda: fifo.waiting == PIPE_BYTES and figures(station)["behind"] >= 60)
    assert figures(station)["jumps"] == 0
    drain(fifo, until, b"".join(station.sent))
    assert bytes(fifo.got) == b"".join(station.sent)
    until(lambda: figures(station)["behind"] == 0)


def test_a_new_feed_begins_with_a_burst_from_a_random_access_point(station: Station, fifo: Fifo, until: Until) -> None:
    station.publish(43)
    first = burst_start(station.ring, BURST_S)
    assert station.ring.slice(first).is_random_access
    behind_s = (station.ring.slice(43).dts - station.ring.slice(first).dts) / 90_000
    assert BURST_S <= behind_s < BURST_S + 1.0, "key frames come each second"
    add(station, fifo)
    drain(fifo, until, b"".join(station.sent[first - 1 :]))
    assert bytes(fifo.got) == b"".join(station.sent[first - 1 :])


def test_an_empty_ring_has_no_burst(station: Station) -> None:
    assert burst_start(station.ring, BURST_S) == 1


@pytest.fixture
def small_station(prepared: PreparedShelf) -> Iterator[Station]:
    """A ring of 64 slices: about 13 s."""
    made = Station(prepared, slices=64)
    yield made
    made.close()


@pytest.mark.parametrize("taken", [0, 1, 100, 188, 1000, 4096])
def test_a_lapped_feed_jumps_to_a_random_access_point_and_sends_whole_packets(
    small_station: Station, fifo: Fifo, until, taken: int
) -> None:
    """The pipe is full in the middle of a packet when the ring goes round, twice, under the feed."""
    station = small_station
    station.publish(1)
    add(station, fifo)
    station.publish(10)
    until(lambda: fifo.waiting == PIPE_BYTES)
    fifo.got += os.read(fifo.read_fd, taken) if taken else b""
    station.publish(130)
    until(lambda: fifo.read() >= 0 and figures(station)["behind"] == 0)
    fifo.read()
    assert figures(station)["jumps"] >= 1
    report = judged_parts(bytes(fifo.got))
    assert report.packets.faults == ()
    video = report.video
    assert video is not None
    gap = int((video.units.dts[1:] - video.units.dts[:-1]).argmax()) + 1
    assert video.units.is_random_access[gap], "what follows the jump can be decoded"
    assert bytes(fifo.got).endswith(station.sent[-1])


def test_a_ring_without_any_random_access_point_left_makes_the_feed_wait_for_new_slices(prepared, fifo: Fifo, until: Until) -> None:
    station = Station(prepared, slices=16)
    station.publish(1)
    add(station, fifo)
    until(lambda: fifo.waiting > 0)
    for number in range(200):
        packets = bytes((0x47, 0x01, 0x00, 0x10)).ljust(188, b"\0") * 30
        station.ring.publish(packets, dts=number, duration=1, is_random_access=False, state=b"")
    station.feeder.published("one", 7, station.ring.head_seq)
    until(lambda: fifo.read() >= 0 and figures(station).get("behind") == 0)
    assert station.feeder.alive
    station.close()


def test_a_reader_that_is_gone_is_told_once_and_its_fd_closed(station: Station, fifo: Fifo, until: Until, tmp_path: Path) -> None:
    add(station, fifo)
    station.publish(1)
    until(lambda: fifo.waiting > 0)
    fifo.close()
    station.publish(2)
    until(lambda: station.reports)
    station.publish(2)
    lost = {"channel": "one", "output": "rtmp", "serial": 0, "reason": "gone", "error": "[Errno 32] Broken pipe"}
    assert station.reports == [("feed_lost", lost)]
    assert station.feeder.figures() == [] and open_files(tmp_path) == []


def test_a_reader_that_goes_while_its_pipe_is_full_is_told(station: Station, fifo: Fifo, until: Until, tmp_path: Path) -> None:
    add(station, fifo)
    station.publish(30)
    until(lambda: fifo.waiting == PIPE_BYTES)
    fifo.close()
    until(lambda: station.reports)
    assert open_files(tmp_path) == []


def test_one_slow_fifo_leaves_the_others_untouched(station: Station, fifo: Fifo, second_fifo: Fifo, until: Until) -> None:
    add(station, fifo, "slow")
    add(station, second_fifo, "quick")
    for _ in range(20):
        station.publish(5)
        drain(second_fifo, until, b"".join(station.sent))
    assert bytes(second_fifo.got) == b"".join(station.sent)
    assert (figures(station, "quick")["behind"], figures(station, "slow")["behind"] > 90) == (0, True)
    drain(fifo, until, b"".join(station.sent))
    assert bytes(fifo.got) == b"".join(station.sent)


def test_publishing_never_waits_for_a_fifo(station: Station, fifo: Fifo, until: Until) -> None:
    """The writer's side is the ring and one eventfd; a full pipe is the feeder's matter alone."""
    add(station, fifo)
    station.publish(300)
    assert station.ring.head_seq == 300
    until(lambda: fifo.waiting == PIPE_BYTES)


def test_a_removed_feed_and_a_dropped_channel_leave_no_fd(station: Station, fifo: Fifo, second_fifo: Fifo, until, tmp_path: Path) -> None:
    add(station, fifo, "a")
    add(station, second_fifo, "b")
    station.publish(30)
    until(lambda: second_fifo.waiting == fifo.waiting == PIPE_BYTES)
    station.do(lambda: station.feeder.remove("one", "a"))
    until(lambda: len(station.feeder.figures()) == 1)
    station.do(lambda: station.feeder.drop_channel("one", station.ring))
    until(lambda: station.ring.fd < 0)
    fifo.close()
    second_fifo.close()
    assert open_files(tmp_path) == []


def test_a_feed_that_replaces_another_closes_it(station: Station, fifo: Fifo, second_fifo: Fifo, until: Until) -> None:
    add(station, fifo)
    station.publish(1)
    until(lambda: fifo.waiting > 0)
    add(station, second_fifo)
    until(lambda: second_fifo.waiting > 0)
    fifo.read()
    assert os.read(fifo.read_fd, 1) == b"", "end of file: nobody writes here any more"


def test_a_closed_feeder_leaves_no_fd(prepared: PreparedShelf, fifo: Fifo, until: Until, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    station = Station(prepared)
    add(station, fifo)
    station.publish(30)
    until(lambda: fifo.waiting == PIPE_BYTES)
    station.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1, "the FIFO's writing end, given away, is closed too"


# -- readers with terms of their own ------------------------------------------------------------------------------------


def join(station: Station, fifo: Fifo, **terms: Any) -> None:
    station.do(lambda: station.feeder.add("one", "pipe:1", station.ring, fifo.write_fd, terms=Terms(joins=True, **terms)))


def test_a_reader_that_joins_begins_at_the_newest_random_access_point(station: Station, fifo: Fifo, until: Until) -> None:
    """Not with a push's burst; and the next one begins at the newest of its own moment, whatever the one before it was given."""
    for _ in range(2):
        station.publish(43)
        newest = max(seq for seq in range(1, station.ring.head_seq + 1) if station.ring.slice(seq).is_random_access)
        join(station, fifo)
        wanted = b"".join(station.sent[newest - 1 :])
        fifo.got.clear()
        drain(fifo, until, wanted)
        assert bytes(fifo.got) == wanted
        report = judged_parts(wanted)
        assert report.psi.pmt_pid is not None and wanted[1:3] == b"\x40\x00", "a PAT comes first"
        station.do(lambda: station.feeder.remove("one", "pipe:1"))
        until(lambda: station.feeder.figures() == [])
        fifo.write_fd = os.open(f"/proc/self/fd/{fifo.read_fd}", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("taken", [0, 100, 188, 4096])
def test_a_reader_that_lags_too_far_jumps_to_the_newest_random_access_point(station: Station, fifo: Fifo, until: Until, taken: int) -> None:
    """The ring would hold all that it missed; it may be two seconds behind, and has the packet that it was in the middle of made whole."""
    station.publish(1)
    join(station, fifo, serial=5, lag_s=2.0)
    station.publish(5)
    until(lambda: fifo.waiting == PIPE_BYTES)
    fifo.got += os.read(fifo.read_fd, taken) if taken else b""
    station.publish(30)
    until(lambda: fifo.read() >= 0 and figures(station, "pipe:1")["behind"] == 0)
    fifo.read()
    assert figures(station, "pipe:1")["jumps"] >= 1  # again, where the feeder had a turn between the slices
    assert {(kind, told["output"], told["serial"]) for kind, told in station.reports} == {("feed_jumped", "pipe:1", 5)}
    assert sum(told["lost_s"] for _, told in station.reports) > 4
    report = judged_parts(bytes(fifo.got))
    assert report.packets.faults == () and report.video is not None
    gap = int((report.video.units.dts[1:] - report.video.units.dts[:-1]).argmax()) + 1
    assert report.video.units.is_random_access[gap] and bytes(fifo.got).endswith(station.sent[-1])


def test_a_reader_that_lags_waits_for_a_random_access_point_to_jump_to(station: Station, fifo: Fifo, until: Until) -> None:
    """Of a patience that is shorter than a GOP it would otherwise be moved within one, and could decode nothing."""
    station.publish(1)
    join(station, fifo, lag_s=0.1)
    station.publish(3)
    drain(fifo, until, b"".join(station.sent))
    assert bytes(fifo.got) == b"".join(station.sent) and station.reports == []


def test_a_reader_that_takes_nothing_is_hung_up_on_and_one_that_takes_little_is_not(
    station: Station, fifo: Fifo, second_fifo: Fifo, until: Until
) -> None:
    station.publish(1)
    join(station, fifo, serial=9, stall_s=1.0)
    station.do(lambda: station.feeder.add("one", "slow", station.ring, second_fifo.write_fd, terms=Terms(stall_s=1.0)))
    station.publish(30)
    until(lambda: second_fifo.waiting == fifo.waiting == PIPE_BYTES)

    def lost() -> bool:
        second_fifo.got += os.read(second_fifo.read_fd, 100)  # within a page: no room for more comes of it
        station.publish(1)
        return bool(station.reports)

    until(lost)
    assert station.reports == [
        ("feed_lost", {"channel": "one", "output": "pipe:1", "serial": 9, "reason": "stalled", "error": "it took nothing for 1 s"})
    ]
    assert [feed["output"] for feed in station.feeder.figures()] == ["slow"]
    fifo.read()
    assert os.read(fifo.read_fd, 1) == b"", "end of file: nobody writes here any more"


def test_a_full_fifo_that_another_feed_goes_on_with_is_not_taken_for_a_stalled_reader(station: Station, fifo: Fifo, until: Until) -> None:
    """As after an upgrade of control, or a change of settings, while the player is paused."""
    station.publish(1)
    join(station, fifo, serial=9, stall_s=60.0)
    station.publish(30)
    until(lambda: fifo.waiting == PIPE_BYTES)
    again = os.dup(fifo.write_fd)
    station.do(lambda: station.feeder.add("one", "pipe:1", station.ring, again, continues=True, terms=Terms(serial=10, stall_s=60.0)))
    station.publish(1)
    station.do(station.feeder._look_at_stalled)
    assert station.reports == [] and [feed["output"] for feed in station.feeder.figures()] == ["pipe:1"]


def test_listeners_hear_how_far_the_bus_is_and_a_deaf_one_blocks_nobody(station: Station, until: Until) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    deaf, deaf_peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    station.do(lambda: station.feeder.add_listener(1, ours))
    station.do(lambda: station.feeder.add_listener(2, deaf))
    heard: list[tuple[int, int]] = []
    theirs.settimeout(20)
    for number in range(1, 101):
        station.publish(1)
        while not heard or heard[-1][1] < number:
            heard += unpack_heads(theirs.recv(65536))
    assert heard[-1] == (7, 100)
    theirs.close()
    deaf_peer.close()
    station.publish(1)
    until(lambda: ours.fileno() < 0 and deaf.fileno() < 0)


def test_a_feeder_whose_thread_ended_first_is_closed_without_an_error() -> None:
    """Between the order to end and the call that wakes it, the thread may look by itself."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    feeder = Feeder(lambda *_, **__: None)
    feeder.start()
    feeder.stopping.set()
    deadline = time.monotonic() + 20
    while feeder.alive:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    feeder.close()
    feeder.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_command_that_cannot_be_done_takes_nothing_from_the_others(station: Station, fifo: Fifo, until: Until) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "no descriptor is free")

    station.do(fail)
    station.do(lambda: station.feeder.add("one", "out", station.ring, fifo.write_fd))
    station.publish(5)
    until(lambda: fifo.read() and len(fifo.got) >= len(station.sent[0]))
