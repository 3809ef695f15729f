"""What a channel's description costs: it is kept while the channel stays as it is, and never tells of another one."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from test_rundown import rundown_of

from channeld.base.clock import FakeClock
from channeld.channel.budget import Step
from channeld.channel.preparation import Stock
from channeld.channel.rundown import Rundown
from channeld.channel.state import State
from channeld.channel.view import NEXT_FOR_S, View


class Shown:
    """A channel on air with the real rundown; what else it is made of says that all is well."""

    def __init__(self, rundown: Rundown) -> None:
        self.clock, self.rundown = FakeClock(monotonic_ns=time.monotonic_ns()), rundown
        preparer = SimpleNamespace(refusals=lambda _: {}, stock=lambda _: Stock(20.0, 20.0, 0.0))
        means, settings = (
            SimpleNamespace(clock=self.clock, preparer=preparer),
            SimpleNamespace(id="x", name="x", profile=SimpleNamespace(name="p")),
        )
        restraint = SimpleNamespace(describe=lambda: None, refusals=dict, step=Step.NONE)
        self.view = View(cast(Any, settings), cast(Any, means), rundown, cast(Any, restraint))
        self.start()

    def start(self) -> None:
        self.rundown.wants(self.clock.monotonic_ns())
        (planned, *_) = self.rundown.plan()
        began = {"started_ns": self.clock.monotonic_ns(), "started_wall_s": self.clock.wall_s()}
        self.rundown.started(self.rundown.now.serial + 1, planned.airing, **began)

    def look(self) -> dict[str, Any]:
        return self.view.describe(State.ON_AIR, fault=None, last_error=None, ticks=1)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(rundown_of(tmp_path, "a", "b", "c")[0])


def test_a_description_is_kept_for_a_while_and_its_position_goes_on(shown: Shown) -> None:
    first = shown.look()
    shown.clock.advance(NEXT_FOR_S - 0.5)
    second = shown.look()
    assert second["next"] is first["next"] and second["prepared"] is not first["prepared"]
    assert second["now"]["position_s"] == pytest.approx(first["now"]["position_s"] + NEXT_FOR_S - 0.5)
    shown.clock.advance(1.0)
    assert shown.look()["next"] is not first["next"]


def test_a_position_ends_with_its_entry(shown: Shown) -> None:
    shown.clock.advance(8.0)
    shown.look()
    shown.clock.advance(4.0)
    assert shown.look()["now"]["position_s"] == shown.look()["now"]["duration_s"] == 10.0


def test_what_changed_is_told_at_once(shown: Shown) -> None:
    assert [each["path"] for each in shown.look()["next"]][:2] == ["b", "c"]
    shown.rundown.queue.play_next(shown.rundown.listed()[2])
    assert [each["path"] for each in shown.look()["next"]][:2] == ["c", "b"]
    shown.start()
    assert shown.look()["now"]["path"] == "c" and shown.look()["next"][0]["path"] == "b"
    before = shown.look()["next"]
    shown.view.renew()
    assert shown.look()["next"] is not before
