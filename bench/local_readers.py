"""How soon a local reader holds what was published, beside a bare memfd and a socket: `python bench/local_readers.py`.

One channel of the real daemon at about 3 Mb/s, read through its attach socket by other processes; at the same time, in the same rhythm
and size, a process that does nothing but copy into a memfd, send 24 bytes to each of its readers, and look at the clock. Both publishers
run at the same priority. A reader's latency ends when it holds the bytes.
"""

import argparse
import json
import mmap
import os
import pickle
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import local_ways
from rings import buses_of
from stage import DEFAULT_FOLDER, Cast, Stage, by_role, staged

from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter
from channeld.client import connect

SLICE_BYTES = 75_000
PERIOD_S = 0.2
NICE = -10
AREA_BYTES = 16 << 20
CHANNEL = "bench00"
SETTLE_S = 2.0
BATCH = 10


# -- the readers, each a process of its own ----------------------------------------------------------------------------


def read_channel(runtime_dir: str, seconds: float) -> list[float]:
    """Microseconds from each slice's publication until this process had it."""
    found, until, held = [], time.monotonic() + seconds, []
    with connect(CHANNEL, runtime_dir, start="live") as stream:
        for _chunk in stream:
            now_ns = time.monotonic_ns()
            held.append((stream._cursors[0].seq - 1, now_ns))
            if len(held) < BATCH:
                continue
            # Records tell when slices were published. They are looked up now and then, at a time when no reader waits for a CPU.
            time.sleep(PERIOD_S / 2)
            ring = stream._cursors[0].ring
            found += [(at_ns - ring.info(seq).monotonic_ns) / 1000 for seq, at_ns in held]
            held.clear()
            if now_ns > until * 1e9:
                return found
    return found


def read_ping(memory_fd: int, end_fd: int) -> list[float]:
    """The same of the bare one; until it hangs up."""
    found, area, end = [], mmap.mmap(memory_fd, AREA_BYTES, prot=mmap.PROT_READ), socket.socket(fileno=end_fd)
    while datagram := end.recv(24):
        at, sent_ns = int.from_bytes(datagram[:8], "little"), int.from_bytes(datagram[8:16], "little")
        chunk = area[at : at + SLICE_BYTES]
        found.append((time.monotonic_ns() - sent_ns) / 1000)
        assert len(chunk) == SLICE_BYTES
    return found


class Ping:
    """The bare publisher's process, and its readers'."""

    def __init__(self, readers: int, seconds: float) -> None:
        memory = os.memfd_create("ping", 0)
        os.ftruncate(memory, AREA_BYTES)
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(readers)]
        self.readers = [_start("ping", str(memory), str(far.fileno()), fds=(memory, far.fileno())) for _, far in pairs]
        ends = [near.fileno() for near, _ in pairs]
        self._publisher = _start("publish", str(memory), str(seconds), *map(str, ends), fds=(memory, *ends))
        for near, far in pairs:
            near.close()
            far.close()
        os.close(memory)

    def close(self) -> None:
        self._publisher.wait()


def publish_ping(memory_fd: int, seconds: float, ends: list[int]) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    area = mmap.mmap(memory_fd, AREA_BYTES)
    sockets, data, at = [socket.socket(fileno=end) for end in ends], os.urandom(SLICE_BYTES), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(PERIOD_S * random.uniform(0.9, 1.1))  # so that it does not fall in step with the channel
        area[at : at + SLICE_BYTES] = data
        message = at.to_bytes(8, "little") + time.monotonic_ns().to_bytes(8, "little") + bytes(8)
        for end in sockets:
            end.send(message, socket.MSG_DONTWAIT)
        at = (at + SLICE_BYTES) % (AREA_BYTES - SLICE_BYTES)


# -- the run -----------------------------------------------------------------------------------------------------------


def _start(role: str, *arguments: str, fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--role", role, *arguments]
    return subprocess.Popen(command, pass_fds=fds, stdout=subprocess.PIPE)


def _outputs(children: Iterable[subprocess.Popen[bytes]]) -> list[bytes]:
    """What each wrote, read at the same time, so that none waits for another."""
    children = list(children)
    with ThreadPoolExecutor(len(children)) as pool:
        return list(pool.map(lambda child: child.communicate()[0], children))


def _figures(told: Iterable[bytes]) -> list[float]:
    """All that readers measured, without their first seconds."""
    skip = round(SETTLE_S / PERIOD_S)
    return [sample for each in told for sample in json.loads(each)[skip:]]


def _quantiles(samples: list[float]) -> Iterator[float]:
    ordered = sorted(samples)
    yield statistics.median(ordered)
    yield ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def measure(runtime_dir: Path, readers: int, seconds: float) -> None:
    """Both at once; prints a line for each."""
    ours = [_start("shm", str(runtime_dir), str(seconds)) for _ in range(readers)]
    ping = Ping(readers, seconds)
    told = _outputs([*ours, *ping.readers])
    ping.close()
    _say_both(f"{readers:3} readers", _figures(told[:readers]), _figures(told[readers:]))


def measure_c(stage: Stage, readers: int, seconds: float) -> None:
    """As `measure`, of the reader in C; one in Python keeps the ring meanwhile."""
    runtime_dir = stage.folder / "run"
    program = local_ways.build_c_reader(stage.folder)
    recorder = local_ways.start("record", CHANNEL, str(runtime_dir), str(seconds + 1))
    ours = [subprocess.Popen([program, runtime_dir / "bus" / f"{CHANNEL}.sock"], stdout=subprocess.PIPE) for _ in range(readers)]
    ping = Ping(readers, seconds)
    timer = threading.Timer(seconds, lambda: [each.terminate() for each in ours])
    timer.start()
    kept, *told = _outputs([recorder, *ours, *ping.readers])
    ping.close()
    known = local_ways.Kept(*pickle.loads(kept))
    channel = [sample for each in told[:readers] for sample in local_ways.c_latencies_us(known, each)]
    _say_both(f"{readers:3} readers in C", channel, _figures(told[readers:]))


def _say_both(who: str, channel: list[float], bare: list[float]) -> None:
    if not channel:
        say(f"{who}: nothing came")
        return
    p50, p99 = _quantiles(channel)
    bare50, bare99 = _quantiles(bare)
    say(
        f"{who}: channel p50 {p50:5.0f} p99 {p99:6.0f} µs ({len(channel)}), "
        f"bare p50 {bare50:5.0f} p99 {bare99:6.0f} µs: {p50 / bare50:.2f} x, {p99 / bare99:.2f} x"
    )


def measure_ways(stage: Stage, seconds: float) -> None:
    """One reader by each way, one after the other; a second one keeps the ring meanwhile."""
    run, socket_path = stage.folder / "run", stage.folder / "far.sock"
    command = [sys.executable, "-m", "channeld", "attach-proxy", "--config", str(stage.config), "--listen", f"unix:{socket_path}"]
    proxy = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(SETTLE_S * 2)
    ways = (
        ("http", f"{stage.media_url}/ts/{CHANNEL}"),
        ("pipe", str(run / "pipes" / f"{CHANNEL}.ts")),
        ("unix", f"unix:{socket_path},{CHANNEL}"),
    )
    for way, where in ways:
        children = {
            "kept": local_ways.start("record", CHANNEL, str(run), str(seconds)),
            way: local_ways.start(way, where, str(seconds - 1)),
        }
        taken = dict(zip(children, _outputs(children.values()), strict=True))
        kept, came = local_ways.Kept(*pickle.loads(taken["kept"])), local_ways.Came(*pickle.loads(taken[way]))
        samples = local_ways.latencies_us(kept, came)
        if not samples:
            say(f"{way}: nothing came")
            continue
        p50, p99 = _quantiles(samples)
        say(f"  1 reader by {way}: p50 {p50:5.0f} p99 {p99:6.0f} µs ({len(samples)})")
    proxy.terminate()
    proxy.wait()


def measure_crowd(stage: Stage, readers: int, seconds: float, rounds: int) -> None:
    """Release lateness with and without so many readers, in turns."""
    buses = buses_of(by_role(stage.daemon_pid)["host"][0].pid)
    late: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(rounds):
        for name in late:
            children = [_start("shm", str(stage.folder / "run"), str(seconds + 1)) for _ in range(readers * (name == "with"))]
            time.sleep(SETTLE_S * 2)  # until all of them are there
            for bus in buses:
                bus.collect()
            until = time.monotonic() + seconds - SETTLE_S
            while time.monotonic() < until:
                time.sleep(1)
                for bus in buses:
                    late[name] += bus.collect()
            for child in children:
                child.communicate()
    for name, samples in late.items():
        p50, p99 = _quantiles(samples)
        say(f"lateness {name:7} {readers} readers: p50 {p50:.3f} p99 {p99:.3f} worst {max(samples):.3f} ms ({len(samples)})")


def measure_throughput() -> None:
    """How fast one reader takes a ring that was written before, beside a plain copy of as much out of another mapping."""
    ring = RingWriter.create(capacity_bytes=AREA_BYTES, slice_capacity=512, generation=1, description={})
    fd = ring.open_reader_fd()
    reader, copied = RingReader(fd), mmap.mmap(-1, AREA_BYTES)
    os.close(fd)
    slices = AREA_BYTES // SLICE_BYTES
    data, rates = os.urandom(SLICE_BYTES), {"ring": [], "copy": []}
    copied[:] = os.urandom(AREA_BYTES)
    for _ in range(40):
        for number in range(slices):
            ring.publish(data, dts=number, duration=1, is_random_access=True, state=b"")
        began = time.perf_counter_ns()
        for seq in range(ring.tail_seq, ring.head_seq + 1):
            reader.copy(seq)
        between = time.perf_counter_ns()
        for number in range(slices):
            copied[number * SLICE_BYTES : (number + 1) * SLICE_BYTES]
        rates["ring"].append((ring.head_seq - ring.tail_seq + 1) * SLICE_BYTES / (between - began))
        rates["copy"].append(slices * SLICE_BYTES / (time.perf_counter_ns() - between))
    ours, plain = statistics.median(rates["ring"]), statistics.median(rates["copy"])
    say(f"one ring to one reader: {ours:.1f} GB/s; a plain copy of as much: {plain:.1f} GB/s: {ours / plain:.2f} x")
    reader.close()
    ring.close()


def say(line: str) -> None:
    """A line of the result, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """One stage, two sizes of audience, a few rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--crowd", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--role", choices=("shm", "ping", "publish"), help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "shm":
        json.dump(read_channel(options.rest[0], float(options.rest[1])), sys.stdout)
    elif options.role == "ping":
        json.dump(read_ping(int(options.rest[0]), int(options.rest[1])), sys.stdout)
    elif options.role == "publish":
        publish_ping(int(options.rest[0]), float(options.rest[1]), [int(each) for each in options.rest[2:]])
    else:
        measure_throughput()
        with staged(options.folder, Cast((CHANNEL,), outputs="ts: {}, named_pipe: {}")) as stage:
            for _ in range(options.rounds):
                for readers in options.readers:
                    measure(stage.folder / "run", readers, options.seconds)
                    measure_c(stage, readers, options.seconds)
            measure_ways(stage, options.seconds)
            measure_crowd(stage, options.crowd, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
