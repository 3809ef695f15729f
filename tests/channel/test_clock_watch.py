"""A wall clock that is set is told; one that runs, or is slewed, is not."""

import pytest

from channeld.base.clock import FakeClock
from channeld.channel.clock_watch import ClockJumps


class SetClock(FakeClock):
    """A clock whose wall can be set."""

    by_s = 0.0

    def wall_s(self) -> float:
        return super().wall_s() + self.by_s


@pytest.mark.parametrize("by_s", [400 * 86_400.0, -86_400.0, 3600.0, -3600.0, 2.0])
def test_a_jump_is_told_once_with_its_length(by_s: float) -> None:
    clock = SetClock()
    jumps = ClockJumps(clock)
    clock.advance(1)
    assert jumps.look() is None
    clock.by_s = by_s
    clock.advance(1)
    assert jumps.look() == pytest.approx(by_s)
    clock.advance(1)
    assert jumps.look() is None


def test_a_slewed_clock_and_a_late_look_are_no_jumps() -> None:
    clock = SetClock()
    jumps = ClockJumps(clock)
    for _ in range(100):
        clock.by_s += 0.0005
        clock.advance(1)
        assert jumps.look() is None
    clock.advance(3600)
    assert jumps.look() is None
