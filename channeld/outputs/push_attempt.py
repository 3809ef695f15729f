"""One life of an egress FFmpeg: FIFO made, process started, write end handed over, watched, ended. Or adopted, and left.

Rule: one attempt, no retry; it raises what went wrong, and `close` leaves no process, descriptor or file behind, `leave`
all of them. Run by the push's thread. Who owns what:

| what                        | made by                | waited for by | closed by                            |
|-----------------------------|------------------------|---------------|--------------------------------------|
| FIFO on disk                | PushAttempt.start      | -             | PushAttempt.close, last              |
| FFmpeg                      | the holder             | PushAttempt   | PushAttempt: EOF → grace → INT → KILL |
| spare write end             | the holder (a dup)     | -             | PushAttempt, by release              |
| write end                   | PushAttempt.start      | -             | whoever `on_writer` gave it to       |
"""

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import replace

from channeld.base.errors import ChildExited, ChildStalled
from channeld.outputs.push_args import PROGRESS_DROPPED, PROGRESS_TOLD
from channeld.outputs.push_health import Delivery
from channeld.outputs.push_inbox import Order
from channeld.outputs.push_plan import PushPlan, PushPorts, Slot
from channeld.outputs.push_target import handed
from channeld.process.child import ChildSpec
from channeld.process.confine import Limits
from channeld.process.ffmpeg_log import FFmpegLine, parse_line
from channeld.process.fifo import Fifo, waiting_bytes
from channeld.process.holding import HeldProcess

_TICK_S = 0.5
_RECYCLE_AGAIN_S = 60.0
_OFFER_S = 5.0
"""How often a write end is offered again while nothing comes through it."""

# Copying needs little: no file is ever written, and the rest are fences against a runaway. 20 days cost some hours of CPU.
_LIMITS = Limits(address_space_bytes=2 << 30, file_size_bytes=0, processes=8192, open_files=64, cpu_s=5 * 86_400)
_ENDLESS_LIMITS = replace(_LIMITS, cpu_s=None)
"""Of one that is never begun anew, and may live for years."""
_NICE = 5  # below the playout host, above prepare


class PushAttempt:
    """One FFmpeg with its FIFO. `delivery` and `pid` tell how it goes, also after the end."""

    def __init__(self, plan: PushPlan, ports: PushPorts, slot: Slot) -> None:
        self.delivery = Delivery(now_ns=ports.clock.monotonic_ns())
        self.pid: int | None = None
        self.slot = slot
        self._timing, self._ports, self._is_called = plan.timing, ports, plan.is_called
        self._limits = _ENDLESS_LIMITS if math.isinf(plan.timing.recycle_s) else _LIMITS
        self._recycle_at_s = plan.timing.draw_recycle_s()
        self._stack = contextlib.ExitStack()
        self._child: HeldProcess | None = None
        self._fd: int | None = None
        self._is_fed = self._was_opened = False
        self._offered_ns = 0

    @property
    def is_old(self) -> bool:
        """It has sent so much that RTMP's clock may wrap before long."""
        return self.delivery.out_time_s >= self._recycle_at_s

    @property
    def is_ready(self) -> bool:
        """It lives and waits for its first byte."""
        return self._fd is not None and self._child is not None and self._child.poll() is None

    @property
    def is_delivering(self) -> bool:
        """It lives, was given its stream, and is not known to stand still: worth leaving to another control."""
        return self._is_fed and self._child is not None and self._child.poll() is None and not self.delivery.is_stalled

    def put_off_recycle(self) -> None:
        """Its successor was no good: not another one at once."""
        self._recycle_at_s = self.delivery.out_time_s + _RECYCLE_AGAIN_S

    def start(self, should_end: Callable[[], bool]) -> None:
        """Start FFmpeg and open its FIFO, unless told to end meanwhile. Raises SpawnError, ProcessError or OSError."""
        fifo = Fifo.create(self.slot.fifo)
        self._stack.callback(fifo.remove)
        preset = None if self.slot.preset is None else handed(self.slot.preset)
        spec = ChildSpec(
            self.slot.label,
            self.slot.arguments,
            limits=self._limits,
            nice=_NICE,
            stdin=preset,
            told_only=PROGRESS_TOLD,
            dropped=PROGRESS_DROPPED,
            digest=self.slot.digest,
        )
        try:
            child = self._child = self._ports.holder.spawn(spec, on_line=self._post_line, on_exit=self._post_exit)
        finally:
            if preset is not None:
                os.close(preset)
        self._stack.callback(self._end, child)
        self.pid = child.pid
        self._fd = fifo.open_writer(self._timing.open_s, lambda: should_end() or child.poll() is not None)
        if self._fd is not None:
            self._was_opened = True
            self._stack.callback(self._drop_fd)
            self._keep(self._fd)

    def _keep(self, fd: int) -> None:
        self._stack.callback(self._ports.holder.release, self.slot.label)
        self._ports.holder.keep_fd(self.slot.label, fd)

    def adopt(self) -> None:
        """Go on with the FFmpeg that the holder keeps in this slot. Raises KeyError, or ProcessError for its FIFO."""
        fifo = Fifo.existing(self.slot.fifo)
        child = self._child = self._ports.holder.adopt(self.slot.label, on_line=self._post_line, on_exit=self._post_exit)
        self._stack.callback(fifo.remove)
        self._stack.callback(self._end, child)
        self._stack.callback(self._ports.holder.release, self.slot.label)
        self._stack.callback(self._ports.on_writer, None, False)
        self.pid, self._is_fed, self._was_opened = child.pid, True, True
        self.delivery.remember([parse_line(line) for line in child.stderr_tail.splitlines()], is_called=self._is_called)

    def feed(self) -> None:
        """Hand the write end over; nothing happens if there is none (FFmpeg ended, or the push was told to)."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._stack.callback(self._ports.on_writer, None, False)
            self._is_fed = True
            self.delivery = Delivery(now_ns=self._ports.clock.monotonic_ns())  # it may have waited long for its turn
            self._ports.inbox.take_order(Order.REFEED)
            self._ports.on_writer(fd, False)

    def watch(self, should_end: Callable[[], bool], on_turn: Callable[[list[FFmpegLine]], None]) -> None:
        """Watch until told to end; `on_turn` gets the new lines at every turn. Raises ChildExited (any status) or ChildStalled."""
        while not should_end():
            on_turn(self._take_lines())
            if self._ports.inbox.take_order(Order.REFEED):
                self._offer()
            self._judge()
            if not should_end():
                self._ports.inbox.wait(_TICK_S)

    def close(self) -> None:
        """End it: the write ends are closed, FFmpeg flushes what it has read. Idempotent."""
        self._stack.close()

    def leave(self) -> None:
        """Let it live on, fed by whoever has its write end."""
        self._stack.pop_all()

    def _post_line(self, line: str) -> None:
        self._ports.inbox.post(self.slot.label, line)

    def _post_exit(self, _: int) -> None:
        self._ports.inbox.post()

    def _drop_fd(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _take_lines(self) -> list[FFmpegLine]:
        now_ns, lines = self._ports.clock.monotonic_ns(), []
        for text in self._ports.inbox.take(self.slot.label):
            if text.startswith(PROGRESS_TOLD):
                self.delivery.take_progress(text, now_ns=now_ns)
                continue
            line = parse_line(text)
            self.delivery.take_line(line)
            lines.append(line)
        return lines

    def _offer(self) -> None:
        """Hand the write end over once more: its former owner may be gone."""
        self._offered_ns = self._ports.clock.monotonic_ns()
        with contextlib.suppress(KeyError):  # the FIFO was never opened
            self._ports.on_writer(self._ports.holder.borrow(self.slot.label), True)

    def _end(self, child: HeldProcess) -> None:
        """Its write ends are closed: wait for the end that follows, if one can."""
        # INT waits in a stopped process, and in one that waits for its FIFO to be opened (the call is begun again); KILL does not.
        if self.delivery.is_stalled or not self._was_opened:
            child.terminate(0.0)
            return
        try:
            child.wait(self._timing.eof_grace_s)
        except TimeoutError:
            child.terminate(self._timing.int_grace_s)

    def _judge(self) -> None:
        """Raise what ends the attempt: any exit, also status 0, and progress that stands still before something to read."""
        child, now_ns = self._child, self._ports.clock.monotonic_ns()
        if child is None:
            return
        if child.poll() is not None:
            status = child.wait(self._timing.int_grace_s)
            self._take_lines()
            raise ChildExited(self.slot.label, status, self.delivery.last_error or child.stderr_tail)
        if self.delivery.idle_s(now_ns) < self._timing.stall_s / 2:
            return
        if self._is_starved():
            self.delivery.starve(now_ns=now_ns, patience_s=self._timing.stall_s)
            if self.delivery.is_starved and now_ns - self._offered_ns >= _OFFER_S * 1e9:
                self._offer()
        elif self.delivery.idle_s(now_ns) >= self._timing.stall_s:
            self.delivery.is_stalled = True
            raise ChildStalled(self.slot.label, self.delivery.idle_s(now_ns))

    def _is_starved(self) -> bool:
        """Nothing waits in the FIFO, so that it is not FFmpeg that stands still."""
        try:
            fd = self._ports.holder.borrow(self.slot.label)
        except KeyError:
            return False
        try:
            return waiting_bytes(fd) == 0
        finally:
            os.close(fd)
