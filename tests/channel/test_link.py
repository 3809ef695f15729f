"""A child at the other end of a wire: told, lost, frozen, closed. The child is a real playout host."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from descriptors import none_free
from station import until

from channeld.base.errors import SpawnError
from channeld.base.wire import Message, Wire
from channeld.channel.link import Link
from channeld.process.hold_client import HolderClient, start_holder
from channeld.process.holder import Holder
from channeld.process.holding import Holding


class Ear:
    """What a link told."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gone: list[str] = []


@pytest.fixture
def holder() -> Iterator[Holder]:
    held = Holder()
    yield held
    held.close()


@pytest.fixture
def open_link(holder: Holder) -> Iterator[Callable[[], tuple[Link, Ear]]]:
    links: list[Link] = []

    def open_one() -> tuple[Link, Ear]:
        ear = Ear()
        link = Link("host:0", "channeld.playout.host", holder=holder, on_message=ear.messages.append, on_gone=ear.gone.append)
        links.append(link)
        link.start()
        return link, ear

    yield open_one
    for link in links:
        link.close()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[], HolderClient]]:
    """Connects one control after the other to a holder of its own process."""
    clients: list[HolderClient] = []

    def connect() -> HolderClient:
        clients.append(start_holder(tmp_path / "run", linger_s=60, on_lost=lambda: None, arguments=("--log-level", "warning")))
        return clients[-1]

    yield connect
    for client in reversed(clients):
        client.end(grace_s=0.5)


def open_host(holder: Holding, ear: Ear, *, adopt: bool = False) -> Link:
    link = Link("host:0", "channeld.playout.host", holder=holder, on_message=ear.messages.append, on_gone=ear.gone.append, adopt=adopt)
    link.start()
    return link


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_the_child_says_is_handed_on(open_link: Callable[[], tuple[Link, Ear]]) -> None:
    _, ear = open_link()
    until(lambda: any(message.kind == "progress" for message in ear.messages), "progress")
    told = next(message.values for message in ear.messages if message.kind == "progress")
    assert told["channels"] == {} and told["turned_ns"] > 0
    assert ear.gone == []


def test_the_end_of_the_child_is_told_once_with_its_status(open_link: Callable[[], tuple[Link, Ear]]) -> None:
    link, ear = open_link()
    until(lambda: ear.messages, "a first message")
    os.kill(link.child.pid, signal.SIGKILL)
    until(lambda: ear.gone, "the end")
    link.close()
    assert len(ear.gone) == 1 and "status -9" in ear.gone[0]
    assert link.send("plan", channel="one") is False


def test_a_child_whose_wire_breaks_is_dead_when_its_end_is_told(open_link: Callable[[], tuple[Link, Ear]]) -> None:
    """A stopped process keeps running beside its successor otherwise."""
    link, ear = open_link()
    until(lambda: ear.messages, "a first message")
    link._wire._socket.shutdown(2)
    until(lambda: ear.gone, "the end")
    assert link.child.poll() is not None


def test_nobody_waits_for_a_child_that_does_not_read(open_link: Callable[[], tuple[Link, Ear]]) -> None:
    link, ear = open_link()
    until(lambda: ear.messages, "a first message")
    os.kill(link.child.pid, signal.SIGSTOP)
    sent = threading.Event()

    def send_much() -> None:
        for _ in range(3000):  # many times what the socket holds
            link.send("plan", channel="nobody", after=0, sources=[], padding="x" * 1000)
        sent.set()

    threading.Thread(target=send_much).start()
    assert sent.wait(20)
    link.close(0.1)
    assert link.child.poll() is not None


def test_descriptors_sent_are_the_receivers_and_none_is_left_here(open_link: Callable[[], tuple[Link, Ear]]) -> None:
    link, ear = open_link()
    until(lambda: ear.messages, "a first message")
    before = descriptors()
    reader, writer = os.pipe()
    assert link.send("feed", (writer,), channel="nobody", output="rtmp")
    os.close(writer)
    # The host has no such channel: it closes what it got, and the pipe then has no writer.
    assert os.read(reader, 1) == b""
    os.close(reader)
    until(lambda: descriptors() == before, "as many descriptors as before")


def test_closing_ends_child_threads_and_descriptors(open_link: Callable[[], tuple[Link, Ear]]) -> None:
    before = descriptors()
    link, ear = open_link()
    until(lambda: ear.messages, "a first message")
    link.close()
    link.close()
    assert link.child.poll() == 0
    assert ear.gone == []
    assert not [thread for thread in threading.enumerate() if "host:0" in thread.name]
    assert descriptors() == before


def test_a_child_that_was_left_is_adopted_by_the_next_control_over_the_same_wire(hold: Callable[[], HolderClient]) -> None:
    before = descriptors()
    first, early = hold(), Ear()
    link = open_host(first, early)
    until(lambda: early.messages, "a first message")
    link.leave()
    link.leave()
    first.close()
    assert (early.gone, descriptors()) == ([], before)
    second, late = hold(), Ear()
    adopted = open_host(second, late, adopt=True)
    assert adopted.child.pid == link.child.pid
    until(lambda: late.messages, "a message to the second control")
    adopted.close()
    assert (adopted.child.poll(), late.gone) == (0, [])
    assert (second.held().children, second.held().fds) == ((), ())


CONTROLS = """
import queue, sys, time
from pathlib import Path
from channeld.channel.link import Link
from channeld.process.hold_client import start_holder
holder = start_holder(Path(sys.argv[1]), linger_s=60, on_lost=lambda: None, arguments=("--log-level", "warning"))
inbox = queue.Queue()
link = Link("host:0", "channeld.playout.host", holder=holder, on_message=inbox.put, on_gone=print)
link.start()
inbox.get(timeout=30)
print(link.child.pid, flush=True)
time.sleep(60)
"""


def test_the_child_of_a_killed_control_is_adopted_by_the_next(hold: Callable[[], HolderClient], tmp_path: Path) -> None:
    line = [sys.executable, "-c", CONTROLS, str(tmp_path / "run")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as control:
        assert control.stdout is not None
        pid = int(control.stdout.readline())
        control.kill()
    holder, ear = hold(), Ear()
    link = open_host(holder, ear, adopt=True)
    until(lambda: ear.messages, "a message to the next control")
    assert link.child.pid == pid
    link.close()
    assert ear.gone == []


def test_what_was_left_to_send_is_sent_before_a_link_leaves(hold: Callable[[], HolderClient]) -> None:
    holder, ear = hold(), Ear()
    link = open_host(holder, ear)
    until(lambda: ear.messages, "a first message")
    reader, writer = os.pipe()
    link.send("feed", (writer,), channel="nobody", output="rtmp")
    link.leave()
    os.close(writer)
    assert os.read(reader, 1) == b""  # the host got it, and closed it
    os.close(reader)
    open_host(holder, ear, adopt=True).close()


def test_nothing_to_adopt_is_an_error_and_stale_wires_are_closed(hold: Callable[[], HolderClient]) -> None:
    first, ear = hold(), Ear()
    link = open_host(first, ear)
    until(lambda: ear.messages, "a first message")
    link.leave()
    os.kill(link.child.pid, signal.SIGKILL)
    until(lambda: not first.held().children, "the end of the host")
    assert first.held().fds
    with pytest.raises(SpawnError, match="no such child"):
        open_host(first, ear, adopt=True)
    assert first.held().fds == ()


def test_a_child_whose_wire_was_not_kept_is_ended_not_adopted(hold: Callable[[], HolderClient]) -> None:
    holder, ear = hold(), Ear()
    link = open_host(holder, ear)
    until(lambda: ear.messages, "a first message")
    link.leave()
    for name in holder.held().fds:
        holder.release(name)
    with pytest.raises(SpawnError, match=r"it was ended|no such child"):  # a host without a wire also ends by itself
        open_host(holder, ear, adopt=True)
    until(lambda: holder.held().children == (), "the end of the host")


def test_what_no_descriptor_is_free_for_is_told_as_such_and_leaves_nothing(holder: Holder) -> None:
    """Whoever asked tries it again: another kind of error ended all trying."""
    before, ear = descriptors(), Ear()
    with none_free(), pytest.raises(SpawnError):
        open_host(holder, ear)
    assert descriptors() == before
    link = open_host(holder, ear)
    until(lambda: ear.messages, "the host to speak")
    link.close()


def test_a_message_whose_descriptors_find_no_room_costs_that_message_only(holder: Holder) -> None:
    ear = Ear()
    link = open_host(holder, ear)
    until(lambda: ear.messages, "the host to speak")
    link._wire, torn = cast(Wire, TornWire(link._wire)), link._wire
    until(lambda: not cast(Any, link._wire).errors, "the message to be lost")
    heard = len(ear.messages)
    until(lambda: len(ear.messages) > heard, "the next one")
    assert ear.gone == []
    link._wire = torn
    link.close()


class TornWire:
    """A wire of which one message cannot be taken in."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.errors = [ValueError("descriptors were lost")]

    def receive(self, timeout_s: float) -> Message | None:
        message = self._wire.receive(timeout_s)
        if self.errors:
            raise self.errors.pop()
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)
