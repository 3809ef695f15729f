"""Those who watch a channel of a soak: one who judges every slice, one who falls asleep, and the packager with its judge.

Rule: they read the bus as every reader does, and never make the channel wait. Owners: `close` gives back every mapping.
"""

import contextlib
import resource
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from channeld.api.media_messages import PackagingOrder
from channeld.api.media_packaging import Attach, Job
from channeld.base.clock import NS_PER_SECOND
from channeld.bus.reader import Lapped, RingReader
from channeld.outputs.hls_store import SegmentStore
from channeld.soak.clock import SoakClock
from channeld.soak.ledger import Complain
from channeld.soak.manifest_judge import BusMemory, ManifestJudge
from channeld.soak.stream_judge import Piece, StreamJudge
from channeld.soak.tally import Tally

SEGMENT_S = 4
WINDOW = 6
MAX_AGE_S = 2 * SEGMENT_S + 2.0
"""The newest segment may end so long before what is on air."""
MAX_HOLE_TICKS = 4 * 9000
"""Four frames may be left empty; whether they may be here is the watcher's to judge."""
CALM_S = 20.0
"""So long after a trouble of its own the manifest may be late."""
REFUSED_BYTES = 20_000
"""A disk that is full in the midst of a segment."""


class Watcher:
    """Reads every slice of a ring, in order."""

    def __init__(self, fd: int, judge: StreamJudge, bus: BusMemory, complain: Complain) -> None:
        self.reader = RingReader(fd)
        self.judge = judge
        self._bus = bus
        self._complain = complain
        self._next = self.reader.tail_seq

    def look(self, *, before: int | None = None) -> None:
        """Take what is new; of it only what has an earlier DTS, where one is given."""
        head = self.reader.head_seq
        while self._next <= head:
            try:
                found = self.reader.read(self._next, head=head)
            except Lapped as lapped:
                self._complain("bus", f"slices {self._next} to {lapped.oldest_seq - 1} were overwritten before they were read")
                self._next = lapped.oldest_seq
                continue
            if before is not None and found.dts >= before:
                return
            piece = Piece(found.data, found.dts, found.duration, found.is_random_access, found.monotonic_ns)
            self._bus.keep(piece)
            self.judge.feed(piece)
            self._next += 1


class Sleeper:
    """A reader that comes back after so long that it was lapped, and goes on at the newest random access point."""

    def __init__(self, complain: Complain, tally: Tally) -> None:
        self._complain = complain
        self._tally = tally
        self._place: tuple[int, int] | None = None  # generation and sequence

    def wake(self, reader: RingReader, random: Random) -> None:
        """Read on, and fall asleep somewhere in the ring."""
        head = reader.head_seq
        if self._place is not None and self._place[0] == reader.generation:
            self._read_on(reader, self._place[1], head)
        seq = random.randint(reader.tail_seq, max(head, reader.tail_seq))
        self._place = reader.generation, seq

    def _read_on(self, reader: RingReader, seq: int, head: int) -> None:
        try:
            reader.read(seq, head=head)
        except Lapped:
            self._tally.counts["readers lapped"] += 1
            if seq >= reader.tail_seq:
                self._complain("bus", f"slice {seq} is said to be overwritten and the tail is {reader.tail_seq}")
            seq = reader.newest_random_access(head, 180_000) or head
            if not reader.info(seq).is_random_access:
                self._complain("bus", f"slice {seq} is no random access point")
        due = None
        for number in range(seq, min(head, seq + 20) + 1):
            found = reader.read(number, head=head)
            if due is not None and not due <= found.dts <= due + MAX_HOLE_TICKS:
                self._complain("bus", f"slice {number} begins at {found.dts}, not {due}")
            due = found.dts + found.duration


class Packaging:
    """The packager of one channel: its folder, its judge, and what disks do to it."""

    def __init__(self, channel: str, store: SegmentStore, folder: Path, bus: BusMemory, clock: SoakClock, complain: Complain) -> None:
        self.judge = ManifestJudge(folder / channel, float(SEGMENT_S), bus, complain)
        self._channel, self._store, self._folder, self._clock, self._complain = channel, store, folder / channel, clock, complain
        self._job: Job | None = None
        self._is_new = True
        self._is_frozen = False
        self._is_refused = False
        self._calm_since_ns = 0

    def attach(self, fd: int) -> None:
        """Package this ring from now on."""
        self._trouble()
        order = Attach(self._channel, PackagingOrder("hls", Fraction(SEGMENT_S), WINDOW), RingReader(fd))
        if self._job is None:
            self._is_new = True
            self._job = Job(order, self._store, self._report, self._clock)
        else:
            self._job.attach(order)

    def advance(self) -> None:
        """Package what is new, and have it judged."""
        if self._job is None or self._is_frozen:
            return
        if self._is_new and not self._aside.is_dir():
            self._is_new = False
            if not any(self._folder.glob("*")):
                self.judge.forget()  # whoever begins with an empty folder cannot know the numbers that were
        with _full_disk() if self._is_refused else contextlib.nullcontext():
            self._job.advance()
        if self._clock.monotonic_ns() - self._calm_since_ns > CALM_S * NS_PER_SECOND and not self._is_refused:
            age = self.judge.age_ticks
            if (age is None or age > MAX_AGE_S * 90_000) and not self._aside.is_dir():
                self._complain("manifest", f"the newest segment is {'of another timeline' if age is None else f'{age / 90_000:.0f} s old'}")
                self._trouble()

    def _trouble(self) -> None:
        self._calm_since_ns = self._clock.monotonic_ns()

    def freeze(self, is_frozen: bool) -> None:
        """The media worker is stopped, or goes on."""
        self._is_frozen = is_frozen
        self._trouble()

    def refuse(self, is_refused: bool) -> None:
        """The disk under HLS is full, or has room again."""
        self._is_refused = is_refused
        self._trouble()

    def _report(self, kind: str, **values: Any) -> None:
        if kind == "progress":
            self.judge.look()

    def delete_folder(self) -> None:
        """Somebody cleans up where he should not."""
        if self._folder.is_dir():
            self.judge.deleted |= {path.name for path in self._folder.glob("segment-*.ts")}
            shutil.rmtree(self._folder)
            self._trouble()

    def hide_folder(self) -> None:
        """The folder is gone, and a file stands in its place."""
        if self._folder.is_dir():
            self._folder.rename(self._aside)
            self._folder.write_bytes(b"")
            self._trouble()

    def bring_back(self) -> None:
        """The folder is back, and everything in it."""
        if self._aside.is_dir():
            self._folder.unlink(missing_ok=True)
            self._aside.rename(self._folder)
            self._trouble()

    @property
    def _aside(self) -> Path:
        return self._folder.with_name(f"{self._channel}.aside")

    def close(self) -> None:
        """The media worker is killed, or the channel stops; the next `attach` is another worker's, which goes on with what it finds."""
        if self._job is not None:
            self._job.close()
            self._job = None


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """No file of this process grows beyond REFUSED_BYTES: writes end in the midst of it (setrlimit(2); Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (REFUSED_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
