"""Runs a soak: channels on a fake clock, as fast as the machine goes, with everything that goes wrong.

Rule: one thread and no waiting; the same seed is the same story to the last frame. Owners: whatever is made here is given back
when `run_soak` returns; the folder is the caller's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from channeld.base.clock import NS_PER_SECOND
from channeld.outputs.hls_store import SegmentStore
from channeld.soak.channel import LOOK_S, SoakChannel
from channeld.soak.clock import BEGIN_NS, Agenda, SoakClock
from channeld.soak.faults import EDITS, FAULTS, RUBBISH, Fault, Scene, haunt
from channeld.soak.readers import ReadersInStep
from channeld.soak.report import Report, Samples, make_report
from channeld.soak.stage import Stage
from channeld.soak.stock import Stock
from channeld.soak.tally import Tally

SAMPLES = 200
HLS_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """What to run: hours of stream on so many channels; `speed` times real time, None as fast as it goes."""

    hours: float
    channels: int = 3
    seed: int = 1
    speed: float | None = None
    faults: tuple[Fault, ...] = FAULTS


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a soak is: share of it, seconds to go, joins so far, broken promises so far."""

    share: float
    eta_s: float
    joins: int
    broken: int


OnProgress = Callable[[Progress], None]


def run_soak(order: Order, stock: Stock, folder: Path, on_progress: OnProgress) -> Report:
    """Run, judge, and give everything back; `folder` takes segments. Raises OSError, ChannelError when it cannot even start."""
    clock = SoakClock()
    tally, agenda, readers = Tally(clock), Agenda(clock), ReadersInStep()
    hls = folder / "hls"
    store = SegmentStore(hls, HLS_MAX_BYTES, clock)
    stage = Stage(stock, clock, agenda, tally, readers, store, hls)
    stage.new_host()
    channels = tuple(SoakChannel(number, stage, Random(f"{order.seed}.{number}")) for number in range(order.channels))
    stock.mend_all()
    stock.on_mended = lambda: _plan_all(channels)
    for channel in channels:
        channel.start()
        _look_for_ever(channel, agenda)
        for fault in order.faults:
            haunt(Scene(stage, channel, channels, Random(f"{order.seed}.{channel.name}.{fault.name}")), fault)
    samples, began_s = Samples(), time.monotonic()
    try:
        _drive(order, stage, channels, samples, on_progress, began_s)
    finally:
        for channel in channels:
            channel.close()
        readers.close()
    took_s = time.monotonic() - began_s
    edits = tally.faults[EDITS] + tally.faults[RUBBISH]
    waiting = sum(channel.desk.insertions_waiting for channel in channels)
    lost = tally.counts["insertions"] - tally.counts["insertions aired"] - waiting
    return make_report(tally, samples, seed=order.seed, hours=order.hours, channels=order.channels, took_s=took_s, edits=edits, lost=lost)


def _plan_all(channels: tuple[SoakChannel, ...]) -> None:
    for channel in channels:
        channel.desk.plan()


def _look_for_ever(channel: SoakChannel, agenda: Agenda) -> None:
    def look() -> None:
        channel.look()
        agenda.after(LOOK_S, look)

    agenda.after(LOOK_S, look)


def _drive(
    order: Order, stage: Stage, channels: tuple[SoakChannel, ...], samples: Samples, on_progress: OnProgress, began_s: float
) -> None:
    """Let time pass until the end: what is due is done, what is next is gone to."""
    clock, agenda = stage.clock, stage.agenda
    total_ns = int(order.hours * 3600 * NS_PER_SECOND)
    end_ns, sample_ns, next_sample_ns = BEGIN_NS + total_ns, max(total_ns // SAMPLES, 1), BEGIN_NS
    while (now_ns := clock.monotonic_ns()) < end_ns:
        if now_ns >= next_sample_ns:
            next_sample_ns += sample_ns
            _tell(order, stage, samples, on_progress, began_s)
        wait_s = stage.host.turn()
        for channel in channels:
            channel.desk.hear()
        # Slices before deeds: a host that was frozen catches up before anybody looks.
        if wait_s > 0 and not agenda.run_next():
            clock.advance_ns(max(1, min(int(wait_s * NS_PER_SECOND), agenda.next_ns - now_ns, end_ns - now_ns)))


def _tell(order: Order, stage: Stage, samples: Samples, on_progress: OnProgress, began_s: float) -> None:
    stream_s, wall_s = stage.clock.elapsed_s, time.monotonic() - began_s
    if order.speed is not None and stream_s > wall_s * order.speed:
        time.sleep(stream_s / order.speed - wall_s)
        wall_s = time.monotonic() - began_s
    samples.take(stream_s, wall_s)
    share = stream_s / (order.hours * 3600)
    eta_s = wall_s / share - wall_s if share else 0.0
    on_progress(Progress(share, eta_s, stage.tally.counts["joins"], stage.tally.broken.total()))
