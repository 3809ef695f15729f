"""The real host process over its wire: what control may say, what it may not, and that nothing of it stops the air."""

import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clips import read_numbers
from host_process import DEADLINE_S, HostProcess, entry_of, stream_of
from judge.ts import SPLICED, read_ts
from prepared import PreparedShelf

from channeld.bus.attach import unpack_heads
from channeld.bus.reader import RingReader
from channeld.media.clip import PreparedClip

Until = Callable[[Callable[[], object]], None]
CUT_OUT = replace(SPLICED, open_end=True)


@pytest.fixture
def host(prepared: PreparedShelf, tmp_path: Path) -> Iterator[HostProcess]:
    made = HostProcess(prepared, tmp_path / "host.log")
    yield made
    made.close()


def goes_on(ring: RingReader, until: Until) -> None:
    """Ten more slices come: two seconds of air."""
    head = ring.head_seq
    until(lambda: ring.head_seq >= head + 10)


def test_a_channel_airs_its_plan_over_the_wire(host: HostProcess, short_clip, second_clip, until: Until, tmp_path: Path) -> None:
    ring = host.on_air("one", entry_of(short_clip, "a"), entry_of(second_clip, "b"))
    first = host.await_message("started", channel="one").values
    assert (first["airing"], first["serial"], first["dts"], first["passed_over"]) == ("a", 1, 90_000, [])
    assert host.await_message("ended").values["frames"] == 12
    assert host.await_message("started").values["airing"] == "b"
    stream = stream_of(ring, 12, until)
    assert read_ts(stream, allowances=CUT_OUT).faults() == []
    (tmp_path / "aired.ts").write_bytes(stream)
    numbers = read_numbers(tmp_path / "aired.ts")
    assert numbers[:50] == [*range(12_000, 12_012), *range(50_000, 50_038)]
    ring.close()


def test_short_clips_fill_the_first_burst_without_a_gap(host: HostProcess, short_clip: PreparedClip) -> None:
    """Twelve frames each, fifty released at once: more than two clips must be in memory before the first airs."""
    host.on_air("one", *(entry_of(short_clip, str(number)) for number in range(8)), lead_s=2.0).close()
    assert [host.await_message("started").values["airing"] for _ in range(6)] == [str(number) for number in range(6)]


def test_progress_tells_how_far_every_channel_is(host: HostProcess, second_clip: PreparedClip) -> None:
    host.on_air("one", entry_of(second_clip, "a")).close()
    host.await_message("started")
    values = host.await_message("progress").values
    while not values["channels"]:
        values = host.await_message("progress").values
    assert values["channels"]["one"]["serial"] >= 1
    assert set(values["lateness_ms"]) == {"p50", "p99", "max"}


def test_a_plan_and_a_skip_over_the_wire(host: HostProcess, long_clip, short_clip, until: Until) -> None:
    ring = host.on_air("one", entry_of(long_clip, "a"), lead_s=0.5)
    host.await_message("started", airing="a")
    host.wire.send("plan", channel="one", after=1, sources=[entry_of(short_clip, "b")])
    host.wire.send("skip", channel="one")
    ended = host.await_message("ended", airing="a").values
    assert ended["reason"] == "cut" and ended["frames"] < 225
    until(lambda: ring.head_seq > 15)
    assert read_ts(stream_of(ring, 15, until), allowances=CUT_OUT).faults() == []
    ring.close()


def test_a_fed_fifo_gets_the_stream_and_is_closed_by_unfeed(host: HostProcess, second_clip, tmp_path: Path, until: Until) -> None:
    host.on_air("one", entry_of(second_clip, "a")).close()
    os.mkfifo(tmp_path / "f")
    read_fd = os.open(tmp_path / "f", os.O_RDONLY | os.O_NONBLOCK)
    write_fd = os.open(tmp_path / "f", os.O_WRONLY)
    fcntl.fcntl(read_fd, fcntl.F_SETPIPE_SZ, 1 << 20)
    host.wire.send("feed", (write_fd,), channel="one", output="rtmp")
    os.close(write_fd)
    got = bytearray()
    until(lambda: readable(read_fd, got) and len(got) > 50_000)
    host.wire.send("unfeed", channel="one", output="rtmp")
    until(lambda: readable(read_fd, got) and str(tmp_path / "f") not in host.files())
    readable(read_fd, got)
    os.close(read_fd)
    assert read_ts(bytes(got), allowances=replace(CUT_OUT, open_start=True)).faults() == []


def readable(fd: int, got: bytearray) -> bool:
    """Take what is there; always true, for use in a poll."""
    try:
        while piece := os.read(fd, 1 << 16):
            got += piece
    except BlockingIOError:
        pass
    return True


def test_a_feed_for_a_channel_that_is_not_on_air_is_told_and_its_fd_closed(host: HostProcess, tmp_path: Path, until: Until) -> None:
    with (tmp_path / "f").open("wb") as file:
        host.wire.send("feed", (file.fileno(),), channel="nobody", output="rtmp")
    assert host.await_message("feed_lost").values["error"] == "the channel is not on air"
    until(lambda: str(tmp_path / "f") not in host.files())


def test_media_workers_hear_the_heads(host: HostProcess, second_clip: PreparedClip) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        host.wire.send("heads", (theirs.fileno(),), worker=1)
        host.on_air("one", entry_of(second_clip, "a")).close()
        ours.settimeout(DEADLINE_S)
        ((ring_id, head),) = unpack_heads(ours.recv(65536))
        assert ring_id == 1003 and head >= 1


def test_stop_ends_the_bus_and_gives_everything_back(host: HostProcess, long_clip, second_clip, until: Until) -> None:
    ring = host.on_air("one", entry_of(long_clip, "a"), entry_of(second_clip, "b"))
    goes_on(ring, until)  # behind the start, and the descriptor that it sent
    per_ring = sum("channeld-bus" in name for name in host.files())
    other = host.on_air("other")
    host.wire.send("stop", channel="one")
    host.await_message("stopped", channel="one")
    assert ring.is_ended and not other.is_ended
    folder = str(long_clip.ts_path.parent)
    until(lambda: not any(name.startswith(folder) for name in host.files()))
    until(lambda: sum("channeld-bus" in name for name in host.files()) == per_ring)
    goes_on(other, until)
    ring.close()
    other.close()


def test_a_start_that_cannot_be_is_told_and_the_host_stays(host: HostProcess, tmp_path: Path, until: Until) -> None:
    host.start("one", filler={"ts": str(tmp_path / "no.ts"), "idx": str(tmp_path / "no.idx")})
    assert "prepared clip is gone" in host.await_message("start_failed", channel="one").values["error"]
    host.start("one", ring_seconds=0)
    host.await_message("start_failed", channel="one")
    host.start("one", fps=[25])
    host.await_message("start_failed", channel="one")
    ring = host.on_air("one")
    goes_on(ring, until)
    ring.close()


MALFORMED = [
    b"{",
    b"\xff\xfe",
    b"[]",
    b"[" * 100_000,
    b"{}",
    b"null",
    b'{"kind": 5}',
    b'{"kind": []}',
    b'{"kind": "unheard"}',
    *(json.dumps({"kind": kind}).encode() for kind in ("start", "plan", "skip", "stop", "feed", "unfeed", "heads")),
    b'{"kind": "plan", "channel": "one", "after": "soon", "sources": []}',
    b'{"kind": "plan", "channel": "one", "after": 1, "sources": [{}]}',
    b'{"kind": "plan", "channel": "one", "after": 1, "sources": 7}',
    b'{"kind": "plan", "channel": ["one"], "after": 1e999, "sources": []}',
    b'{"kind": "feed", "channel": "one", "output": "rtmp"}',
    b'{"kind": "heads", "worker": {}}',
    b'{"kind": "start", "channel": "two", "fps": "fast"}',
]


def test_a_host_logs_from_the_level_that_it_is_told(host: HostProcess, until: Until) -> None:
    host.wire.send("log", level="error")
    host.wire.send("nonsense-1")
    host.wire.send("log", level="warning")
    host.wire.send("nonsense-2")
    until(lambda: "nonsense-2" in host.log)
    assert "nonsense-1" not in host.log


def test_malformed_messages_are_told_in_the_log_and_change_nothing(host: HostProcess, until: Until, tmp_path: Path) -> None:
    ring = host.on_air("one")
    with (tmp_path / "f").open("wb") as file:
        for payload in MALFORMED:
            host.raw(payload)
            host.raw(payload, file.fileno())
            host.raw(payload, file.fileno(), file.fileno())
    goes_on(ring, until)
    host.wire.send("stop", channel="one")
    host.await_message("stopped", channel="one")
    assert host.process.poll() is None
    until(lambda: str(tmp_path / "f") not in host.files())
    assert host.log.count("message_malformed") >= len(MALFORMED)
    ring.close()


def test_a_channel_that_raises_is_told_with_its_trace_and_the_others_stay_on_air(host: HostProcess, long_clip, until: Until) -> None:
    """A ring of one page, too small for a slice: publishing raises."""
    ring = host.on_air("one")
    broken = host.on_air("broken", entry_of(long_clip, "a"), bitrate=100)
    crashed = host.await_message("crashed", channel="broken").values
    assert "does not fit the ring" in crashed["error"]
    folder = str(long_clip.ts_path.parent)
    until(lambda: not any(name.startswith(folder) for name in host.files()))
    goes_on(ring, until)
    host.wire.send("stop", channel="broken")
    host.await_message("stopped", channel="broken")
    again = host.on_air("broken", entry_of(long_clip, "a"))
    goes_on(again, until)
    for reader in (ring, broken, again):
        reader.close()


def test_control_that_does_not_read_never_stops_the_air(host: HostProcess, until: Until) -> None:
    """Far more reports than the wire holds; the air goes on, and SIGTERM still ends the host."""
    ring = host.on_air("one")
    with Path(os.devnull).open("wb") as null:
        for number in range(3000):
            host.wire.send("feed", (null.fileno(),), channel="nobody", output=f"{number:0500}")
    goes_on(ring, until)
    goes_on(ring, until)
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(DEADLINE_S) == 0
    assert "reports_dropped" in host.log
    ring.close()


def test_a_disk_that_never_answers_never_stops_the_air(host: HostProcess, second_clip, until: Until, tmp_path: Path) -> None:
    """A FIFO in place of a clip's packets: opening it waits for a writer that never comes."""
    os.mkfifo(tmp_path / "c.ts")
    (tmp_path / "c.idx").write_bytes(second_clip.idx_path.read_bytes())
    stalled = {"airing": "stalled", "entry": "e", "ts": str(tmp_path / "c.ts"), "idx": str(tmp_path / "c.idx")}
    ring = host.on_air("one", stalled, entry_of(second_clip, "b"))
    started = host.await_message("started", channel="one").values
    assert (started["airing"], started["passed_over"]) == ("b", ["stalled"])
    goes_on(ring, until)
    assert read_ts(stream_of(ring, 20, until), allowances=CUT_OUT).faults() == []
    ring.close()


def test_a_start_that_waits_for_a_disk_holds_up_no_other_channel(host: HostProcess, second_clip, until: Until, tmp_path: Path) -> None:
    """Its filler is a FIFO that nobody writes; what is said of that channel meanwhile waits its turn."""
    ring = host.on_air("one")
    host.await_message("started", channel="one")
    os.mkfifo(tmp_path / "c.ts")
    (tmp_path / "c.idx").write_bytes(second_clip.idx_path.read_bytes())
    host.start("stalled", filler={"ts": str(tmp_path / "c.ts"), "idx": str(tmp_path / "c.idx")})
    host.wire.send("stop", channel="stalled")
    host.wire.send("plan", channel="one", after=1, sources=[entry_of(second_clip, "a")])
    host.await_message("started", airing="a")
    host.await_message("progress")
    goes_on(ring, until)
    host.wire.send("stop", channel="one")
    host.await_message("stopped", channel="one")
    os.close(os.open(tmp_path / "c.ts", os.O_RDWR))
    failed = host.await_message("start_failed", channel="stalled").values
    assert not failed["adopt"] and "filler cannot be read" in failed["error"]
    ring.close()


@pytest.mark.parametrize("way", ["quit", "end of file", "SIGTERM"])
def test_the_host_ends_cleanly(host: HostProcess, way: str) -> None:
    host.on_air("one").close()
    host.await_message("started")
    if way == "quit":
        host.wire.send("quit")
    elif way == "SIGTERM":
        host.process.send_signal(signal.SIGTERM)
    else:
        host.socket.shutdown(socket.SHUT_RDWR)
    assert host.process.wait(DEADLINE_S) == 0
    assert "Traceback" not in host.log


def test_ctrl_c_is_controls_matter(host: HostProcess, until: Until) -> None:
    ring = host.on_air("one")
    host.process.send_signal(signal.SIGINT)
    goes_on(ring, until)
    assert host.process.poll() is None
    ring.close()
