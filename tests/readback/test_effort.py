"""Looking has its share of a core; who was left out for long, or is suspect, is looked at all the same."""

import time

from channeld.readback.effort import LONGEST_UNSEEN_S, Effort


def burn(cpu_s: float) -> None:
    """Spend this thread's CPU time."""
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def test_what_the_thread_spends_uses_up_the_room() -> None:
    effort = Effort(0.001)
    assert effort.has_room(unseen_s=0.0, is_suspect=False)
    burn(0.02)
    assert not effort.has_room(unseen_s=0.0, is_suspect=False)
    assert effort.has_room(unseen_s=0.0, is_suspect=True)
    assert effort.has_room(unseen_s=LONGEST_UNSEEN_S, is_suspect=False)
    assert effort.spent_s >= 0.02


def test_room_comes_back_with_time() -> None:
    effort = Effort(1.0)
    assert effort.has_room(unseen_s=0.0, is_suspect=False)
    burn(0.01)
    deadline = time.monotonic() + 10.0
    while not effort.has_room(unseen_s=0.0, is_suspect=False):
        assert time.monotonic() < deadline
        time.sleep(0.001)
