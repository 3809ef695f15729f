"""A real playout host at the other end of a real wire.

Rule: everything is waited for with a deadline; the process is ended and waited for by `close`.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from on_fake_air import source_of
from prepared import PreparedShelf

from channeld.base.wire import Message, Wire, socket_pair
from channeld.bus.reader import RingReader
from channeld.media.clip import PreparedClip

DEADLINE_S = 20.0


def entry_of(clip: PreparedClip, airing: str) -> dict[str, str]:
    """A clip as a plan message names it."""
    source = source_of(clip, airing)
    return {"airing": source.airing, "entry": source.entry, "ts": source.ts_path, "idx": source.idx_path}


class HostProcess:
    """The process, its wire, and the messages that came and were not asked for yet."""

    def __init__(self, prepared: PreparedShelf, log: Path, *arguments: str) -> None:
        ours, theirs = socket_pair()
        self.socket, self.wire = ours, Wire(ours)
        self._filler = prepared.filler()
        self._log = log
        self.pending: list[Message] = []
        self.ring_fds: dict[str, int] = {}
        command = [sys.executable, "-m", "channeld.playout.host", "--wire-fd", str(theirs.fileno()), "--log-format", "json", *arguments]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdout=file, stderr=file)
        theirs.close()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self, channel: str, *sources: dict[str, str], lead_s: float = 4.0, **more: Any) -> None:
        """Put a channel on air that begins `lead_s` ago, so that this much of it is there at once."""
        values: dict[str, Any] = {
            "ring_id": 1000 + len(channel),
            "fps": [25, 1],
            "composition_delay": 1,
            "origin": 90_000,
            "bitrate": 400_000,
            "ring_seconds": 60,
            "start_lead_s": lead_s,
            "timeline": "t",
            "filler": {"ts": str(self._filler.ts_path), "idx": str(self._filler.idx_path)},
            "sources": list(sources),
        }
        self.wire.send("start", channel=channel, **(values | more))

    def on_air(self, channel: str, *sources: dict[str, str], **more: Any) -> RingReader:
        """Start a channel; its bus."""
        self.start(channel, *sources, **more)
        message = self.await_message("ring", channel=channel)
        reader_fd, self.ring_fds[channel] = message.fds
        try:
            return RingReader(reader_fd)
        finally:
            os.close(reader_fd)

    def adopt(self, channel: str, ring_fd: int, *sources: dict[str, str], **more: Any) -> None:
        """Have a dead host's ring gone on with."""
        filler = {"ts": str(self._filler.ts_path), "idx": str(self._filler.idx_path)}
        values = {"adopt": True, "filler": filler, "sources": list(sources)}
        self.wire.send("start", (ring_fd,), channel=channel, **(values | more))

    def kill(self) -> None:
        """SIGKILL, and reaped, as the holder tells it."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def await_message(self, kind: str, **wanted: Any) -> Message:
        """The next message of a kind with these values; others are kept for later."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for number, message in enumerate(self.pending):
                if message.kind == kind and wanted.items() <= message.values.items():
                    return self.pending.pop(number)
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"no {kind} {wanted}; the host says: {self.log[-2000:]}"
            message_or_end = self.wire.receive(left_s)
            assert message_or_end is not None, f"the host is gone: {self.log[-2000:]}"
            self.pending.append(message_or_end)

    def raw(self, payload: bytes, *fds: int) -> None:
        """Send a datagram that no Wire would."""
        socket.send_fds(self.socket, [payload], list(fds))

    def files(self) -> list[str]:
        """What the process holds open."""
        found = []
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                found.append(os.readlink(entry))  # noqa: PTH115
            except FileNotFoundError:
                continue
        return found

    def close(self) -> None:
        self.kill()
        self.socket.close()
        for fd in self.ring_fds.values():
            os.close(fd)


def stream_of(ring: RingReader, slices: int, until: Callable[[Callable[[], object]], None]) -> bytes:
    """The first slices of a bus, waited for."""
    until(lambda: ring.head_seq >= slices)
    return b"".join(ring.read(seq, head=ring.head_seq).data for seq in range(1, slices + 1))
