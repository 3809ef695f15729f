"""RTMP push: keeps one egress FFmpeg delivering the channel's stream to one URL, for ever.

Rule: it fails alone. Whatever happens to FFmpeg or its target, the feeder is told (`on_writer(None)`), the reason is
shown, and the next attempt comes after the back-off. Made and closed by the channel's supervisor; one thread.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from channeld.base.clock import Clock, SystemClock
from channeld.base.errors import ChannelError, ChildStalled, OutputError
from channeld.base.redact import redact_text, redact_url
from channeld.base.worker import Worker
from channeld.outputs.push_args import push_arguments
from channeld.outputs.push_attempt import Inbox, OnWriter, PushAttempt, PushPlan, PushTiming
from channeld.outputs.push_health import PushCondition, PushState
from channeld.process.backoff import Backoff
from channeld.process.ffmpeg_log import FFmpegLine
from channeld.process.holding import Holding
from channeld.telemetry import log

_TOLD_LEVELS = frozenset({"warning", "error", "fatal", "panic"})


class PushOutput(Worker):
    """One push of one channel.

    `on_writer` gets a write end of the FIFO, which it owns from then on (also if it raises), and None when that has no
    reader any more: close it. The first bytes written should be a burst from a random access point ≥ 2 s behind.
    `on_state` gets every change. Both are called in the push's thread. Raises OutputError for a URL that is not RTMP.
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
    ) -> None:
        super().__init__(f"push:{channel}/{name}")
        if "/" in name or "/" in channel:
            raise OutputError(f"{channel}, {name}: a slash in a name would leave the runtime folder")
        fifo = runtime_dir.absolute() / "fifo" / f"{channel}.{name}"
        self._plan = PushPlan(f"push:{channel}/{name}", push_arguments(fifo, url, ffmpeg=ffmpeg), fifo, timing or PushTiming())
        self._holder, self._on_writer, self._on_state = holder, on_writer, on_state
        self._clock = clock or SystemClock()
        self._inbox = Inbox()
        self._restart_wanted = threading.Event()
        self._backoff = Backoff()
        self._repeats = log.Repeats(log.get("push").bind(channel=channel, output=name))
        first = (PushCondition.STARTING, None, self._clock.wall_s(), 0, None, None)
        self._state = PushState(channel, name, redact_url(url), *first)

    @property
    def state(self) -> PushState:
        """The push at this moment; safe from any thread."""
        return self._state

    def restart(self) -> None:
        """End FFmpeg and start another at once, without back-off; safe from any thread."""
        self._restart_wanted.set()
        self._inbox.post()

    def wake(self) -> None:
        self._inbox.post()

    def close(self, timeout_s: float = 15.0) -> None:
        """End FFmpeg (end of input, INT, KILL) and the thread; nothing of the push is left. Idempotent."""
        super().close(timeout_s)
        self._inbox.close()

    def run(self) -> None:
        self._on_state(self._state)
        while not self.stopping.is_set():
            self._restart_wanted.clear()
            attempt = PushAttempt(self._plan, holder=self._holder, inbox=self._inbox, clock=self._clock, on_writer=self._on_writer)
            try:
                attempt.run(should_end=self._should_end, on_turn=lambda lines, attempt=attempt: self._tell(attempt, lines))  # type: ignore[misc]
            except (ChannelError, OSError) as error:
                self._fail(attempt, error)
            if not self.stopping.is_set():
                self._change(restarts=self._state.restarts + 1)
        self._repeats.flush(everything=True)
        self._change(condition=PushCondition.STOPPED, reason=None, pid=None)

    def _should_end(self) -> bool:
        return self.stopping.is_set() or self._restart_wanted.is_set()

    def _tell(self, attempt: PushAttempt, lines: list[FFmpegLine]) -> None:
        """Show how an attempt goes, and log what FFmpeg complains about."""
        for line in lines:
            if line.level in _TOLD_LEVELS:
                self._repeats.tell("warning", "egress_complained", kind=line.kind.value, text=line.text, part=line.component)
        self._repeats.flush()
        delivery = attempt.delivery
        last_error = delivery.last_error or self._state.last_error
        if delivery.condition is PushCondition.STARTING and self._state.condition is PushCondition.RETRYING:
            self._change(pid=attempt.pid)  # a new attempt is no news until it delivers
            return
        self._change(condition=delivery.condition, reason=delivery.reason, pid=attempt.pid, last_error=last_error)

    def _fail(self, attempt: PushAttempt, error: Exception) -> None:
        """Show why an attempt ended, and wait before the next; restart() and close() cut the wait short."""
        reason = "stalled" if isinstance(error, ChildStalled) else (attempt.delivery.reason or "ended")
        self._change(condition=PushCondition.RETRYING, reason=reason, pid=None, last_error=redact_text(str(error)))
        wait_s = self._backoff.next_s(healthy_for_s=attempt.delivery.healthy_s)
        self._repeats.tell("warning", "push_failed", error=str(error), retry_in_s=round(wait_s, 2))
        self._inbox.take()
        if not self._should_end():  # after take(), which may have eaten the wake-up of a stop
            self._inbox.wait(wait_s)

    def _change(self, **changes: object) -> None:
        """Replace the state and tell it, if anything is new."""
        new = replace(self._state, **changes)  # type: ignore[arg-type]
        if new == self._state:
            return
        if new.condition is not self._state.condition:
            new = replace(new, since_s=self._clock.wall_s())
        self._state = new
        self._on_state(new)
