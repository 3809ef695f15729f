"""A real media worker process and a channel on air for it: control's and the host's ends, held by a test."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from channeld.base.wire import Message, Wire, socket_pair
from channeld.bus.attach import pack_heads
from channeld.bus.ring import RingWriter

DEADLINE_S = 30.0
FPS = 25
TICKS = 90_000
SLICE_FRAMES = 5


class Air:
    """A channel on air: publishes slices of the stream, wherever in it, on a ring of one timeline."""

    def __init__(self, slices: list[bytes], *, timeline: str = "t1", capacity_bytes: int = 8 << 20, ring_id: int = 1) -> None:
        self.ring_id = ring_id
        self._slices = slices
        description = {
            "channel": "one",
            "fps": [FPS, 1],
            "timeline": timeline,
            "anchor_wall_s": 1_700_000_000.0,
            "anchor_ticks": 0,
            "bitrate": 200_000,
        }
        self.ring = RingWriter.create(capacity_bytes=capacity_bytes, slice_capacity=4096, generation=ring_id, description=description)
        self._heads, self.worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def publish(self, first: int, last: int) -> None:
        """Slices `first` to `last - 1`, and the head that tells of them."""
        ticks = TICKS * SLICE_FRAMES // FPS
        for number in range(first, last):
            data = self._slices[number % len(self._slices)]
            is_random_access = number % (FPS // SLICE_FRAMES) == 0
            self.ring.publish(data, dts=number * ticks, duration=ticks, is_random_access=is_random_access, state=b"")
        with suppress(BrokenPipeError, BlockingIOError, ConnectionResetError):
            self._heads.send(pack_heads([(self.ring_id, self.ring.head_seq)]), socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._heads.close()
        self.worker_end.close()
        self.ring.close()


class MediaProcess:
    """A worker and control's end of its wire."""

    def __init__(self, hls_dir: Path, **settings: Any) -> None:
        ours, theirs = socket_pair()
        line = [sys.executable, "-m", "channeld.api.media_worker", "--wire-fd", str(theirs.fileno())]
        self.child = subprocess.Popen(line, pass_fds=[theirs.fileno()])
        theirs.close()
        self.wire = Wire(ours)
        values = {"listen": "127.0.0.1:0", "hls_dir": str(hls_dir), "hls_max_bytes": 1 << 30, "access": "open", "tls": None}
        self.settings = {**values, "reuse_port": False, **settings}
        self.wire.send("configure", **self.settings)
        self.port = int(self.wait_for("ready").values["port"])
        self.url = f"http://127.0.0.1:{self.port}"

    def wait_for(self, kind: str, **facts: Any) -> Message:
        """The next message of a kind with these facts; others before it are passed over."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            message = self.wire.receive(max(0.0, deadline - time.monotonic()))
            assert message is not None, f"the worker ended with {self.child.wait()} while {kind} was awaited"
            if message.kind == kind and all(message.values.get(name) == fact for name, fact in facts.items()):
                return message

    def watch(self, air: Air, *, segment_seconds: float = 2, window: int = 3, types: Sequence[str] = ("hls",)) -> None:
        """Tell the worker of the channel's ring and heads; it is packaged in these ways."""
        fd = air.ring.open_reader_fd()
        self.wire.send("heads", (air.worker_end.fileno(),), host=0)
        outputs = [{"name": name, "type": name, "segment_seconds": segment_seconds, "window": window} for name in types]
        outputs.append({"name": "ts", "type": "ts"})
        self.wire.send("channel", (fd,), channel="one", ring_id=air.ring_id, host=0, outputs=outputs)
        os.close(fd)

    def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(DEADLINE_S)
        self.wire.close()

    def close(self) -> int:
        """Ask it to stop; returns its status."""
        if self.child.poll() is None:
            with suppress(OSError):
                self.wire.send("stop")
            try:
                self.child.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.wire.close()
        return self.child.returncode
