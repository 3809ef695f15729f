"""A playout host: the process that keeps channels on air. `python -m channeld.playout.host --wire-fd N`.

Rule: control decides, this process plays, and goes on while control is away. It imports only base, telemetry, ts, bus and its own package.
The holder keeps control's end of the wire open, so the end of file says that nobody will ever speak to this host again.

owner of | made by | closed by
--- | --- | ---
rings | start of a channel | the feeder, when the channel is dropped
FIFO fds, sockets of heads and readers | messages (SCM_RIGHTS) | the feeder
look-ahead files | disk readers | disk readers
threads playout, feeder, opener, reporter, lookahead:* | Host | Host.close
"""

import argparse
import gc
import os
import signal
import socket
import sys
import threading
import time
import weakref
from functools import partial
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, SystemClock
from channeld.base.edition import edition
from channeld.base.errors import ChannelError
from channeld.base.priority import raise_to
from channeld.base.wire import Message, Wire
from channeld.bus.ring import RingWriter
from channeld.playout.air import Air
from channeld.playout.feeder import Feeder
from channeld.playout.lookahead import ClipSource, DiskReaders
from channeld.playout.opening import Opener, Opening, sources_of
from channeld.playout.readers import Places
from channeld.playout.reporter import Reporter
from channeld.playout.schedule import Schedule
from channeld.playout.terms import terms_of
from channeld.telemetry.log import configure, set_level
from channeld.ts.splicer import Slice

PARTS = ("base", "telemetry", "ts", "bus", "playout")
"""The code that a host runs: `edition(PARTS)` is what it tells as its version."""
PROGRESS_S = 1.0
FIRST_CLIP_WAIT_S = 1.0
LAST_REPORTS_S = 2.0
OPENER_S = 0.5
LEAD_S = 2.0
LEAD_POLL_S = 0.02
"""A lead is answered when it is reached and written, or after LEAD_S; looked at every LEAD_POLL_S."""
MAX_LISTED = 500
"""Readers told of at a time: as many as fit a message."""
NICE = -10
"""Over everything else of the daemon: control 0, egress 5, prepare 10."""

LIFE = ("start", "stop", "feed", "unfeed")
"""Messages that must not overtake a start of their channel."""

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading a message that is not what it should be can raise; the message is dropped, the air goes on."""

log = structlog.get_logger()


class Host:
    """Owns the heap thread, the feeder and the disk readers; speaks with control over one wire."""

    def __init__(self, wire: Wire, *, has_test_hooks: bool = False) -> None:
        self._wire = wire
        self._version = edition(PARTS)
        self._reporter = Reporter(wire, self._sent)
        self._feeder = Feeder(self._send)
        self._opener = Opener()
        self._opening = Opening(SystemClock(), DiskReaders(), self._send, weakref.WeakValueDictionary())
        self._schedule = Schedule(self._opening.clock, self._released, self._crashed, self._late)
        self._rings: dict[str, RingWriter] = {}
        self._lead_until_ns: int | None = None
        self._has_test_hooks = has_test_hooks
        self._is_stopping = False

    def run(self) -> None:
        """Serve until control says stop, nobody is left who could, or SIGTERM comes."""
        self._reporter.start()
        self._feeder.start()
        self._schedule.start()
        self._opener.start()
        gc.freeze()  # what is here stays: collections need not look at it again
        next_progress_ns = self._opening.clock.monotonic_ns()
        while not self._is_stopping:
            wait_s = (next_progress_ns - self._opening.clock.monotonic_ns()) / NS_PER_SECOND
            if wait_s <= 0:
                next_progress_ns += int(PROGRESS_S * NS_PER_SECOND)
                self._send_progress()
                if not (self._opener.alive and self._feeder.alive):
                    raise RuntimeError("the opener's or the feeder's thread is gone: its traceback stands above")
                continue
            try:
                message = self._wire.receive(min(wait_s, LEAD_POLL_S) if self._is_leading() else wait_s)
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
        try:
            self._opener.close(OPENER_S)
        except RuntimeError:
            log.warning("opening_abandoned")  # a disk does not answer; the thread ends with the process
        self._schedule.close()
        self._feeder.close()
        self._opening.readers.close()
        try:
            self._reporter.close(LAST_REPORTS_S)
        except RuntimeError:
            log.warning("reports_dropped")  # control does not read; the thread ends with the process

    def _take(self, message: Message) -> None:
        """Have a message done: starts, which read a disk, and what follows them for the same channel, by the opener."""
        if message.kind == "quit":
            self._is_stopping = True
            return
        channel = str(message.values.get("channel"))
        if message.kind == "start" or (message.kind in LIFE and self._opener.is_busy_with(channel)):
            self._opener.put(channel, lambda: self._do(message))
        else:
            self._do(message)

    def _do(self, message: Message) -> None:
        handlers = {
            "start": self._start,
            "plan": self._plan,
            "skip": self._skip,
            "stop": self._stop,
            "feed": self._feed,
            "unfeed": self._unfeed,
            "heads": self._heads,
            "attach": self._attach,
            "readers": self._readers,
            "sync": self._sync,
            "lead": self._lead,
            "log": _set_log_level,
            "hang": self._hang,
        }
        handler = handlers.get(str(message.kind))
        if handler is None:
            log.warning("message_unknown", kind=message.kind)
            _close_all(message.fds)
            return
        is_taken = False
        try:
            handler(message.values, message.fds)
            is_taken = message.kind in ("feed", "heads", "attach")
        except (OSError, *MALFORMED) as error:
            log.warning("message_malformed", kind=message.kind, error=f"{type(error).__name__}: {error}")
        if not is_taken:
            _close_all(message.fds)

    def _send(self, kind: str, **values: Any) -> None:
        self._reporter.put(kind, values)

    def _sent(self, kind: str, values: dict[str, Any]) -> None:
        air = self._schedule.airs.get(values["channel"]) if kind == "started" else None
        if air is not None:
            air.told(values["serial"])

    def _start(self, values: dict[str, Any], fds: tuple[int, ...]) -> None:
        channel, is_adopting = str(values["channel"]), bool(values.get("adopt", False))
        if channel in self._rings:
            log.warning("channel_already_on_air", channel=channel)
            return
        try:
            sources = sources_of(values)
            air = self._opening.adopted(channel, values, _only(fds)) if is_adopting else self._opening.new(channel, values)
            self._rings[channel] = air.ring
            air.announce = partial(self._feeder.readers.announce, channel, air.ring.ring_id)
            self._feeder.post(lambda: self._feeder.readers.began(channel, air.ring))
            if is_adopting:
                self._send("present", **air.present())
            else:
                self._tell_ring(air)
                self._load_first(air, sources)
        except (ChannelError, OSError, *MALFORMED) as error:
            self._rings.pop(channel, None)
            self._send("start_failed", channel=channel, adopt=is_adopting, error=str(error))
            return
        self._schedule.post(lambda: self._schedule.add(air))

    def _tell_ring(self, air: Air) -> None:
        """Give control the ring: a descriptor to read it, and one for the host that will go on with it."""
        ring = air.ring
        fd = ring.open_reader_fd()
        try:
            values = {"channel": air.channel, "ring_id": ring.ring_id, "description": ring.description()}
            self._reporter.put("ring", values, (fd, ring.fd))
        finally:
            os.close(fd)

    def _load_first(self, air: Air, sources: list[ClipSource]) -> None:
        """Wait a moment for what the first burst airs: a channel whose clips are prepared begins with them, not with its filler."""
        air.accept_plan(0, sources, now_ns=self._opening.clock.monotonic_ns())
        wanted = air.burst_frames
        deadline_ns = self._opening.clock.monotonic_ns() + int(FIRST_CLIP_WAIT_S * NS_PER_SECOND)
        while sources and air.frames_in_memory() < wanted and self._opening.clock.monotonic_ns() < deadline_ns:
            time.sleep(0.01)

    def _sync(self, _values: dict[str, Any], _: tuple[int, ...]) -> None:
        def tell() -> None:
            airs = list(self._schedule.airs.values())
            for air in airs:
                self._send("present", **air.present())
            self._send("synced", version=self._version, channels=[air.channel for air in airs])

        self._schedule.post(tell)

    def _lead(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        # Set here, not by the heap thread: what is asked for must be known before it is looked whether it is reached.
        self._schedule.lead_ns = max(0, int(float(values["seconds"]) * NS_PER_SECOND))
        self._schedule.wake()
        self._lead_until_ns = self._opening.clock.monotonic_ns() + int(LEAD_S * NS_PER_SECOND)

    def _is_leading(self) -> bool:
        """A lead is asked for and not reached yet; tells it once it is."""
        if self._lead_until_ns is None:
            return False
        is_written = self._schedule.is_ahead and not any(feed["behind"] for feed in self._feeder.figures() if not feed["may_lag"])
        if is_written or self._opening.clock.monotonic_ns() >= self._lead_until_ns:
            self._lead_until_ns = None
            self._send("led", is_written=is_written)
        return self._lead_until_ns is not None

    def _hang(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        """For tests of those who watch: a thread stops turning, or a channel's code raises. Only with --test-hooks."""
        if not self._has_test_hooks:
            raise ValueError("test hooks are off")
        what = str(values["what"])
        if what == "playout":
            self._schedule.post(_wait_for_ever)
        elif what == "feeder":
            self._feeder.post(_wait_for_ever)
        elif what == "main":
            _wait_for_ever()
        else:
            self._schedule.tell(str(values["channel"]), _raise)

    def _plan(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        after, sources, switches = int(values["after"]), sources_of(values), bool(values.get("switches", False))
        clock = self._opening.clock
        self._schedule.tell(
            str(values["channel"]), lambda air: air.accept_plan(after, sources, now_ns=clock.monotonic_ns(), switches=switches)
        )

    def _skip(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        waits = bool(values.get("waits", True))
        self._schedule.tell(str(values["channel"]), lambda air: air.skip(waits=waits))

    def _stop(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        channel = str(values["channel"])
        ring = self._rings.pop(channel, None)
        if ring is None:
            return

        def stop() -> None:
            air = self._schedule.remove(channel)
            if air is not None:
                air.stop()
            self._feeder.post(lambda: self._drop(channel, ring))

        self._schedule.post(stop)

    def _drop(self, channel: str, ring: RingWriter) -> None:
        self._feeder.drop_channel(channel, ring)
        self._send("stopped", channel=channel)

    def _feed(self, values: dict[str, Any], fds: tuple[int, ...]) -> None:
        channel, output, fd = str(values["channel"]), str(values["output"]), _only(fds)
        ring, continues, terms = self._rings.get(channel), bool(values.get("continues", False)), terms_of(values)
        if ring is None:
            os.close(fd)
            self._send("feed_lost", channel=channel, output=output, serial=terms.serial, error="the channel is not on air")
            return
        self._feeder.post(lambda: self._feeder.add(channel, output, ring, fd, continues=continues, terms=terms))

    def _unfeed(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        channel, output = str(values["channel"]), str(values["output"])
        self._feeder.post(lambda: self._feeder.give_up(channel, output))

    def _heads(self, values: dict[str, Any], fds: tuple[int, ...]) -> None:
        worker, listener = int(values["worker"]), socket.socket(fileno=_only(fds))
        self._feeder.post(lambda: self._feeder.add_listener(worker, listener))

    def _attach(self, values: dict[str, Any], fds: tuple[int, ...]) -> None:
        channel, most = str(values["channel"]), int(values["most"])
        places = Places(most, int(values.get("most_each", most)))
        ring, end = self._rings.get(channel), socket.socket(fileno=_only(fds))
        self._feeder.post(lambda: self._feeder.readers.add(channel, ring, end, places))

    def _readers(self, values: dict[str, Any], _: tuple[int, ...]) -> None:
        """Who reads a channel, for somebody who asked."""
        channel, request, most = str(values["channel"]), int(values["request"]), int(values["most"])
        found = self._feeder.readers.listed(channel, min(most, MAX_LISTED))
        self._send("readers", channel=channel, request=request, clients=found, is_last=True)

    def _released(self, air: Air, piece: Slice) -> None:
        if air.channel in self._rings:
            self._feeder.published(air.channel, air.ring.ring_id, air.ring.head_seq)

    def _late(self, air: Air, late_s: float) -> None:
        self._send("late", channel=air.channel, seconds=round(late_s, 3))

    def _crashed(self, air: Air, trace: str) -> None:
        air.close()
        self._send("crashed", channel=air.channel, error=trace)

    def _send_progress(self) -> None:
        airs = list(self._schedule.airs.values())
        figures = self._schedule.lateness.total.figures()
        values = {
            "turned_ns": self._schedule.turned_ns,
            "feeder_turned_ns": self._feeder.turned_ns,
            "reporter_turned_ns": self._reporter.turned_ns,
            "channels": {air.channel: {**air.progress(), "readers": self._feeder.readers.count(air.channel)} for air in airs},
            "lateness_ms": self._schedule.lateness.percentiles_ms(),
            "lateness_counts": figures.counts,
            "lateness_sum_s": figures.sum_s,
            "feeds": self._feeder.figures(),
        }
        self._reporter.put("progress", values, newest_only=True)


def _set_log_level(values: dict[str, Any], _: tuple[int, ...]) -> None:
    set_level(values["level"])


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


def _wait_for_ever() -> None:
    threading.Event().wait()


def _raise(air: Air) -> None:
    raise RuntimeError(f"channel {air.channel} was told to raise")


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
    parser.add_argument("--test-hooks", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    configure(arguments.log_level, arguments.log_format)
    raise_to(NICE)
    # The heap thread must not wait long for threads that compute: default is 5 ms.
    sys.setswitchinterval(0.001)
    host = Host(Wire(socket.socket(fileno=arguments.wire_fd)), has_test_hooks=arguments.test_hooks)
    signal.signal(signal.SIGTERM, lambda *_: host.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is control's to handle; it then says quit
    host.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
