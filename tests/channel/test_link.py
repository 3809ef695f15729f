"""A child at the other end of a wire: told, lost, frozen, closed. The child is a real playout host."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from station import until

from channeld.base.wire import Message
from channeld.channel.link import Link
from channeld.process.holder import Holder


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


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_the_child_says_is_handed_on(open_link: Callable[[], tuple[Link, Ear]]) -> None:
    _, ear = open_link()
    until(lambda: any(message.kind == "progress" for message in ear.messages), "progress")


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
