"""A channel on a clock that only the test moves: real clips, real disk readers, a real ring, everything that was sent kept.

Rule: the heap's own `turn` is called, so releases happen exactly as on air; the disk readers are waited for by their `requested` mark.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prepared import PreparedShelf, blocks_of, stream_format

from channeld.base.clock import FakeClock
from channeld.bus.ring import RingWriter
from channeld.media.clip import PreparedClip
from channeld.playout.air import Air
from channeld.playout.lookahead import ClipSource, DiskReaders, Lookahead
from channeld.playout.on_air import Filler
from channeld.playout.schedule import Schedule
from channeld.ts.splicer import Slice, Splicer

Until = Callable[[Callable[[], object]], None]
FRAME_NS = 40_000_000


def source_of(clip: PreparedClip, airing: str) -> ClipSource:
    """A clip as control names it in a plan."""
    return ClipSource(airing, f"entry-{airing}", str(clip.ts_path).removesuffix(".part"), str(clip.idx_path).removesuffix(".part"))


def filler_of(prepared: PreparedShelf) -> Filler:
    """The built-in card in memory."""
    clip = prepared.filler()
    return Filler(str(clip.ts_path), tuple(blocks_of(clip)))


def small_ring() -> RingWriter:
    """Room for about a minute of the tiny profile."""
    return RingWriter.create(capacity_bytes=4 << 20, slice_capacity=2048, generation=1, description={})


class CountingReaders(DiskReaders):
    """The real disk readers; remembers whom they were asked for, so that a test can wait until nothing is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Lookahead] = []

    def request(self, lookahead: Lookahead) -> None:
        self.asked.append(lookahead)
        super().request(lookahead)

    def close(self) -> None:
        """End the threads, and give back the files as the end of the process does."""
        super().close()
        for lookahead in self.asked:
            lookahead.close()
            lookahead.read_block()

    @property
    def is_idle(self) -> bool:
        """Nobody waits for a block."""
        return not any(lookahead.requested for lookahead in self.asked)


class Channel:
    """One channel and its heap. `sent` is all that went out; `reports` what control would hear, in order."""

    def __init__(self, prepared: PreparedShelf, until: Until, *, name: str = "one") -> None:
        self._until = until
        self.clock = FakeClock(monotonic_ns=5_000_000_000)
        self.readers = CountingReaders()
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.released: list[tuple[int, Slice]] = []
        self.crashes: list[str] = []
        self.schedule = Schedule(self.clock, self._released, lambda air, trace: self.crashes.append(trace))
        self.ring = small_ring()
        filler = filler_of(prepared)
        splicer = Splicer(stream_format())
        now_ns = self.clock.monotonic_ns()
        self.air = Air(name, splicer, self.ring, filler, self.readers, self._report, anchor_ns=now_ns)
        self.schedule.add(self.air)

    def _report(self, kind: str, **values: Any) -> None:
        self.reports.append((kind, values))

    def _released(self, air: Air, piece: Slice) -> None:
        self.released.append((self.clock.monotonic_ns(), piece))

    @property
    def sent(self) -> bytes:
        return b"".join(piece.packets.tobytes() for _, piece in self.released)

    @property
    def frames(self) -> int:
        return sum(piece.frames for _, piece in self.released)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The reports of one kind."""
        return [values for found, values in self.reports if found == kind]

    def plan(self, *sources: ClipSource, after: int | None = None) -> bool:
        """Plan for the coming boundary (or another), and wait until what is wanted of it is in memory."""
        serial = self.air.now.serial if after is None else after
        accepted = self.air.accept_plan(serial, list(sources), now_ns=self.clock.monotonic_ns())
        self.settle()
        return accepted

    def settle(self) -> None:
        """Wait until no disk reader is under way."""
        self._until(lambda: self.readers.is_idle)

    def run(self, seconds: float, *, step_ns: int = FRAME_NS) -> None:
        """Let time pass frame by frame; everything that is due is released when it is."""
        end_ns = self.clock.monotonic_ns() + round(seconds * 1e9)
        while self.clock.monotonic_ns() < end_ns:
            self.catch_up()
            self.clock.advance(step_ns / 1e9)

    def catch_up(self) -> None:
        """Release all that is due now."""
        while self.schedule.turn() == 0.0:
            self.settle()

    def close(self) -> None:
        self.air.close()
        self.readers.close()
        self.ring.close()


def open_files(folder: Path) -> list[str]:
    """Descriptors of this process that point below a folder."""
    found = []
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.append(os.readlink(f"/proc/self/fd/{entry}"))  # noqa: PTH115
        except FileNotFoundError:
            continue  # the listing's own
    return [path for path in found if path.startswith(str(folder))]
