"""Control's fork server: started when it is worth it, adopted, replaced, and never in the way. With the real holder and the real module."""

import os
import signal
from collections.abc import Iterator

import pytest
from station import until

from channeld.channel.fork_server import PREFIX, ForkServer
from channeld.channel.loop import ControlLoop
from channeld.process.holder import Holder
from channeld.process.holding import HeldChild

MODULE = "channeld.sources.ingest"


@pytest.fixture
def loop() -> Iterator[ControlLoop]:
    made = ControlLoop()
    made.start()
    yield made
    made.close()


@pytest.fixture
def holder() -> Iterator[Holder]:
    made = Holder()
    yield made
    made.close()


def servers(holder: Holder) -> list[HeldChild]:
    return [child for child in holder.held().children if child.name.startswith(PREFIX)]


def test_it_comes_with_the_second_start_and_again_when_it_was_killed(holder: Holder, loop: ControlLoop) -> None:
    forks = ForkServer(MODULE, loop=loop, holder=holder, version="1")
    loop.call(forks.note_start)
    assert servers(holder) == []
    loop.call(forks.note_start)
    assert forks.name == ""
    until(lambda: forks.name == f"{PREFIX}{MODULE}:1", "a server")
    (first,) = servers(holder)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not forks.name, "its end")
    until(lambda: forks.name, "a server")
    (second,) = servers(holder)
    assert second.pid != first.pid
    assert list(holder.held().fds) == [second.name]


def test_a_later_control_goes_on_with_it_and_one_of_another_version_ends_it(holder: Holder, loop: ControlLoop) -> None:
    forks = ForkServer(MODULE, loop=loop, holder=holder, version="1")
    for _ in range(2):
        loop.call(forks.note_start)
    until(lambda: forks.name, "a server")
    forks.close()
    (left,) = servers(holder)
    same = ForkServer(MODULE, loop=loop, holder=holder, version="1")
    loop.call(same.adopt)
    assert same.name == left.name
    assert [child.pid for child in servers(holder)] == [left.pid]
    same.close()
    other = ForkServer(MODULE, loop=loop, holder=holder, version="2")
    loop.call(other.adopt)
    assert other.name == ""
    until(lambda: servers(holder) == [], "the end of the other version")
    assert holder.held().fds == ()


def test_one_that_is_still_importing_is_adopted_and_asked_only_once_it_is_ready(holder: Holder, loop: ControlLoop) -> None:
    forks = ForkServer(MODULE, loop=loop, holder=holder, version="1")
    for _ in range(2):
        loop.call(forks.note_start)
    forks.close()
    same = ForkServer(MODULE, loop=loop, holder=holder, version="1")
    loop.call(same.adopt)
    assert same.name == ""
    until(lambda: same.name, "the adopted one")
    (left,) = servers(holder)
    assert left.name == same.name
