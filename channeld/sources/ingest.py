"""The process that takes one live source in: `python -m channeld.sources.ingest --wire-fd N`.

Rule: control says what to take in and when to end; the rest is decided here, and goes on while control is away: a lost source is tried
again, for ever, with back-off. It belongs to the holder, and its FFmpeg dies with it. Nothing of the stream crosses the wire.

From control: `open` (spec and reference), `sync`, `quit`. To control: `source` whenever the state changes and after `sync`; `progress`.

owner of | made by | closed by
--- | --- | ---
thread `taking` | `open` | the end of the process
FFmpeg, live clip | an attempt | the attempt
clips of earlier attempts | attempts | the next attempt but one, and the end
"""

import argparse
import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.errors import ProcessError
from channeld.base.priority import raise_to
from channeld.base.redact import redact_text
from channeld.base.wire import Message, Wire
from channeld.base.worker import Worker
from channeld.media.child import ChildStopped
from channeld.media.live_input import live_input
from channeld.media.reference import Reference
from channeld.media.tools import find_tools
from channeld.process.backoff import Backoff
from channeld.process.outbox import Outbox
from channeld.sources.attempt import Attempt, BetterWay, Choice, Figures, Means
from channeld.sources.live_clip import LiveClip
from channeld.sources.measures import Rate
from channeld.sources.spec import Reason, SourceSpec, SourceState
from channeld.telemetry.log import configure

NICE = -5
"""Over encoders, the machine's own among them: what comes late into the clip is missing on air, and a loss is told late."""
PROGRESS_S = 1.0
KEPT_CLIPS = 2
"""The clip of the last attempt may still be on air while the next one begins."""
HEALTHY_S = 1.5
"""Whoever gave pictures for so long is tried again soon, however often it was lost before."""
PATIENT_S = 10.0
"""An attempt that took so long has waited by itself."""
RETRY_GROWTH = 1.25
"""Of the waits between attempts: they reach their longest after three quarters of a minute, for most sources that go come back soon."""
LOCKOUT_S = 10.0
LEFT_S = 60.0

log = structlog.get_logger()


class Intake(Worker):
    """Takes the source in, again and again. `tell` sends what changed."""

    def __init__(self, spec: SourceSpec, reference: Reference, send: Any) -> None:
        super().__init__("taking")
        self._spec, self._send = spec, send
        self._lock = threading.Lock()  # guards what is told, so that a `sync` gets one whole state
        self._told: dict[str, Any] = {}
        self.figures = Figures()
        live = live_input(spec.url, transport=spec.transport, timeout_s=spec.timeout_s)
        self._means = Means(spec, live, reference, find_tools(), self.tell, self.stopping.is_set)
        self._clips: list[LiveClip] = []
        self._count, self._gave_s = 0, 0.0
        self._reconnects, self._rate = 0, Rate()
        self._began_s, self._has_leftovers = time.monotonic(), True
        self.tell(SourceState.CONNECTING, None, "", None)

    def tell(self, state: SourceState, reason: Reason | None, detail: str, clip: str | None) -> None:
        """How the source stands; sent on where that is news."""
        standing = state.value, reason.value if reason else None, clip
        with self._lock:
            if standing == tuple(self._told.get(name) for name in ("state", "reason", "clip")):
                return
        figures = self.figures
        values = {
            "name": self._spec.name,
            "state": state.value,
            "reason": reason.value if reason else None,
            "detail": redact_text(detail),
            "clip": clip,
            "folder": self._spec.folder,
            "since": time.time(),
            "since_ns": time.monotonic_ns(),
            "silent_ns": None if figures.last_block_s is None else int(figures.last_block_s * NS_PER_SECOND),
            "mode": figures.mode,
            "why": redact_text(figures.why),
            "attempts": figures.attempts,
        }
        with self._lock:
            self._told = values
        silent_s = None if figures.last_block_s is None else round(time.monotonic() - figures.last_block_s, 3)
        facts = {"source": self._spec.name, "state": state.value, "reason": values["reason"], "detail": values["detail"]}
        log.info("source_changed", **facts, silent_s=silent_s)
        self._send("source", **values)

    def repeat(self) -> None:
        """Tell it again, to a control that does not know."""
        with self._lock:
            values = dict(self._told)
        self._send("source", **values)

    def run(self) -> None:
        backoff = Backoff(first_s=0.5, healthy_s=HEALTHY_S, growth=RETRY_GROWTH)
        choice = Choice(copies=self._spec.mode == "copy")
        while not self.stopping.is_set():
            began_s = time.monotonic()
            try:
                reason, detail = self._attempt(choice)
            except BetterWay:
                continue
            except ChildStopped:
                break
            except (ProcessError, OSError) as error:
                reason, detail = Reason.OTHER, str(error)
            self.tell(SourceState.LOST, reason, detail, None)
            took_s = time.monotonic() - began_s
            wait_s = backoff.next_s(healthy_for_s=HEALTHY_S if took_s > PATIENT_S else self._gave_s)
            # Many a camera locks out whoever tries a wrong password a few times.
            self.stopping.wait(LOCKOUT_S if reason is Reason.AUTHENTICATION_FAILED else wait_s)
            self._reconnects += 1
        for clip in self._clips:
            clip.remove()

    def _attempt(self, choice: Choice) -> tuple[Reason, str]:
        self._count += 1
        self._gave_s = 0.0
        attempt = Attempt(self._means, choice, self.figures, f"{self._spec.name}-{os.getpid()}-{self._count}")
        self.figures.streams = []
        try:
            return attempt.run()
        finally:
            if attempt.clip is not None:
                self._gave_s = attempt.gave_s
                choice.has_sound, choice.is_mute = choice.has_sound or choice.is_mute, False
                if not attempt.has_refused:
                    choice.refused = ""  # what comes next may be another thing
                self._clips.append(attempt.clip)
                while len(self._clips) > KEPT_CLIPS:
                    self._clips.pop(0).remove()

    def _remove_leftovers(self) -> None:
        """What a process of this source left that was killed: it may have been on air until now."""
        self._has_leftovers = False
        for path in Path(self._spec.folder).iterdir():
            if not path.name.startswith(f"{self._spec.name}-{os.getpid()}-"):
                path.unlink(missing_ok=True)

    def progress(self) -> dict[str, Any]:
        """Figures for control."""
        figures = self.figures
        if time.monotonic() - self._began_s > LEFT_S and self._has_leftovers:
            self._remove_leftovers()
        idle_s = None if figures.last_block_s is None else round(time.monotonic() - figures.last_block_s, 2)
        plain = {name: getattr(figures, name) for name in ("attempts", "bytes", "frames", "mode", "mark")}
        measured = {
            "reconnects": self._reconnects,
            "bits_per_s": self._rate.bits_per_s(time.monotonic(), figures.bytes),
            "losses": {loss.value: count for loss, count in figures.losses.counts.items()},
            "jitter_ms": figures.arrival.jitter_ms,
        }
        return {"name": self._spec.name, **plain, **measured, "why": redact_text(figures.why), "idle_s": idle_s, "streams": figures.streams}


class Ingest:
    """The main thread: reads the wire, reports once a second."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._outbox = Outbox("ingest", wire)
        self._intake: Intake | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """End `run` soon; from a signal handler."""
        self._is_stopping = True

    def run(self) -> None:
        """Serve until control says quit, nobody is left who could, or SIGTERM comes."""
        self._outbox.start()
        next_s = time.monotonic() + PROGRESS_S
        while not self._is_stopping:
            wait_s = next_s - time.monotonic()
            if wait_s <= 0:
                next_s += PROGRESS_S
                if self._intake is not None:
                    if not self._outbox.is_behind:  # while nobody is there to read, room is for what changes
                        self._send("progress", **self._intake.progress())
                    if not self._intake.alive:
                        raise RuntimeError("the thread that takes the source in is gone: its traceback stands above")
                continue
            try:
                message = self._wire.receive(min(wait_s, 0.5))
            except TimeoutError:
                continue
            except ValueError as error:
                log.warning("message_malformed", error=str(error))
                continue
            if message is None or message.kind == "quit":
                break
            self._take(message)
        self._close()

    def _take(self, message: Message) -> None:
        for fd in message.fds:
            os.close(fd)
        if message.kind == "sync" and self._intake is not None:
            self._intake.repeat()
        elif message.kind == "open" and self._intake is None:
            try:
                self._intake = _intake_of(message.values, self._send)
            except (ValueError, KeyError, TypeError, OSError, ProcessError) as error:
                log.error("source_not_opened", error=f"{type(error).__name__}: {error}")
                self._is_stopping = True
                return
            self._intake.start()

    def _send(self, kind: str, **values: Any) -> None:
        # Never waits: nobody reads while control is away, and the source must go on.
        self._outbox.put(kind, (), values)

    def _close(self) -> None:
        if self._intake is not None:
            self._intake.close()
        with contextlib.suppress(RuntimeError):  # control does not read; the thread ends with the process
            self._outbox.close(0.5)


def _intake_of(values: dict[str, Any], send: Any) -> Intake:
    reference = Reference.from_json(values["reference"])
    if reference is None:
        raise ValueError("no reference of the profile")
    spec = SourceSpec.from_message(values)
    Path(spec.folder).mkdir(parents=True, mode=0o750, exist_ok=True)
    return Intake(spec, reference, send)


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="channeld-ingest")
    parser.add_argument("--wire-fd", type=int, required=True)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="auto")
    arguments = parser.parse_args()
    configure(arguments.log_level, arguments.log_format)
    ingest = Ingest(Wire(socket.socket(fileno=arguments.wire_fd)))
    signal.signal(signal.SIGTERM, lambda *_: ingest.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is control's to handle; it then says quit
    raise_to(NICE)
    ingest.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
