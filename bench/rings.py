"""Release lateness seen from outside: every slice's record on its bus, when it was published against when it was due.

Rule: nothing of the host's own figures is used. A ring keeps about twelve seconds; `collect` must come more often than that.
"""

import json
import os
from pathlib import Path

from channeld.bus.reader import Lapped, RingReader

NS_PER_SECOND = 1_000_000_000
TICKS_PER_SECOND = 90_000


class Bus:
    """One channel's ring, and how far it was read."""

    def __init__(self, reader: RingReader) -> None:
        self._reader = reader
        state = json.loads(reader.latest_state())
        self._anchor_ns, self._origin = int(state["anchor_ns"]), int(state["splicer"]["origin"])
        self._next = reader.head_seq + 1
        self.missed = 0

    def collect(self) -> list[float]:
        """Lateness in milliseconds of each slice since the last call."""
        found = []
        for seq in range(self._next, self._reader.head_seq + 1):
            try:
                record = self._reader.info(seq)
            except Lapped:
                self.missed += 1
                continue
            due_ns = self._anchor_ns + (record.dts - self._origin) * NS_PER_SECOND // TICKS_PER_SECOND
            found.append((record.monotonic_ns - due_ns) / 1e6)
        self._next = self._reader.head_seq + 1
        return found

    def close(self) -> None:
        """Unmap."""
        self._reader.close()


def buses_of(host_pid: int) -> list[Bus]:
    """Every ring of a playout host, by the descriptors that it holds (proc(5): they may be opened anew by the same user)."""
    found: dict[int, Bus] = {}
    for entry in Path(f"/proc/{host_pid}/fd").iterdir():
        try:
            if "channeld-bus" not in os.readlink(entry):  # noqa: PTH115  # not a path: a kernel's name for it
                continue
            fd = os.open(entry, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # closed meanwhile, as the files of clips are
        inode = os.fstat(fd).st_ino
        if inode not in found:
            found[inode] = Bus(RingReader(fd))
        os.close(fd)
    return list(found.values())
