"""Control's one thread of decisions: everything that changes a channel's state runs here, one thing after the other.

Rule: no lock is needed for what only this thread touches, and nothing here may wait: disks, children and sockets
belong to other threads, which post what they found.
"""

import heapq
import itertools
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

import structlog

from channeld.base.worker import Worker

T = TypeVar("T")
IDLE_S = 1.0

log = structlog.get_logger()


class LoopBusy(TimeoutError):
    """The control loop did not take a task up, or finish it, in time; it may yet."""


class ControlLoop(Worker):
    """An actor: `post` from any thread, timers, and `call` to wait for an answer."""

    def __init__(self) -> None:
        super().__init__("control")
        self._inbox: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.turned_ns = time.monotonic_ns()

    def post(self, task: Callable[[], object]) -> None:
        """Run a task soon. Any thread."""
        self._inbox.put(task)

    def later(self, delay_s: float, task: Callable[[], None]) -> None:
        """Run a task after a delay. Loop thread only."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._count), task))

    def call(self, task: Callable[[], T], timeout_s: float = 5.0) -> T:
        """Run a task and give its result, or raise what it raised. Any thread but the loop's. Raises LoopBusy."""
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(task())
            except BaseException as error:  # noqa: BLE001  # carried to the caller
                answer.set_exception(error)

        self.post(run)
        done, _ = wait((answer,), timeout_s)
        if not done:
            raise LoopBusy(f"the control loop has been busy for {timeout_s:g} s")
        return answer.result()

    def answers(self, timeout_s: float) -> bool:
        """The loop takes up a task within that time. Any thread but the loop's."""
        try:
            self.call(lambda: None, timeout_s)
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        self._inbox.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.turned_ns = time.monotonic_ns()
            wait_s = min(IDLE_S, max(0.0, self._timers[0][0] - time.monotonic())) if self._timers else IDLE_S
            try:
                task = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            except queue.Empty:
                task = None
            if task is not None:
                self._run(task)
            while self._timers and self._timers[0][0] <= time.monotonic():
                self._run(heapq.heappop(self._timers)[2])

    def _run(self, task: Callable[[], object]) -> None:
        try:
            task()
        except Exception:  # a mistake in one task must not end every channel's supervision; it is logged with its traceback
            log.exception("control_task_failed")
