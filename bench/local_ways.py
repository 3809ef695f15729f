"""Readers of a channel by every way there is, each a process that notes when which byte came; and what those notes say of latency.

Rule: a byte's way from the ring to a reader is told by where it stands in the ring: another reader keeps the slices with the times of
their publication, and what came another way is found again in it by its own bytes.
"""

import itertools
import os
import pickle
import struct
import subprocess
import sys
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from channeld.client import connect
from channeld.client.far import connect_far

SETTLE_S = 2.0
MARK_BYTES = 188 * 40
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """What the recorder has: all bytes, and for each slice where it ends in them and when it was published."""

    stream: bytes
    ends: list[int]
    published_ns: list[int]


@dataclass(frozen=True, slots=True)
class Came:
    """What came another way: all bytes, and after each read how many there were and when."""

    stream: bytes
    ends: list[int]
    at_ns: list[int]


def record(channel: str, runtime_dir: str, seconds: float) -> Kept:
    """Every slice from the oldest random access point that is to be had."""
    pieces, ends, published, until = [], [], [], time.monotonic() + seconds
    with connect(channel, runtime_dir) as stream:
        for chunk in stream:
            cursor = stream._cursors[0]
            pieces.append(chunk)
            ends.append((ends[-1] if ends else 0) + len(chunk))
            published.append(cursor.ring.info(cursor.seq - 1).monotonic_ns)
            if time.monotonic() > until:
                break
    return Kept(b"".join(pieces), ends, published)


def take(read: Callable[[], bytes], seconds: float) -> Came:
    """Whatever `read` gives, until the time is over."""
    pieces, ends, at, until = [], [], [], time.monotonic() + seconds
    while time.monotonic() < until and (piece := read()):
        at.append(time.monotonic_ns())
        pieces.append(piece)
        ends.append((ends[-1] if ends else 0) + len(piece))
    return Came(b"".join(pieces), ends, at)


def reader_of(way: str, where: str) -> Callable[[], bytes]:
    """`pipe`: a path; `http`: an address; `unix`: an attach proxy's socket, and the channel behind a comma."""
    if way == "pipe":
        fd = os.open(where, os.O_RDONLY)
        return lambda: os.read(fd, MOST_BYTES)
    if way == "http":
        answer = urllib.request.urlopen(where, timeout=20)
        return lambda: bytes(answer.read1(MOST_BYTES))
    if way == "unix":
        address, _, channel = where.partition(",")
        far = connect_far(channel, address)
        return lambda: next(far)
    raise ValueError(way)


def latencies_us(kept: Kept, came: Came) -> list[float]:
    """From each slice's publication until all of it had come; of those published while it was read."""
    began = kept.stream.find(came.stream[:MARK_BYTES])
    if began < 0:
        return []
    found = []
    for end, published_ns in zip(kept.ends, kept.published_ns, strict=True):
        place = bisect_left(came.ends, end - began)
        if end > began and place < len(came.ends) and published_ns > came.at_ns[0] + SETTLE_S * 1e9:
            found.append((came.at_ns[place] - published_ns) / 1000)
    return found


def build_c_reader(folder: Path) -> Path:
    """docs/attach.c as a program that tells when it had each slice."""
    built, here = folder / "attach", Path(__file__).resolve().parent
    command = [
        "cc",
        "-O2",
        "-D_GNU_SOURCE",
        "-w",
        "-include",
        str(here / "note_write.h"),
        "-o",
        str(built),
        str(here.parent / "docs" / "attach.c"),
    ]
    subprocess.run(command, check=True)
    return built


def c_latencies_us(kept: Kept, told: bytes) -> list[float]:
    """Of such a program: its slices are found among the recorder's by their lengths."""
    noted = list(struct.iter_unpack("QQ", told[: len(told) // 16 * 16]))
    theirs, ours = [length for _, length in noted], [end - start for start, end in itertools.pairwise([0, *kept.ends])]
    # Either began first, at another random access point.
    for shift in sorted(range(-len(theirs), len(ours)), key=abs):
        skipped, first = max(0, -shift), max(0, shift)
        both = min(len(ours) - first, len(theirs) - skipped)
        if both > SETTLE_S * 10 and ours[first : first + both] == theirs[skipped : skipped + both]:
            pairs = zip(noted[skipped:], kept.published_ns[first:], strict=False)
            return [(at_ns - published_ns) / 1000 for (at_ns, _), published_ns in pairs][round(SETTLE_S * 10) :]
    return []


def start(role: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """One of these, in a process of its own; its stdout is what it took, pickled."""
    return subprocess.Popen([sys.executable, __file__, role, *arguments], stdout=subprocess.PIPE)


def main() -> None:
    """`record CHANNEL RUNTIME_DIR SECONDS` or `WAY WHERE SECONDS`."""
    role, *arguments = sys.argv[1:]
    if role == "record":
        kept: Kept | Came = record(arguments[0], arguments[1], float(arguments[2]))
    else:
        kept = take(reader_of(role, arguments[0]), float(arguments[1]))
    pickle.dump(tuple(getattr(kept, name) for name in kept.__slots__), sys.stdout.buffer)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
