"""The heap of due times: one thread releases the slices of many channels, each when it is due.

Rule: a release that is late catches up; it never shifts the timeline. A channel whose code raises is taken off and
told; the others see nothing. The thread touches memory only, and shares its interpreter with nothing heavy.
"""

import heapq
import itertools
import queue
import time
import traceback
from collections import deque
from collections.abc import Callable

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.base.worker import Worker
from channeld.playout.air import Air
from channeld.telemetry.lateness import Lateness
from channeld.ts.splicer import Slice

LATENESS_SAMPLES = 16384
MAX_WAIT_S = 0.5
LOOK_AGAIN_S = 0.02
"""How soon a resumed channel whose clip is not in memory is looked at again."""
READERS_FIRST_S = 0.0002
"""So long this thread sleeps once it told local readers of a slice, before anybody else hears of it: the kernel wakes them on its CPU."""
LATE_S = 1.0
LATE_TOLD_S = 10.0
"""A release later than LATE_S is told, at most once per LATE_TOLD_S for a channel."""


class RecentLateness:
    """Release lateness of the last LATENESS_SAMPLES releases, in nanoseconds. Written by the heap thread, read by any."""

    def __init__(self) -> None:
        self._samples: deque[int] = deque(maxlen=LATENESS_SAMPLES)
        self.total = Lateness()

    def record(self, late_ns: int) -> None:
        """Count one release."""
        self._samples.append(max(0, late_ns))
        self.total.observe(late_ns)

    def percentiles_ms(self) -> dict[str, float]:
        """p50, p99 and the worst, in milliseconds."""
        samples = sorted(self._samples.copy())
        if not samples:
            return {"p50": 0.0, "p99": 0.0, "max": 0.0}
        at = [samples[len(samples) // 2], samples[min(len(samples) - 1, len(samples) * 99 // 100)], samples[-1]]
        return dict(zip(("p50", "p99", "max"), (round(value / 1e6, 3) for value in at), strict=True))


class LateAlarm:
    """Which late releases are worth telling. Heap thread."""

    def __init__(self) -> None:
        self._told_ns: dict[str, int] = {}

    def rings(self, channel: str, late_ns: int, now_ns: int) -> bool:
        """This one is to be told."""
        if late_ns < LATE_S * NS_PER_SECOND or now_ns - self._told_ns.get(channel, -(1 << 62)) < LATE_TOLD_S * NS_PER_SECOND:
            return False
        self._told_ns[channel] = now_ns
        return True


class Schedule(Worker):
    """The heap thread. Others reach the channels only through `post`."""

    def __init__(
        self,
        clock: Clock,
        on_released: Callable[[Air, Slice], None],
        on_crashed: Callable[[Air, str], None],
        on_late: Callable[[Air, float], None] = lambda air, late_s: None,
    ) -> None:
        super().__init__("playout")
        self._clock = clock
        self._on_released = on_released
        self._on_crashed = on_crashed
        self._on_late = on_late
        self._alarm = LateAlarm()
        self._heap: list[tuple[int, int, Air]] = []
        self._count = itertools.count()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._rest_s = 0.0
        """How long it sleeps behind the release before it does anything else."""
        self._untold: tuple[Air, Slice] | None = None
        """What was released last, while local readers have their turn."""
        self.lateness = RecentLateness()
        self.turned_ns = time.monotonic_ns()
        self.airs: dict[str, Air] = {}
        self.lead_ns = 0
        """So much earlier than due is every slice released; set by the main thread before a planned restart."""

    def post(self, command: Callable[[], None]) -> None:
        """Have a command run between two releases."""
        self._commands.put(command)

    def wake(self) -> None:
        self.post(lambda: None)

    def tell(self, channel: str, action: Callable[[Air], object]) -> None:
        """Have an action done to a channel between two releases, if it is on air then; one that raises takes the channel off."""

        def act() -> None:
            air = self.airs.get(channel)
            if air is None:
                return
            try:
                action(air)
            except Exception:  # noqa: BLE001  # channels fail alone, as in _release
                self._crash(air)

        self.post(act)

    def add(self, air: Air) -> None:
        """Put a channel on air. Heap thread."""
        self.airs[air.channel] = air
        self._push(air, air.due_ns)

    def remove(self, channel: str) -> Air | None:
        """Take a channel off the air. Heap thread."""
        air = self.airs.pop(channel, None)
        self._heap = [item for item in self._heap if item[2] is not air]
        heapq.heapify(self._heap)
        return air

    def _push(self, air: Air, due_ns: int) -> None:
        heapq.heappush(self._heap, (due_ns, next(self._count), air))  # ties are broken by age, never by comparing channels

    @property
    def is_ahead(self) -> bool:
        """Everything that the lead asks for is released. Any thread."""
        ahead_ns = self._clock.monotonic_ns() + self.lead_ns
        return all(air.due_ns > ahead_ns for air in list(self.airs.values()))

    def run(self) -> None:
        while not self.stopping.is_set():
            wait_s, command = self.turn(), None
            if wait_s > 0:
                try:
                    command = self._commands.get(timeout=wait_s)
                except queue.Empty:
                    command = None
            self._tell()
            if command is not None:
                command()

    def turn(self) -> float:
        """Run commands, release at most one slice that is due; gives the seconds until there is something to do."""
        self._tell()
        self.turned_ns = time.monotonic_ns()
        while not self._commands.empty():
            self._commands.get_nowait()()
        if not self._heap:
            return MAX_WAIT_S
        due_ns, _, air = self._heap[0]
        now_ns = self._clock.monotonic_ns()
        early_ns = due_ns - self.lead_ns - now_ns
        if early_ns > 0:
            return min(MAX_WAIT_S, early_ns / NS_PER_SECOND)
        heapq.heappop(self._heap)
        self._rest_s = 0.0
        self._release(air, now_ns)
        return self._rest_s

    def _tell(self) -> None:
        """Have others hear of what was released last."""
        if self._untold is not None:
            untold, self._untold = self._untold, None
            self._on_released(*untold)

    def _crash(self, air: Air) -> None:
        """Take a channel off the air and tell why; called where its exception is handled."""
        self.remove(air.channel)
        self._on_crashed(air, traceback.format_exc(limit=8))

    def _release(self, air: Air, now_ns: int) -> None:
        try:
            if air.is_waiting(now_ns):
                self._push(air, now_ns + self.lead_ns + int(LOOK_AGAIN_S * NS_PER_SECOND))
                return
            late_ns = now_ns - air.due_ns
            piece = air.release(lambda is_awaited: self._go_on(air, late_ns, now_ns, is_awaited=is_awaited))
        except Exception:  # noqa: BLE001  # channels fail alone: whatever is wrong with one, the others go on; it is told with its traceback
            self._crash(air)
            return
        self._untold = air, piece
        if not self._rest_s:
            self._tell()

    def _go_on(self, air: Air, late_ns: int, now_ns: int, *, is_awaited: bool) -> None:
        """All that can be done before a slice is published: what comes behind it keeps local readers waiting."""
        self._push(air, air.due_ns)
        is_next_due = self._heap[0][0] - self.lead_ns <= now_ns + READERS_FIRST_S * NS_PER_SECOND
        self._rest_s = READERS_FIRST_S if is_awaited and not is_next_due else 0.0
        if not air.is_catching_up:
            self.lateness.record(late_ns)
            if self._alarm.rings(air.channel, late_ns, now_ns):
                self._on_late(air, late_ns / NS_PER_SECOND)
