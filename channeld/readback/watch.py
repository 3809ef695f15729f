"""The read-back: one thread that looks at every published manifest as a viewer would, and tells what it finds.

Rule: each subject is followed by a task of its own, with bounded requests, so that no server delays another's look.

| what | made by | ended by |
|---|---|---|
| thread `readback`, its event loop | ReadBack.start | ReadBack.close |
| a task for each subject | the loop, at `watch` | the loop, at `watch` without it or at close |
| connections | Viewer | the loop, at close |
| thread `readback:decoder`, FFmpeg | Sampler | the loop, at close |
"""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Awaitable, Iterable, Mapping

import structlog

from channeld.base.worker import Worker
from channeld.readback.effort import Effort
from channeld.readback.follow import Follower
from channeld.readback.programme import Programme
from channeld.readback.sampling import Sampler
from channeld.readback.subject import OnReading, Reading, Subject, WatchSettings
from channeld.readback.turns import Budget, Turns
from channeld.readback.viewer import Viewer

log = structlog.get_logger()


class ReadBack(Worker):
    """Looks at what `watch` names. `on_reading` is called on this thread after every look: it should post.

    `programmes` is read, never written: what each channel aired lately.
    """

    def __init__(self, settings: WatchSettings, programmes: Mapping[str, Programme], *, ffmpeg: str, on_reading: OnReading) -> None:
        super().__init__("readback")
        self._settings, self._programmes, self._ffmpeg, self._on_reading = settings, programmes, ffmpeg, on_reading
        self._lock = threading.Lock()  # guards the settings, and the three below
        self._is_changed = False
        self._subjects: frozenset[Subject] = frozenset()
        self._bell: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.budget = Budget(settings.cpu_budget, now_ns=time.monotonic_ns())
        """Of decoding; `budget.spent_s` is what it cost so far."""
        self.effort = Effort()

    def watch(self, subjects: Iterable[Subject]) -> None:
        """Look at exactly these from now on; one that is the same as before is followed on. Any thread."""
        with self._lock:
            self._subjects = frozenset(subjects)
        self.wake()

    def configure(self, settings: WatchSettings) -> None:
        """Other settings from now on: every subject is followed anew. Any thread."""
        with self._lock:
            self._settings, self._is_changed = settings, True
        self.budget.share = settings.cpu_budget
        self.wake()

    def wake(self) -> None:
        with self._lock:
            if self._bell is not None:
                loop, event = self._bell
                loop.call_soon_threadsafe(event.set)

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        event = asyncio.Event()
        with self._lock:
            self._bell = asyncio.get_running_loop(), event
        viewer, sampler = Viewer(), Sampler(Turns(self.budget), self._programmes, self._ffmpeg, self.stopping.is_set)
        tasks: dict[Subject, asyncio.Task[None]] = {}
        try:
            while not self.stopping.is_set():
                self._adjust(tasks, viewer, sampler)
                await event.wait()
                event.clear()
        finally:
            with self._lock:
                self._bell = None
            await _end(tasks.values())
            await viewer.close()
            sampler.close()

    def _adjust(self, tasks: dict[Subject, asyncio.Task[None]], viewer: Viewer, sampler: Sampler) -> None:
        with self._lock:
            wanted, kept, self._is_changed = self._subjects, frozenset() if self._is_changed else self._subjects, False
        for gone in tasks.keys() - kept:
            tasks.pop(gone).cancel()
        sampler.turns.keep({subject.name for subject in wanted})
        for subject in wanted - tasks.keys():
            follower = Follower(subject, viewer, sampler, self.effort, self._settings.timeout_s)
            tasks[subject] = asyncio.create_task(self._follow(follower), name=f"readback:{subject.name}")

    async def _follow(self, follower: Follower) -> None:
        """Look again and again; a segment that is decoded meanwhile holds up no look."""
        await asyncio.sleep(random.uniform(0.0, follower.pause_s()))  # spread
        async with asyncio.TaskGroup() as decodings:
            while True:
                await self._tell(follower.look(), follower.subject)
                decodings.create_task(self._tell(follower.sample(), follower.subject))
                await asyncio.sleep(follower.pause_s())

    async def _tell(self, reading: Awaitable[Reading | None], subject: Subject) -> None:
        """Hand a reading on. A fault of ours in one look must not end the looking; it is logged with its traceback."""
        try:
            if (told := await reading) is not None:
                self._on_reading(told)
        except Exception:
            log.exception("look_failed", subject=subject.name)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
