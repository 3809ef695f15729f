"""Local readers of a real host: they get the air to the byte, and follow it from host to host."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from host_process import DEADLINE_S, HostProcess, entry_of, stream_of
from judge.ts import SPLICED, read_ts
from prepared import PreparedShelf

from channeld.channel.attach_desk import AttachDesk, AttachRules
from channeld.client import Closed, Stream, connect
from channeld.media.clip import PreparedClip

Until = Callable[[Callable[[], object]], None]
CUT_OUT = replace(SPLICED, open_end=True)


class House:
    """An attach desk before whichever host there is."""

    def __init__(self, prepared: PreparedShelf, folder: Path) -> None:
        self._prepared, self._folder = prepared, folder
        self.hosts: list[HostProcess] = []
        self.desk = AttachDesk(AttachRules(folder), lambda: ["one"], self._hand_over)
        self.desk.start()

    def start(self) -> HostProcess:
        self.hosts.append(HostProcess(self._prepared, self._folder / f"host{len(self.hosts)}.log"))
        return self.hosts[-1]

    def _hand_over(self, channel: str, end: socket.socket) -> bool:
        host = self.hosts[-1]
        if host.process.poll() is not None:
            return False
        host.wire.send("attach", (end.fileno(),), channel=channel, most=4)
        return True

    def attach(self) -> Stream:
        return connect("one", self._folder, timeout=DEADLINE_S)

    def close(self) -> None:
        self.desk.close()
        for host in self.hosts:
            host.close()


@pytest.fixture
def house(prepared: PreparedShelf, tmp_path: Path) -> Iterator[House]:
    made = House(prepared, tmp_path)
    yield made
    made.close()


def take(stream: Stream, chunks: int) -> bytes:
    return b"".join(next(stream) for _ in range(chunks))


@pytest.mark.parametrize("way", ["killed", "quit"])
def test_a_reader_has_every_byte_once_though_its_host_is_replaced(house: House, second_clip: PreparedClip, until: Until, way: str) -> None:
    first = house.start()
    ring = first.on_air("one", entry_of(second_clip, "a"), entry_of(second_clip, "b"), lead_s=1.0)
    with house.attach() as stream:
        got = take(stream, 8)
        if way == "killed":
            first.kill()
        else:
            first.wire.send("quit")
            assert first.process.wait(DEADLINE_S) == 0
        second = house.start()
        second.adopt("one", first.ring_fds["one"], entry_of(second_clip, "c"), after=1)
        second.await_message("present")
        got += take(stream, 20)
    published = stream_of(ring, ring.head_seq, until)
    begin = published.find(got[:1880])
    assert published[begin:].startswith(got)
    assert read_ts(got, allowances=replace(CUT_OUT, open_start=True)).faults() == []
    ring.close()


def test_a_channel_that_begins_anew_is_followed_and_one_that_stays_off_is_closed(
    house: House, second_clip: PreparedClip, until: Until
) -> None:
    host = house.start()
    first = host.on_air("one", entry_of(second_clip, "a"), lead_s=1.0)
    with house.attach() as stream:
        got = take(stream, 6)
        host.wire.send("stop", channel="one")
        second = host.on_air("one", entry_of(second_clip, "a"), lead_s=1.0, ring_id=2000)
        rest = stream_of(first, first.head_seq, until)
        rest = rest[rest.find(got[:1880]) :]
        while len(got) < len(rest) + 10_000:
            got += next(stream)
        assert got.startswith(rest)
        assert stream_of(second, second.head_seq, until).startswith(got[len(rest) :])
        assert stream.status().generation == 2000
        host.wire.send("stop", channel="one")
        with pytest.raises(Closed, match="off the air"):
            take(stream, 1 << 20)
    first.close()
    second.close()


def test_sockets_of_readers_are_closed_with_the_channel(house: House, second_clip: PreparedClip, until: Until) -> None:
    host = house.start()
    host.on_air("one", entry_of(second_clip, "a"), lead_s=1.0).close()

    def sockets() -> int:
        return sum(file.startswith("socket:") for file in host.files())

    before = sockets()
    with house.attach() as stream:
        take(stream, 2)
        assert sockets() == before + 1
    until(lambda: sockets() == before)
