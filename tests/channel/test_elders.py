"""What serves on while its successor loads ends before that one is told anything, of itself or not."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from station import until

from channeld.channel.elders import Elders
from channeld.channel.loop import ControlLoop
from channeld.process.child import ChildSpec
from channeld.process.confine import python_environment
from channeld.process.holder import Holder
from channeld.process.holding import HeldProcess

WAITS = "import signal, sys\nsys.stderr.write('here\\n')\nsys.stderr.flush()\nsignal.pause()"
DEAF = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{WAITS}"


@dataclass(slots=True)
class Site:
    """A holder, a loop and its elders; `told` has what was told after their end."""

    holder: Holder
    loop: ControlLoop
    elders: Elders
    told: list[str] = field(default_factory=list)

    def child(self, name: str, program: str) -> HeldProcess:
        """A child that runs, whose wire is kept as control keeps it."""
        said: list[str] = []
        spec = ChildSpec(name, (sys.executable, "-c", program), env=python_environment())
        child = self.holder.spawn(spec, on_line=said.append)
        until(lambda: said, f"{name} to run")
        fd = os.eventfd(0)
        self.holder.keep_fd(f"wire:{name}/{child.pid}", fd)
        os.close(fd)
        return child

    def end(self) -> None:
        self.loop.call(lambda: self.elders.end(lambda: self.told.append(f"{len(self.holder.held().children)} live")))
        until(lambda: self.told, "the end of all elders")


@pytest.fixture
def site() -> Iterator[Site]:
    with ExitStack() as parts:
        holder, loop = Holder(), ControlLoop()
        parts.callback(holder.close)
        loop.start()
        parts.callback(loop.close)
        yield Site(holder, loop, Elders(loop, holder))


@pytest.mark.parametrize("program", [WAITS, DEAF])
def test_successors_are_entered_when_no_elder_lives_and_no_wire_of_theirs_is_kept(site: Site, program: str) -> None:
    children = [site.child(f"media:{number}:old", program) for number in range(2)]
    site.loop.call(lambda: site.elders.adopt([child.name for child in children]))
    assert site.elders
    site.end()
    assert site.told == ["0 live"]
    assert not site.elders
    assert [child.poll() is None for child in children] == [False, False]
    assert [name for name in site.holder.held().fds if name.startswith("wire:")] == []


def test_an_elder_that_ended_before_it_was_asked_for_is_none(site: Site) -> None:
    site.loop.call(lambda: site.elders.adopt(["media:0:gone"]))
    assert not site.elders
    site.end()
    assert site.told == ["0 live"]
