"""What packaging costs: HLS and DASH of the same channel, from its ring to the files, in CPU time of the thread that packages.

Run: python bench/packaging_bench.py FILE [--json]. FILE is any clip of some seconds; it is conformed to 720p30 at 3 Mb/s first, and aired
again and again for a minute, without waiting. Segments of 4 s. Only the ratio tells something on a machine that others use too.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from channeld.api.media_messages import PackagingOrder
from channeld.api.media_packaging import Attach, Job
from channeld.base.clock import SystemClock
from channeld.base.units import FrameRate
from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter
from channeld.media.cache import ClipCache
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.profile import COMPOSITION_DELAY, Profile
from channeld.media.tools import find_tools
from channeld.outputs.hls_store import PACKAGINGS, SegmentStore
from channeld.ts.index import IndexParser
from channeld.ts.splicer import ClipFeed, Slice, Splicer, StreamFormat

HOUSE = Profile("bench", 1280, 720, FrameRate(30, 1), 3_000_000, 128_000)
AIR_S = 60
SLICE_FRAMES = 6


def aired(source: Path, folder: Path) -> list[Slice]:
    """A minute of slices."""
    clip = prepare(PrepareRequest(source, HOUSE), ClipCache(folder, 1 << 30), tools=find_tools())
    ts = clip.ts_path.read_bytes()
    records = IndexParser().feed(clip.idx_path.read_bytes())
    splicer, made = Splicer(StreamFormat(HOUSE.fps, COMPOSITION_DELAY)), []
    while splicer.next_dts < AIR_S * 90_000:
        feed = ClipFeed()
        for record in records:
            feed.append(record.with_packets(ts[record.ts_offset : record.ts_offset + record.ts_length]))
        splicer.join(feed)
        while (piece := splicer.next_slice(feed, SLICE_FRAMES)) is not None:
            made.append(piece)
    return made


def cost_ms(packaging: str, slices: list[Slice], folder: Path) -> float:
    """CPU for each second of stream, in milliseconds, read slice by slice as a channel on air is."""
    description = {"timeline": "bench", "anchor_wall_s": time.time(), "anchor_ticks": int(slices[0].dts)}
    ring = RingWriter.create(capacity_bytes=64 << 20, slice_capacity=4096, generation=1, description=description)
    fd = ring.open_reader_fd()
    order = PackagingOrder(packaging, Fraction(4), 6, next(each for each in PACKAGINGS if each == packaging))
    job = Job(Attach("bench", order, RingReader(fd)), SegmentStore(folder, None, SystemClock()), lambda kind, **values: None, SystemClock())
    os.close(fd)
    spent_s = 0.0
    for piece in slices:
        ring.publish(piece.packets.tobytes(), dts=piece.dts, duration=piece.duration, is_random_access=piece.is_random_access, state=b"")
        begun = time.thread_time()
        job.advance()
        spent_s += time.thread_time() - begun
    job.close()
    ring.close()
    return 1000 * spent_s * 90_000 / (slices[-1].dts - slices[0].dts)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="channeld-bench-") as place:
        slices = aired(wanted.file, Path(place) / "cache")
        # In turns, so that what else the machine does meets all alike; the least of each is the nearest to the truth.
        rounds = [{each: cost_ms(each, slices, Path(place) / f"{each}{number}") for each in PACKAGINGS} for number in range(wanted.rounds)]
    figures: dict[str, float] = {f"{each}_ms_per_s": round(min(costs[each] for costs in rounds), 3) for each in PACKAGINGS}
    figures["dash_to_hls"] = round(figures["dash_ms_per_s"] / figures["hls_ms_per_s"], 2)
    figures["mbit_per_s"] = round(sum(piece.packets.nbytes for piece in slices) * 8 / AIR_S / 1e6, 2)
    text = json.dumps(figures) if wanted.json else "\n".join(f"{name}: {value}" for name, value in figures.items())
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
