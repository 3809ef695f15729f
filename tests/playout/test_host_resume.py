"""Playout hosts that follow each other: killed, restarted as planned, deaf control; readers and FIFOs go on."""

import fcntl
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from host_process import DEADLINE_S, HostProcess, entry_of, stream_of
from judge.ts import SPLICED, read_ts
from prepared import PreparedShelf

from channeld.base.edition import edition
from channeld.bus.reader import RingReader
from channeld.media.clip import PreparedClip
from channeld.playout.host import PARTS

Until = Callable[[Callable[[], object]], None]
Hosts = Callable[..., HostProcess]
CUT_OUT = replace(SPLICED, open_end=True)
MAX_SLICE_BYTES = 60_000


@pytest.fixture
def hosts(prepared: PreparedShelf, tmp_path: Path) -> Iterator[Hosts]:
    """Starts hosts; all are ended after the test."""
    made: list[HostProcess] = []

    def start(*arguments: str) -> HostProcess:
        made.append(HostProcess(prepared, tmp_path / f"host{len(made)}.log", *arguments))
        return made[-1]

    yield start
    for host in made:
        host.close()


class Pipe:
    """A FIFO whose write end stays open here, as it does in the holder."""

    def __init__(self, path: Path, size: int) -> None:
        os.mkfifo(path)
        self._read_fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.write_fd = os.open(path, os.O_WRONLY)
        fcntl.fcntl(self._read_fd, fcntl.F_SETPIPE_SZ, size)
        self.got = bytearray()

    def read(self, most: int = 1 << 30) -> int:
        """Take what is there; gives how much there is in all."""
        try:
            while most > 0 and (piece := os.read(self._read_fd, min(most, 1 << 16))):
                self.got += piece
                most -= len(piece)
        except BlockingIOError:
            pass
        return len(self.got)

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self.write_fd)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(tmp_path / "f", 4096)
    yield made
    made.close()


def tail_of(ring: RingReader, first: int) -> bytes:
    return b"".join(ring.read(seq, head=ring.head_seq).data for seq in range(first, ring.head_seq + 1))


def test_a_killed_host_is_followed_by_one_that_goes_on_and_readers_notice_nothing(
    hosts: Hosts, long_clip: PreparedClip, second_clip: PreparedClip, until: Until
) -> None:
    first = hosts()
    sources = [entry_of(second_clip, "a") | {"tag": "one"}, entry_of(long_clip, "b") | {"tag": "two"}]
    ring = first.on_air("one", *sources, fingerprint="p1", lead_s=1.0)
    assert first.await_message("started").values["tag"] == "one"
    assert first.await_message("started").values["tag"] == "two"
    first.kill()
    head = ring.head_seq
    second = hosts()
    second.adopt("one", first.ring_fds["one"], entry_of(second_clip, "c"), after=2, fingerprint="p1")
    present = second.await_message("present").values
    assert (present["serial"], present["airing"], present["tag"], present["plan"]) == (2, "b", "two", ["c"])
    assert (present["description"]["fingerprint"], present["ring_id"]) == ("p1", ring.generation)
    until(lambda: ring.head_seq >= head + 20)
    assert ring.writer_pid == second.process.pid
    newest = ring.info(ring.head_seq)
    due_ns = present["due_ns"] + (newest.dts - 90_000 - 50 * 3600) * 100_000 // 9
    assert newest.monotonic_ns - due_ns < 3e9, "it has caught up"
    assert read_ts(stream_of(ring, head + 20, until), allowances=CUT_OUT).faults() == []
    ring.close()


@pytest.mark.parametrize("way", ["killed", "quit"])
def test_a_fifo_gets_every_byte_once_though_its_host_is_replaced(
    hosts: Hosts, pipe: Pipe, long_clip: PreparedClip, until: Until, way: str
) -> None:
    """The pipe is full at the time, in the middle of a packet."""
    first = hosts()
    ring = first.on_air("one", entry_of(long_clip, "a"))
    first.wire.send("feed", (pipe.write_fd,), channel="one", output="rtmp")
    until(lambda: pipe.read(100) > 10_000)
    until(lambda: any(feed["behind"] > 3 for feed in first.await_message("progress").values["feeds"]))
    if way == "killed":
        first.kill()
    else:
        first.wire.send("quit")
        assert first.process.wait(DEADLINE_S) == 0
    second = hosts()
    second.adopt("one", first.ring_fds["one"])
    second.await_message("present")
    second.wire.send("feed", (pipe.write_fd,), channel="one", output="rtmp", continues=True)
    head = ring.head_seq + 10
    until(lambda: pipe.read() and ring.head_seq >= head)
    until(lambda: pipe.read() >= 0 and tail_of(ring, 1).endswith(bytes(pipe.got[-1000:])))
    stream = bytes(pipe.got)
    begin = tail_of(ring, 1).find(stream[:376])
    assert tail_of(ring, 1)[begin:].startswith(stream)
    ring.close()


@pytest.mark.long
def test_hosts_killed_while_they_write_a_fifo_repeat_at_most_one_write(
    hosts: Hosts, pipe: Pipe, long_clip: PreparedClip, second_clip: PreparedClip, until: Until
) -> None:
    """Twenty kills at random moments of the air, with a reader that takes everything at once. No byte is ever missing."""
    chance = random.Random(3)
    host, plan = hosts(), [entry_of(clip, f"{number}") for number, clip in enumerate([long_clip, second_clip] * 4)]
    ring = host.on_air("one", *plan, ring_seconds=120)
    ring_fd, parts, begun = host.ring_fds["one"], [], 0
    for _ in range(20):
        host.wire.send("feed", (pipe.write_fd,), channel="one", output="rtmp", continues=bool(parts))
        head, wait_s = ring.head_seq, time.monotonic() + chance.uniform(0.3, 0.9)
        until(lambda head=head, wait_s=wait_s: pipe.read() >= 0 and ring.head_seq > head and time.monotonic() > wait_s)
        host.kill()
        parts.append(bytes(pipe.got[begun : pipe.read()]))
        begun = len(pipe.got)
        host = hosts()
        host.adopt("one", ring_fd, *plan)
        host.await_message("present")
    whole, ends, repeated = tail_of(ring, 1), None, []
    for part in filter(None, parts):
        begins = whole.find(part[: 20 * 188] if len(part) > 20 * 188 else part, 0 if ends is None else ends - MAX_SLICE_BYTES)
        assert begins >= 0 and whole[begins:].startswith(part)
        repeated.append(0 if ends is None else ends - begins)
        ends = begins + len(part)
    assert all(0 <= count <= MAX_SLICE_BYTES for count in repeated)
    ring.close()


def test_a_new_reader_of_an_output_begins_two_seconds_before_what_the_last_one_had(
    hosts: Hosts, pipe: Pipe, long_clip: PreparedClip, until: Until, tmp_path: Path
) -> None:
    host = hosts()
    ring = host.on_air("one", entry_of(long_clip, "a"), lead_s=8.0)
    host.wire.send("feed", (pipe.write_fd,), channel="one", output="rtmp")
    until(lambda: pipe.read() > 60_000)
    host.wire.send("unfeed", channel="one", output="rtmp")
    until(lambda: pipe.read() and not host.await_message("progress").values["feeds"])
    pipe.read()
    successor = Pipe(tmp_path / "g", 1 << 20)
    host.wire.send("feed", (successor.write_fd,), channel="one", output="rtmp")
    until(lambda: successor.read() > 60_000)
    whole = tail_of(ring, 1)
    ended, begins = whole.find(bytes(pipe.got[-1000:])) + 1000, whole.find(bytes(successor.got[:1000]))
    position, back = 0, []
    for seq in range(1, ring.head_seq + 1):
        info = ring.info(seq)
        if begins <= position < ended:
            back.append(info)
        position += info.length
    assert back[0].is_random_access
    assert 2.0 - 0.2 <= (back[-1].dts - back[0].dts) / 90_000 <= 3.2, "two seconds, and at most a GOP"
    successor.close()
    ring.close()


def test_sync_tells_all_that_is_on_air_and_which_code_runs(hosts: Hosts, second_clip: PreparedClip) -> None:
    host = hosts()
    for channel in ("one", "other"):
        host.on_air(channel, entry_of(second_clip, f"a-{channel}") | {"tag": channel}).close()
        host.await_message("started", channel=channel)
    host.wire.send("sync")
    for channel in ("one", "other"):
        present = host.await_message("present", channel=channel).values
        assert present["description"]["channel"] == channel and present["serial"] >= 1
    synced = host.await_message("synced").values
    assert (sorted(synced["channels"]), synced["version"]) == (["one", "other"], edition(PARTS))


def test_a_lead_is_released_at_once_and_left_to_the_successor(hosts: Hosts, pipe: Pipe, long_clip: PreparedClip, until: Until) -> None:
    first = hosts()
    fcntl.fcntl(pipe.write_fd, fcntl.F_SETPIPE_SZ, 1 << 20)
    ring = first.on_air("one", entry_of(long_clip, "a"), lead_s=1.0)
    first.wire.send("feed", (pipe.write_fd,), channel="one", output="rtmp")
    due_ns = first.await_message("started").values["due_ns"]
    first.wire.send("lead", seconds=3)
    assert first.await_message("led").values["is_written"]

    def lead_s() -> float:
        newest = ring.info(ring.head_seq)
        return (due_ns - time.monotonic_ns()) / 1e9 + (newest.dts + newest.duration - 90_000) / 90_000

    assert lead_s() > 2.0
    first.wire.send("quit")
    assert first.process.wait(DEADLINE_S) == 0
    second, head = hosts(), ring.head_seq
    second.adopt("one", first.ring_fds["one"])
    second.await_message("present")
    second.wire.send("feed", (pipe.write_fd,), channel="one", output="rtmp", continues=True)
    assert ring.head_seq == head or lead_s() < 0.3, "nothing is due before what was released early is over"
    until(lambda: ring.head_seq >= head + 5)
    until(lambda: pipe.read() and bytes(pipe.got).endswith(ring.read(ring.head_seq, head=ring.head_seq).data))
    assert tail_of(ring, 1).endswith(bytes(pipe.got))
    assert read_ts(bytes(pipe.got), allowances=replace(CUT_OUT, open_start=True)).faults() == []
    ring.close()


def test_a_ring_that_ended_too_long_ago_is_refused_and_left(hosts: Hosts, second_clip: PreparedClip) -> None:
    first = hosts()
    ring = first.on_air("one", entry_of(second_clip, "a"))
    first.await_message("started")
    first.kill()
    head = ring.head_seq
    second = hosts()
    second.adopt("one", first.ring_fds["one"], max_late_s=-60)
    failed = second.await_message("start_failed").values
    assert failed["adopt"] and "caught up with" in failed["error"]
    assert ring.head_seq == head and not ring.is_ended
    second.on_air("one", entry_of(second_clip, "b")).close()
    ring.close()


def test_a_host_that_stood_still_tells_how_late_it_is_once(hosts: Hosts, until: Until) -> None:
    host = hosts()
    ring = host.on_air("one", lead_s=0.2)
    until(lambda: ring.head_seq > 5)
    host.process.send_signal(signal.SIGSTOP)
    time.sleep(2.0)  # what is tested is time that passes
    host.process.send_signal(signal.SIGCONT)
    assert host.await_message("late", channel="one").values["seconds"] > 1.0
    head = ring.head_seq
    until(lambda: ring.head_seq > head + 5)
    host.wire.send("sync")
    host.await_message("synced")
    assert not any(message.kind == "late" for message in host.pending)
    ring.close()


def test_every_thread_tells_that_it_turns(hosts: Hosts, until: Until) -> None:
    host = hosts("--test-hooks")
    threads = ("turned_ns", "feeder_turned_ns", "reporter_turned_ns")
    host.wire.send("hang", what="feeder")
    before = host.await_message("progress").values
    now = host.await_message("progress").values
    assert [now[name] > before[name] for name in threads] == [True, False, True]
    host.wire.send("hang", what="playout")
    host.await_message("progress")
    before = host.await_message("progress").values
    now = host.await_message("progress").values
    assert [now[name] > before[name] for name in threads] == [False, False, True]


def test_a_channel_can_be_made_to_raise_by_test_hooks_only(hosts: Hosts, until: Until) -> None:
    guarded, open_host = hosts(), hosts("--test-hooks")
    for host in (guarded, open_host):
        host.on_air("one").close()
        host.on_air("other").close()
        host.wire.send("hang", what="channel", channel="one")
    assert "was told to raise" in open_host.await_message("crashed", channel="one").values["error"]
    for host, left in ((guarded, ["one", "other"]), (open_host, ["other"])):
        host.wire.send("sync")
        assert sorted(host.await_message("synced").values["channels"]) == left
    assert "test hooks are off" in guarded.log
