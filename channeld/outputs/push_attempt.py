"""One life of an egress FFmpeg: FIFO made, process started, write end handed over, watched, ended.

Rule: one attempt, no retry; it raises what went wrong, and leaves no process, descriptor or file behind.
Run by the push's thread. Who owns what:

| what                        | made by                | waited for by | closed by                            |
|-----------------------------|------------------------|---------------|--------------------------------------|
| FIFO on disk                | PushAttempt.run        | -             | PushAttempt.run, last                |
| progress pipe, read end     | PushAttempt.run        | the watch     | PushAttempt.run                      |
| FFmpeg                      | the holder             | PushAttempt   | PushAttempt: EOF → grace → INT → KILL |
| spare write end             | the holder (a dup)     | -             | PushAttempt, by release              |
| write end                   | PushAttempt.run        | -             | whoever `on_writer` gave it to       |
"""

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from channeld.base.clock import Clock
from channeld.base.errors import ChildExited, ChildStalled
from channeld.outputs.push_health import Delivery
from channeld.process.child import ChildSpec, Limits
from channeld.process.ffmpeg_log import FFmpegLine, parse_line
from channeld.process.fifo import Fifo
from channeld.process.holding import HeldProcess, Holding

OnWriter = Callable[[int | None], None]
_TICK_MS = 1000
_READ_BYTES = 8192
# Copying needs little: no file is ever written, and the address space is a fence against a runaway.
_LIMITS = Limits(address_space_bytes=2 << 30, file_size_bytes=0, open_files=64)
_NICE = 5  # below the playout host, above prepare


@dataclass(frozen=True, slots=True)
class PushTiming:
    """How long to wait, in seconds: for FFmpeg to open the FIFO, for progress, for its end after EOF and after INT."""

    open_s: float = 5.0
    stall_s: float = 10.0
    eof_grace_s: float = 2.0
    int_grace_s: float = 2.0


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What an attempt starts. `label` names the child and, in the holder, its spare write end."""

    label: str
    arguments: tuple[str, ...]
    fifo: Path
    timing: PushTiming = field(default_factory=PushTiming)


class Inbox:
    """Lines and wake-ups for the push's thread from any other, beside a descriptor that poll can wait on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the descriptor: a late post must not write into a number given away
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def post(self, line: str | None = None) -> None:
        """Leave a line, or only wake; nothing happens once the inbox is closed."""
        if line is not None:
            self._lines.put(line)
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def take(self) -> list[str]:
        """All lines that were left."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        return [self._lines.get_nowait() for _ in range(self._lines.qsize())]

    def wait(self, timeout_s: float) -> None:
        """Wait for a post, at most so many seconds."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.poll(timeout_s * 1000)

    def close(self) -> None:
        """Close the descriptor; idempotent."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


class PushAttempt:
    """One FFmpeg with its FIFO. `delivery` and `pid` tell how it goes, also after the end."""

    def __init__(self, plan: PushPlan, *, holder: Holding, inbox: Inbox, clock: Clock, on_writer: OnWriter) -> None:
        self.delivery = Delivery(now_ns=clock.monotonic_ns())
        self.pid: int | None = None
        self._plan, self._holder, self._inbox, self._clock, self._on_writer = plan, holder, inbox, clock, on_writer
        self._rest = b""

    def run(self, *, should_end: Callable[[], bool], on_turn: Callable[[list[FFmpegLine]], None]) -> None:
        """Push until told to end; `on_turn` is called at the start and after every turn of the watch, with the new lines.

        Raises SpawnError, ChildExited (whatever the status), ChildStalled, ProcessError or OSError.
        """
        self._inbox.take()
        with contextlib.ExitStack() as stack:
            fifo = Fifo.create(self._plan.fifo)
            stack.callback(fifo.remove)
            child, progress_fd = self._start(stack)
            on_turn([])
            fd = fifo.open_writer(self._plan.timing.open_s, lambda: should_end() or child.poll() is not None)
            if fd is not None:
                stack.callback(self._take_back)
                self._holder.keep_fd(self._plan.label, fd)
                self._on_writer(fd)
            self._watch(child, progress_fd, should_end, on_turn)

    def _start(self, stack: contextlib.ExitStack) -> tuple[HeldProcess, int]:
        progress_fd, child_end = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, progress_fd)
        os.set_blocking(progress_fd, False)
        try:
            spec = ChildSpec(self._plan.label, self._plan.arguments, stdout=child_end, limits=_LIMITS, nice=_NICE)
            child = self._holder.spawn(spec, on_line=self._inbox.post, on_exit=lambda _: self._inbox.post())
        finally:
            os.close(child_end)
        self.pid = child.pid
        stack.callback(self._end, child)
        return child, progress_fd

    def _take_back(self) -> None:
        """Close every write end, so that FFmpeg reads the end of its input."""
        try:
            self._on_writer(None)
        finally:
            self._holder.release(self._plan.label)

    def _end(self, child: HeldProcess) -> None:
        try:
            child.wait(self._plan.timing.eof_grace_s)
        except TimeoutError:
            child.terminate(self._plan.timing.int_grace_s)

    def _watch(
        self, child: HeldProcess, progress_fd: int, should_end: Callable[[], bool], on_turn: Callable[[list[FFmpegLine]], None]
    ) -> None:
        poller = select.poll()
        poller.register(progress_fd, select.POLLIN)
        poller.register(self._inbox, select.POLLIN)
        while not should_end():
            ready = [fd for fd, _ in poller.poll(_TICK_MS)]
            lines = [parse_line(line) for line in self._inbox.take()]
            for line in lines:
                self.delivery.take_line(line)
            if progress_fd in ready and not self._read_progress(progress_fd):
                poller.unregister(progress_fd)
            on_turn(lines)
            self._judge(child)

    def _read_progress(self, fd: int) -> bool:
        """Take in what the progress pipe holds; False at its end."""
        chunk = os.read(fd, _READ_BYTES)
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            self.delivery.take_progress(line.decode("ascii", "replace").strip(), now_ns=self._clock.monotonic_ns())
        return bool(chunk)

    def _judge(self, child: HeldProcess) -> None:
        """Raise what ends the attempt: any exit, also status 0, and progress that stands still."""
        if child.poll() is not None:
            status = child.wait(self._plan.timing.int_grace_s)
            raise ChildExited(self._plan.label, status, self.delivery.last_error or child.stderr_tail)
        idle_s = self.delivery.idle_s(self._clock.monotonic_ns())
        if idle_s >= self._plan.timing.stall_s:
            raise ChildStalled(self._plan.label, idle_s)
