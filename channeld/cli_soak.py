"""`channeld soak`: days of air in minutes, on this machine, with everything that goes wrong; a verdict with its figures.

Rule: needs FFmpeg and no configuration, touches nothing but a folder of its own, which it removes. Progress goes to stderr.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn

from channeld.base.errors import ConfigError
from channeld.cli_render import console, show_note
from channeld.soak import run as soak_run
from channeld.soak.report import MAX_SLOPE_MB_PER_DAY, SLOPE_HOURS, Report
from channeld.soak.stock import make_stock

SHARED_MEMORY = Path("/dev/shm")
TOLD_EVERY = 0.1
"""Without a terminal progress is told at each tenth."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    hours: float
    speed: str
    seed: int
    channels: int
    folder: Path | None


def run(wanted: Wanted) -> Report:
    """Run a soak. Raises ConfigError for what cannot be, ChannelError and OSError when the clips cannot be made."""
    order = soak_run.Order(wanted.hours, wanted.channels, wanted.seed, _speed(wanted.speed))
    parent = wanted.folder or (SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
    with tempfile.TemporaryDirectory(prefix="channeld-soak-", dir=parent) as made, _telling() as tell:
        folder = Path(made)
        return soak_run.run_soak(order, make_stock(folder), folder, tell)


def _speed(written: str) -> float | None:
    if written == "max":
        return None
    try:
        speed = float(written)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise ConfigError(f"--speed {written}: write max, or how many times faster than real time, such as 100", key="speed")
    return speed


@contextmanager
def _telling() -> Iterator[soak_run.OnProgress]:
    """A bar on a terminal, a line at each tenth elsewhere."""
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[facts]}"))
    bar = Progress(*columns, console=out, disable=not out.is_terminal, transient=True)
    task = bar.add_task("soak", total=1.0, facts="")
    told = 0.0

    def tell(progress: soak_run.Progress) -> None:
        nonlocal told
        facts = f"{progress.joins} joins, {progress.broken} broken promises, {progress.eta_s / 60:.0f} min to go"
        bar.update(task, completed=progress.share, facts=facts)
        if bar.disable and progress.share >= told:
            told = progress.share + TOLD_EVERY
            show_note(f"soak: {progress.share:.0%}, {facts}")

    with bar:
        yield tell


def show_report(report: Report) -> None:
    """Tell people what came of it."""
    out = console()
    took = f"in {report.took_s:.0f} s: {report.speed:.0f} times real time"
    out.print(f"{report.channels} channels for {report.hours:g} h each {took}, seed {report.seed}")
    out.print(f"{report.joins} joins, {report.edits} edits, {sum(report.faults.values())} faults and deeds:")
    for name, count in report.faults.items():
        out.print(f"  {count:6d}  {name}")
    for name, count in report.counts.items():
        out.print(f"  {count:6d}  ({name})")
    low, high = report.memory_mb
    growth = f"{report.memory_mb_per_stream_day:+.3f} MB a day of stream, {report.memory_mb_per_hour:+.1f} MB an hour"
    out.print(f"memory {low:.1f} to {high:.1f} MB, {growth}")
    out.print(f"descriptors {report.fds[0]:.0f} to {report.fds[1]:.0f}, threads {report.threads[0]:.0f} to {report.threads[1]:.0f}")
    if report.hours < SLOPE_HOURS:
        out.print(f"(too short to judge slopes: from {SLOPE_HOURS:g} h on, {MAX_SLOPE_MB_PER_DAY:g} MB a day)")
    for name, count in report.broken_promises.items():
        out.print(f"BROKEN {count} times: {name}")
    for each in report.complaints:
        out.print(f"  at {each.at_s:.1f} s, {each.channel}: {each.kind}: {each.text}")
    out.print(f"continuity errors {report.continuity_errors}, insertions lost {report.insertions_lost}, digest {report.digest}")
    out.print("good" if report.is_good else "NOT good")
    sys.stdout.flush()
