"""A channel's ring, a feeder's thread and an attach desk in this process, and a ring that the test writes.

Rule: sockets, memory and threads are the real ones; only who publishes is the test.
"""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from channeld.bus.ring import RingWriter
from channeld.channel.attach_desk import AttachDesk, AttachRules
from channeld.playout.feeder import Feeder
from channeld.playout.readers import Places

PACKET = 188


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.005)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def chunk_of(number: int, packets: int = 7) -> bytes:
    """Recognisable bytes: every packet has the number of its slice."""
    return number.to_bytes(4, "big") * (packets * PACKET // 4)


class SmallAir:
    """Channels `one` and `two`; only those that `begin` are on air."""

    def __init__(self, folder: Path, *, most: int = 64, most_each: int = 32, gid: int | None = None) -> None:
        self.folder, self._places = folder, Places(most, most_each)
        self.rings: dict[str, RingWriter] = {}
        self.channels = {"one", "two"}
        self.feeder = Feeder(lambda *_, **__: None)
        self.desk = AttachDesk(AttachRules(folder, gid), lambda: self.channels, self._hand_over)
        self.feeder.start()
        self.desk.start()
        until(lambda: self.path("two").is_socket(), "the sockets")

    def path(self, channel: str = "one") -> Path:
        return self.folder / "bus" / f"{channel}.sock"

    def _hand_over(self, channel: str, end: socket.socket) -> bool:
        twin, ring = end.dup(), self.rings.get(channel)
        twin.setblocking(False)
        self.feeder.post(lambda: self.feeder.readers.add(channel, ring, twin, self._places))
        return True

    def begin(
        self, channel: str = "one", *, generation: int = 1, capacity_bytes: int = 1 << 20, slices: int = 512, follows: int = 0
    ) -> RingWriter:
        description = {"follows": follows}
        ring = RingWriter.create(capacity_bytes=capacity_bytes, slice_capacity=slices, generation=generation, description=description)
        self.rings[channel] = ring
        self.feeder.post(lambda: self.feeder.readers.began(channel, ring))
        return ring

    def publish(self, data: bytes, channel: str = "one", *, is_random_access: bool = True) -> None:
        ring = self.rings[channel]
        ring.publish(data, dts=ring.head_seq * 18_000, duration=18_000, is_random_access=is_random_access, state=b"")
        self.feeder.published(channel, ring.ring_id, ring.head_seq)

    def end(self, channel: str = "one") -> None:
        ring = self.rings.pop(channel)
        self.feeder.post(lambda: self.feeder.drop_channel(channel, ring))

    def hang_up(self) -> None:
        """Readers lose their connections, as when the host dies; the ring stays."""
        self.feeder.post(self.feeder.readers.close)

    def close(self) -> None:
        for channel in list(self.rings):
            self.end(channel)
        self.desk.close()
        self.feeder.close()
