"""RTMP or SRT push: keeps one egress FFmpeg delivering the channel's stream to one URL, for ever.

Rule: it fails alone. Whatever happens to FFmpeg or its target, the feeder is told (`on_writer(None, …)`), the reason is
shown, and the next attempt comes after the back-off. FFmpeg outlives a control that leaves, and is adopted by the next.
Made and closed by the channel's supervisor; one thread.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from channeld.base.clock import NS_PER_SECOND, Clock, SystemClock
from channeld.base.errors import ChannelError, ChildStalled, OutputError
from channeld.base.redact import redact_text, redact_url
from channeld.base.worker import Worker
from channeld.outputs.push_adoption import adopt_or_clear
from channeld.outputs.push_attempt import PushAttempt
from channeld.outputs.push_drop import PublisherDrop
from channeld.outputs.push_health import PushCondition, PushState
from channeld.outputs.push_inbox import Inbox, Order
from channeld.outputs.push_plan import OnWriter, PushPorts, PushTiming, make_plan
from channeld.outputs.push_srt import SrtLink
from channeld.outputs.push_target import PushTarget
from channeld.process.backoff import Backoff
from channeld.process.ffmpeg_log import FFmpegLine, LineKind
from channeld.process.holding import Holding
from channeld.telemetry import log

_TOLD_LEVELS = frozenset({"warning", "error", "fatal", "panic"})


class PushOutput(Worker):
    """One push of one channel.

    `on_writer(fd, continues)` gets a write end of the FIFO, which it owns from then on (also if it raises). With `continues`
    the same FFmpeg goes on reading at the byte where the FIFO's stream ended; else it is a new one, and the first bytes
    should be a burst from a random access point ≥ 2 s behind. `on_writer(None, False)`: it has no reader any more, close it.
    `on_state` gets every change. Both are called in the push's thread. Raises OutputError for a URL that is neither RTMP nor SRT.
    `adopt` goes on with the FFmpeg that an earlier control left, if it is the one that would be started; its feeder is
    taken to go on too, until `refeed`. `control` is the address of nginx-rtmp's control page, to free a name that is taken.
    `tls_verify`, `ca_file` and `srt` are PushTarget's.
    """

    def __init__(
        self,
        name: str,
        channel: str,
        url: str,
        *,
        holder: Holding,
        runtime_dir: Path,
        on_writer: OnWriter,
        on_state: Callable[[PushState], None],
        clock: Clock | None = None,
        timing: PushTiming | None = None,
        ffmpeg: str = "ffmpeg",
        adopt: bool = False,
        control: str | None = None,
        tls_verify: bool = True,
        ca_file: Path | None = None,
        srt: SrtLink | None = None,
    ) -> None:
        super().__init__(f"push:{channel}/{name}")
        if "/" in name or "/" in channel:
            raise OutputError(f"{channel}, {name}: a slash in a name would leave the runtime folder")
        target = PushTarget(url, tls_verify, ca_file, srt or SrtLink())
        self._plan = make_plan(channel, name, target, runtime_dir=runtime_dir, ffmpeg=ffmpeg, timing=timing)
        self._ports = PushPorts(holder, Inbox(), clock or SystemClock(), on_writer)
        self._on_state, self._adopts = on_state, adopt
        self._rest_until_ns = 0
        self._attempt = PushAttempt(self._plan, self._ports, self._plan.slots[0])
        self._successor: PushAttempt | None = None
        self._backoff = Backoff()
        logger = log.get("push").bind(channel=channel, output=name)
        self._repeats = log.Repeats(logger)
        self.reconnects = 0
        """How often an FFmpeg connected again by itself; restarts are counted in `state`."""
        self._drop = None if control is None else PublisherDrop(control, url, logger)
        first = (PushCondition.STARTING, None, self._ports.clock.wall_s(), 0, None, None)
        self._state = PushState(channel, name, redact_url(url), *first)

    @property
    def state(self) -> PushState:
        """The push at this moment; safe from any thread."""
        return self._state

    @property
    def sent_s(self) -> float:
        """Seconds of stream that the present FFmpeg has sent: where its RTMP clock stands. Safe from any thread."""
        return self._attempt.delivery.out_time_s

    @property
    def wants_recycle(self) -> bool:
        """FFmpeg has sent so much that it should be replaced, and its successor is ready; safe from any thread."""
        successor = self._successor
        return successor is not None and successor.is_ready

    def restart(self) -> None:
        """End FFmpeg and start another at once, without back-off; safe from any thread."""
        self._ports.inbox.post(order=Order.RESTART)

    def recycle(self) -> None:
        """Put the successor in FFmpeg's place, at the cost of one short reconnect: best at a clip's boundary. Any thread."""
        self._ports.inbox.post(order=Order.RECYCLE)

    def refeed(self) -> None:
        """The feeder is another one: hand it the write end, to go on where the former ended. Any thread."""
        self._ports.inbox.post(order=Order.REFEED)

    def rest(self, rest_s: float) -> None:
        """Make no attempt for so long, once the present one has ended; `restart` ends the rest. Any thread."""
        self._rest_until_ns = self._ports.clock.monotonic_ns() + int(rest_s * NS_PER_SECOND)
        self._ports.inbox.post()

    def wake(self) -> None:
        self._ports.inbox.post()

    def close(self, timeout_s: float = 15.0) -> None:
        """End FFmpeg (end of input, INT, KILL) and the thread; nothing of the push is left. Idempotent."""
        super().close(timeout_s)
        self._ports.inbox.close()

    def leave(self, timeout_s: float = 15.0) -> None:
        """End the thread, but let a started FFmpeg live on, with its FIFO and what the holder keeps. Idempotent."""
        self._ports.inbox.post(order=Order.LEAVE)
        self.close(timeout_s)

    def run(self) -> None:
        self._on_state(self._state)
        self._take_up()
        while not self.stopping.is_set():
            self._ports.inbox.take_order(Order.RESTART)
            try:
                self._live()
            except (ChannelError, OSError) as error:
                self._fail(error)
            if not self.stopping.is_set():
                self._take_rest()
                self._change(restarts=self._state.restarts + 1)
                self._attempt = PushAttempt(self._plan, self._ports, self._attempt.slot)
        self._repeats.flush(everything=True)
        if not self._ports.inbox.is_ordered(Order.LEAVE):
            self._change(condition=PushCondition.STOPPED, reason=None, pid=None)

    def _take_up(self) -> None:
        """Adopt what an earlier control left, or see to it that nothing of it is left."""
        try:
            self._attempt = adopt_or_clear(self._plan, self._ports, adopt=self._adopts) or self._attempt
        except (ChannelError, OSError) as error:
            self._repeats.tell("warning", "push_not_adopted", error=str(error))

    def _live(self) -> None:
        """One FFmpeg, and those that take its place by recycling, up to an end."""
        try:
            if self._attempt.pid is None:
                self._attempt.start(self._should_end)
                self._tell([])
                self._attempt.feed()
            while not self._should_end():
                self._attempt.watch(self._should_pause, self._turn)
                if self._ports.inbox.take_order(Order.RECYCLE):
                    self._replace()
        finally:
            self._end_successor()
            if self._ports.inbox.is_ordered(Order.LEAVE) and self._attempt.is_delivering:
                self._attempt.leave()
            self._attempt.close()

    def _should_end(self) -> bool:
        return self.stopping.is_set() or self._ports.inbox.is_ordered(Order.RESTART)

    def _should_pause(self) -> bool:
        return self._should_end() or self._ports.inbox.is_ordered(Order.RECYCLE)

    def _turn(self, lines: list[FFmpegLine]) -> None:
        self._tell(lines)
        if self._drop is not None:
            self._drop.take(lines, healthy_s=self._attempt.delivery.healthy_s)
        if self._successor is not None and not self._successor.is_ready:
            self._end_successor()
            self._attempt.put_off_recycle()
        if self._attempt.is_old and self._successor is None:
            self._prepare_successor()

    def _prepare_successor(self) -> None:
        """Start the FFmpeg that comes next, up to its waiting for the first byte."""
        successor = self._successor = PushAttempt(self._plan, self._ports, self._plan.slots[1 - self._attempt.slot.number])
        try:
            successor.start(self._should_end)
        except (ChannelError, OSError) as error:
            self._repeats.tell("warning", "push_successor_failed", error=str(error))

    def _end_successor(self) -> None:
        successor, self._successor = self._successor, None
        if successor is not None:
            successor.close()

    def _replace(self) -> None:
        """End FFmpeg, then feed its successor, which connects at once: before, its name would be taken."""
        if self._successor is None:
            self._prepare_successor()
        successor, self._successor = self._successor, None
        if successor is None or not successor.is_ready:
            self._successor = successor  # ended, and tried again later, by the next turn
            return
        former, self._attempt = self._attempt, successor
        former.close()
        successor.feed()
        self._change(condition=PushCondition.STARTING, reason=None, pid=successor.pid)

    def _tell(self, lines: list[FFmpegLine]) -> None:
        """Show how the attempt goes, and log what FFmpeg complains about."""
        for line in lines:
            self.reconnects += line.kind is LineKind.RECOVERED
            if line.level in _TOLD_LEVELS:
                self._repeats.tell("warning", "egress_complained", kind=line.kind.value, text=line.text, part=line.component)
        self._repeats.flush()
        delivery, pid = self._attempt.delivery, self._attempt.pid
        last_error = delivery.last_error or self._state.last_error
        if delivery.condition is PushCondition.STARTING and self._state.condition is PushCondition.RETRYING:
            self._change(pid=pid)  # a new attempt is no news until it delivers
            return
        self._change(condition=delivery.condition, reason=delivery.reason, pid=pid, last_error=last_error)

    def _fail(self, error: Exception) -> None:
        """Show why an attempt ended, and wait before the next; restart() and close() cut the wait short."""
        delivery = self._attempt.delivery
        reason = "stalled" if isinstance(error, ChildStalled) else (delivery.reason or "ended")
        facts = {"reason": reason, "last_error": redact_text(str(error)), "failures": self._state.failures + 1}
        self._change(condition=PushCondition.RETRYING, pid=None, **facts)
        wait_s = self._backoff.next_s(healthy_for_s=delivery.healthy_s)
        self._repeats.tell("warning", "push_failed", error=str(error), retry_in_s=round(wait_s, 2))
        self._ports.inbox.take("")
        if not self._should_end():  # after take(), which may have eaten the wake-up of a stop
            self._ports.inbox.wait(wait_s)

    def _take_rest(self) -> None:
        """Wait as `rest` has it; what comes behind it is an attempt like every other."""
        clock, before = self._ports.clock, self._state.condition
        while (left_s := (self._rest_until_ns - clock.monotonic_ns()) / NS_PER_SECOND) > 0 and not self._should_end():
            self._change(condition=PushCondition.RESTING, next_try_s=clock.wall_s() + left_s)
            self._ports.inbox.take("")
            if not self._should_end():
                self._ports.inbox.wait(left_s)
        self._rest_until_ns = 0
        if self._state.condition is PushCondition.RESTING:
            self._change(condition=before, next_try_s=None)

    def _change(self, **changes: object) -> None:
        """Replace the state and tell it, if anything is new."""
        new = replace(self._state, **changes)  # type: ignore[arg-type]
        if new == self._state:
            return
        if new.condition is not self._state.condition:
            new = replace(new, since_s=self._ports.clock.wall_s())
        self._state = new
        self._on_state(new)
