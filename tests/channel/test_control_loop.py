"""The one thread of decisions: order, timers, answers, and mistakes that end nothing."""

import threading
from collections.abc import Iterator

import pytest

from channeld.channel.loop import ControlLoop


@pytest.fixture
def loop() -> Iterator[ControlLoop]:
    running = ControlLoop()
    running.start()
    yield running
    running.close()


def test_tasks_run_one_after_the_other_in_their_order(loop: ControlLoop) -> None:
    ran: list[int] = []
    for number in range(100):
        loop.post(lambda number=number: ran.append(number))  # type: ignore[misc]
    loop.call(lambda: None)
    assert ran == list(range(100))


def test_everything_runs_on_the_loops_own_thread(loop: ControlLoop) -> None:
    assert loop.call(lambda: threading.current_thread().name) == "control"


def test_a_timer_runs_on_the_loop_and_an_earlier_one_first(loop: ControlLoop) -> None:
    ran: list[str] = []
    done = threading.Event()

    def set_both() -> None:
        loop.later(0.05, lambda: (ran.append("late"), done.set()))  # type: ignore[arg-type, return-value]
        loop.later(0.01, lambda: ran.append("early"))

    loop.post(set_both)
    assert done.wait(10)
    assert ran == ["early", "late"]


def test_timers_are_not_held_up_by_a_full_inbox(loop: ControlLoop) -> None:
    ran = threading.Event()

    def busy() -> None:
        if not ran.is_set():
            loop.post(busy)

    loop.post(lambda: loop.later(0.0, ran.set))
    loop.post(busy)
    assert ran.wait(10)


def test_what_a_task_raises_reaches_its_caller(loop: ControlLoop) -> None:
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda: 1 // 0)


def test_a_mistake_in_one_task_does_not_end_the_loop(loop: ControlLoop) -> None:
    loop.post(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert loop.call(lambda: "turns") == "turns"


def test_a_caller_does_not_wait_for_ever(loop: ControlLoop) -> None:
    held = threading.Event()
    loop.post(lambda: held.wait(10) and None)
    with pytest.raises(TimeoutError):
        loop.call(lambda: None, timeout_s=0.05)
    held.set()


def test_closing_ends_the_thread(loop: ControlLoop) -> None:
    loop.close()
    assert not loop.alive
