"""What one publish and one read of the bus cost: `python bench/bus_bench.py`.

Run by hand; prints microseconds for a slice of 60 kB with 2 KiB of state.
"""

import os
import statistics
import sys
import time

from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter

SLICE_BYTES = 60_160
STATE = bytes(2048)
ROUNDS = 4000


def main() -> None:
    """Publish and read more than one lap, then print median and 99th percentile."""
    ring = RingWriter.create(capacity_bytes=16 << 20, slice_capacity=4096, generation=1, description={"channel": "bench"})
    fd = ring.open_reader_fd()
    reader = RingReader(fd)
    os.close(fd)
    data = os.urandom(SLICE_BYTES)
    publish_us, read_us = [], []
    for number in range(ROUNDS):
        began = time.perf_counter_ns()
        seq = ring.publish(data, dts=number * 18_000, duration=18_000, is_random_access=number % 10 == 0, state=STATE)
        published = time.perf_counter_ns()
        reader.read(seq, head=seq)
        publish_us.append((published - began) / 1000)
        read_us.append((time.perf_counter_ns() - published) / 1000)
    for name, times in (("publish", publish_us), ("read", read_us)):
        sys.stdout.write(f"{name:8} p50 {statistics.median(times):6.1f} µs   p99 {statistics.quantiles(times, n=100)[98]:6.1f} µs\n")
    reader.close()
    ring.close()


if __name__ == "__main__":
    main()
