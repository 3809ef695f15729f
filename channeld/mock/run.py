"""Runs a mock source until it is told to end: the schedule of its faults, and faults told while it runs.

Rule: one event loop in one thread, which starts every child, so that all end with it. What is on air is always what the faults that are
on make together. Owners: the stage owns children and sockets; this owns the stage, the tasks of faults and the reader of stdin.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from channeld.base.errors import ConfigError
from channeld.mock.faults import Fault, parse_fault, picture_of, schedule
from channeld.mock.stage import Stage, stage_of
from channeld.mock.wanted import Wanted

Tell = Callable[[str], None]
MAX_LINE_BYTES = 1024


class Source:
    """A source with its faults."""

    def __init__(self, wanted: Wanted, faults: Sequence[Fault], tell: Tell) -> None:
        self._wanted, self._faults, self._tell = wanted, faults, tell
        self._stage: Stage = stage_of(wanted)
        self._on: list[Fault] = []
        self._changing = asyncio.Lock()  # one change of the stage at a time
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = 0.0

    async def run(self, ended: asyncio.Event, *, obeys_stdin: bool) -> None:
        """Serve until the event. Raises ChannelError when the source fails by itself."""
        waiting = asyncio.create_task(ended.wait())
        opening = asyncio.create_task(self._stage.open())
        try:
            await asyncio.wait([opening, waiting], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return
            opening.result()
            self._begun = time.monotonic()
            self._tell(f"serving {self._stage.address}")
            self._add(self._stage.run())
            self._add(self._follow_schedule())
            if obeys_stdin:
                self._add(self._obey())
            await self._stay(waiting)
        finally:
            for task in (opening, waiting, *self._tasks):
                task.cancel()
            await asyncio.wait([opening, waiting, *self._tasks])
            await self._stage.close()

    async def _stay(self, waiting: "asyncio.Task[bool]") -> None:
        """Until the end is wanted, or a task fails."""
        while not waiting.done():
            await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tuple(self._tasks):
                if task.done():
                    self._tasks.discard(task)
                    task.result()

    def _add(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _follow_schedule(self) -> None:
        for at_s, fault in schedule(self._faults, self._wanted.seed):
            await asyncio.sleep(max(0.0, self._begun + at_s - time.monotonic()))
            self._add(self._suffer(fault))

    async def _suffer(self, fault: Fault) -> None:
        await self._change(lambda: self._on.append(fault))
        self._say(f"{fault.kind} begins")
        if fault.for_s is None:
            return
        await asyncio.sleep(fault.for_s)
        # `end` may have ended it before.
        if any(each is fault for each in self._on):
            await self._change(lambda: self._forget(fault))
            self._say(f"{fault.kind} ends")

    def _forget(self, fault: Fault) -> None:
        self._on = [each for each in self._on if each is not fault]

    async def _change(self, change: Callable[[], None]) -> None:
        async with self._changing:
            change()
            await self._stage.show(picture_of(self._wanted.stream, self._on))

    def _say(self, words: str) -> None:
        self._tell(f"{time.monotonic() - self._begun:.1f} s: {words}")

    async def _obey(self) -> None:
        """Lines of stdin: a fault without `at` begins now, `end` ends all that are on; a wrong one is told and left."""
        reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                self._tell(f"refused: a line longer than {MAX_LINE_BYTES} bytes")
                continue
            if not line:
                return
            await self._take_order(line.decode("utf-8", "replace").strip())

    async def _take_order(self, order: str) -> None:
        if order == "end":
            await self._change(self._on.clear)
            self._say("all faults end")
        elif order:
            try:
                fault = parse_fault(order, self._wanted.protocol, self._wanted.stream)
                if fault.at_s != (0.0, 0.0) or fault.every_s is not None:
                    raise ConfigError(f"{order}: on stdin a fault begins now, once; at and every go with --fault")
            except ConfigError as error:
                self._tell(f"refused: {error}")
                return
            # Two of a kind cannot be on at once: the later word counts.
            self._on = [each for each in self._on if each.kind != fault.kind]
            self._add(self._suffer(fault))


def serve(wanted: Wanted, faults: Sequence[Fault], tell: Tell, *, obeys_stdin: bool = False) -> None:
    """Serve until SIGINT or SIGTERM. Raises ChannelError, OSError."""

    async def main() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        await Source(wanted, faults, tell).run(ended, obeys_stdin=obeys_stdin)

    asyncio.run(main())
