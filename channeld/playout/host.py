"""A playout host: the process that keeps channels on air. `python -m channeld.playout.host --wire-fd N`.

Rule: control decides, this process plays. It imports only base, telemetry, ts, bus and its own package.

owner of | made by | closed by
--- | --- | ---
rings | start of a channel | the feeder, when the channel is dropped
FIFO fds, heads sockets | messages (SCM_RIGHTS) | the feeder
look-ahead files | disk readers | disk readers
threads playout, feeder, reporter, lookahead:* | Host | Host.close
"""

import argparse
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, SystemClock
from channeld.base.errors import ChannelError
from channeld.base.units import FrameRate, Ticks90k
from channeld.base.wire import Message, Wire
from channeld.base.worker import Worker
from channeld.bus.ring import RingWriter
from channeld.playout.air import Air
from channeld.playout.feeder import Feeder
from channeld.playout.lookahead import ClipSource, DiskReaders, load_whole
from channeld.playout.schedule import Schedule
from channeld.telemetry.log import configure
from channeld.ts.splicer import DEFAULT_PCR_LEAD, Slice, Splicer, SplicerState, StreamFormat

PROGRESS_S = 1.0
MAX_REPORTS = 10_000
FIRST_CLIP_WAIT_S = 1.0
LAST_REPORTS_S = 2.0
NICE = -10
"""Over everything else of the daemon: control 0, egress 5, prepare 10."""
SLICES_PER_RING_SECOND = 16
"""Room for slices shorter than 0.2 s, as single-frame clips make them."""

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading a message that is not what it should be can raise; the message is dropped, the air goes on."""

log = structlog.get_logger()


class Reporter(Worker):
    """Sends what the threads report, so that control, frozen or slow, never makes the heap thread wait.

    Keeps the newest MAX_REPORTS while control does not read.
    """

    def __init__(self, wire: Wire) -> None:
        super().__init__("reporter")
        self._wire = wire
        self._reports: deque[tuple[str, dict[str, Any]]] = deque(maxlen=MAX_REPORTS)
        self._waiting = threading.Semaphore(0)

    def put(self, kind: str, values: dict[str, Any]) -> None:
        """Queue one report; never blocks."""
        self._reports.append((kind, values))
        self._waiting.release()

    def wake(self) -> None:
        self._waiting.release()

    def run(self) -> None:
        while not self.stopping.is_set():
            self._waiting.acquire()
            while self._reports:
                kind, values = self._reports.popleft()
                try:
                    self._wire.send(kind, **values)
                except OSError:
                    return  # control is gone; the main thread reads the same and ends the host
                except ValueError as error:
                    log.error("report_dropped", kind=kind, error=str(error))


class Host:
    """Owns the heap thread, the feeder and the disk readers; speaks with control over one wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._clock = SystemClock()
        self._reporter = Reporter(wire)
        self._feeder = Feeder(self._send)
        self._readers = DiskReaders()
        self._schedule = Schedule(self._clock, self._released, self._crashed)
        self._rings: dict[str, tuple[int, RingWriter]] = {}
        self._is_stopping = False

    def run(self) -> None:
        """Serve until control says stop, goes away, or SIGTERM comes."""
        self._reporter.start()
        self._feeder.start()
        self._schedule.start()
        gc.freeze()  # what is here stays: collections need not look at it again
        next_progress_ns = self._clock.monotonic_ns()
        while not self._is_stopping:
            wait_s = (next_progress_ns - self._clock.monotonic_ns()) / NS_PER_SECOND
            if wait_s <= 0:
                next_progress_ns += int(PROGRESS_S * NS_PER_SECOND)
                self._send_progress()
                continue
            try:
                message = self._wire.receive(wait_s)
            except TimeoutError:
                continue
            except MALFORMED as error:
                log.warning("message_malformed", error=str(error))
                continue
            if message is None:
                break
            self._take(message)
        self.close()

    def stop(self) -> None:
        """End `run` soon; from a signal handler."""
        self._is_stopping = True

    def close(self) -> None:
        """End all threads; rings end with the process."""
        self._schedule.close()
        self._feeder.close()
        self._readers.close()
        try:
            self._reporter.close(LAST_REPORTS_S)
        except RuntimeError:
            log.warning("reports_dropped")  # control does not read; the thread ends with the process

    def _take(self, message: Message) -> None:
        handlers = {
            "start": self._start,
            "plan": self._plan,
            "skip": self._skip,
            "stop": self._stop,
            "feed": self._feed,
            "unfeed": self._unfeed,
            "heads": self._heads,
        }
        if message.kind == "quit":
            self._is_stopping = True
            return
        handler = handlers.get(str(message.kind))
        if handler is None:
            log.warning("message_unknown", kind=message.kind)
            _close_all(message.fds)
            return
        is_taken = False
        try:
            handler(message.values, message.fds)
            is_taken = message.kind in ("feed", "heads")
        except (OSError, *MALFORMED) as error:
            log.warning("message_malformed", kind=message.kind, error=f"{type(error).__name__}: {error}")
        if not is_taken:
            _close_all(message.fds)

    def _send(self, kind: str, **values: Any) -> None:
        self._reporter.put(kind, values)

    def _start(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        channel = str(values["channel"])
        if channel in self._rings:
            log.warning("channel_already_on_air", channel=channel)
            return
        try:
            sources = _sources(values)
            air, ring = self._make_air(channel, values)
        except (ChannelError, OSError, *MALFORMED) as error:
            self._send("start_failed", channel=channel, error=str(error))
            return
        ring_id = values["ring_id"]
        self._rings[channel] = (ring_id, ring)
        fd = ring.open_reader_fd()
        try:
            self._wire.send("ring", fds=(fd,), channel=channel, ring_id=ring_id)
        finally:
            os.close(fd)
        self._load_first(air, sources)
        self._schedule.post(lambda: self._schedule.add(air))

    def _load_first(self, air: Air, sources: list[ClipSource]) -> None:
        """Wait a moment for what the first burst airs: a channel whose clips are prepared begins with them, not with its filler."""
        air.accept_plan(0, sources, now_ns=self._clock.monotonic_ns())
        wanted = air.burst_frames
        deadline_ns = self._clock.monotonic_ns() + int(FIRST_CLIP_WAIT_S * NS_PER_SECOND)
        while sources and air.frames_in_memory() < wanted and self._clock.monotonic_ns() < deadline_ns:
            time.sleep(0.01)

    def _make_air(self, channel: str, values: dict[str, Any]) -> tuple[Air, RingWriter]:
        fps = FrameRate(*values["fps"])
        filler = load_whole(ClipSource("filler", "filler", values["filler"]["ts"], values["filler"]["idx"]))
        stream = StreamFormat(fps, values["composition_delay"], Ticks90k(values.get("pcr_lead", DEFAULT_PCR_LEAD)))
        splicer = Splicer(stream, SplicerState(origin=values["origin"]))
        seconds = values["ring_seconds"]
        now_ns, now_s = self._clock.monotonic_ns(), self._clock.wall_s()
        lead_s = values["start_lead_s"]
        ring = RingWriter.create(
            capacity_bytes=int(seconds * values["bitrate"] / 8),
            slice_capacity=int(seconds * SLICES_PER_RING_SECOND),
            generation=values["ring_id"],
            description={
                "channel": channel,
                "fps": [fps.num, fps.den],
                "timeline": values["timeline"],
                "anchor_wall_s": now_s - lead_s,
                "anchor_ticks": values["origin"],
                "bitrate": values["bitrate"],
            },
        )
        anchor_ns = now_ns - int(lead_s * NS_PER_SECOND)
        return Air(channel, splicer, ring, filler, self._readers, self._send, anchor_ns=anchor_ns, lead_s=lead_s), ring

    def _plan(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        after, sources = int(values["after"]), _sources(values)
        self._schedule.tell(str(values["channel"]), lambda air: air.accept_plan(after, sources, now_ns=self._clock.monotonic_ns()))

    def _skip(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        self._schedule.tell(str(values["channel"]), Air.skip)

    def _stop(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        channel = str(values["channel"])
        held = self._rings.pop(channel, None)
        if held is None:
            return
        ring = held[1]

        def stop() -> None:
            air = self._schedule.remove(channel)
            if air is not None:
                air.close()
            self._feeder.post(lambda: self._drop(channel, ring))

        self._schedule.post(stop)

    def _drop(self, channel: str, ring: RingWriter) -> None:
        self._feeder.drop_channel(channel, ring)
        self._send("stopped", channel=channel)

    def _feed(self, values: dict[str, Any], fds: tuple[int, ...]) -> None:
        channel, output, fd = str(values["channel"]), str(values["output"]), _only(fds)
        held = self._rings.get(channel)
        if held is None:
            os.close(fd)
            self._send("feed_lost", channel=channel, output=output, error="the channel is not on air")
            return
        self._feeder.post(lambda: self._feeder.add(channel, output, held[1], fd))

    def _unfeed(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        channel, output = str(values["channel"]), str(values["output"])
        self._feeder.post(lambda: self._feeder.remove(channel, output))

    def _heads(self, values: dict[str, Any], fds: tuple[int, ...]) -> None:
        worker, listener = int(values["worker"]), socket.socket(fileno=_only(fds))
        self._feeder.post(lambda: self._feeder.add_listener(worker, listener))

    def _released(self, air: Air, piece: Slice) -> None:
        held = self._rings.get(air.channel)
        if held is not None:
            self._feeder.published(air.channel, held[0], air.ring.head_seq)

    def _crashed(self, air: Air, trace: str) -> None:
        air.close()
        self._send("crashed", channel=air.channel, error=trace)

    def _send_progress(self) -> None:
        airs = list(self._schedule.airs.values())
        figures = self._schedule.lateness.total.figures()
        self._send(
            "progress",
            turned_ns=self._schedule.turned_ns,
            channels={air.channel: air.progress() for air in airs},
            lateness_ms=self._schedule.lateness.percentiles_ms(),
            lateness_counts=figures.counts,
            lateness_sum_s=figures.sum_s,
            feeds=self._feeder.figures(),
        )


def raise_priority() -> None:
    """Put this thread, and those it starts from now on, over the FFmpegs (setpriority(2)); stays as it is where that is not allowed."""
    try:
        # An ordinary user needs RLIMIT_NICE for it, as LimitNICE= in the unit gives.
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except PermissionError:
        log.info("priority_not_raised", nice=os.getpriority(os.PRIO_PROCESS, 0), wanted=NICE)


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


def _sources(values: dict[str, Any]) -> list[ClipSource]:
    return [ClipSource.from_message(entry) for entry in values["sources"]]


def _only(fds: tuple[int, ...]) -> int:
    """The one descriptor of a message. Raises ValueError where there are none or several."""
    (fd,) = fds
    return fd


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="channeld-playout-host")
    parser.add_argument("--wire-fd", type=int, required=True)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="auto")
    arguments = parser.parse_args()
    configure(arguments.log_level, arguments.log_format)
    raise_priority()
    # The heap thread must not wait long for threads that compute: default is 5 ms.
    sys.setswitchinterval(0.001)
    host = Host(Wire(socket.socket(fileno=arguments.wire_fd)))
    signal.signal(signal.SIGTERM, lambda *_: host.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is control's to handle; it then says quit
    host.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
