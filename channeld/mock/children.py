"""Children of a mock source: started confined, watched, ended with it.

Rule: nothing is started but by `MockChild`; a death signal ends each child with us, even when we are killed. Event loop thread only: a
death signal follows the thread that spawned, and that one lives as long as we do. Writing never waits: a child that does not take, loses.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence

from channeld.base.errors import ChildExited, SpawnError
from channeld.base.redact import redact_text
from channeld.process.confine import clean_environment, confined

GRACE_S = 1.0
_LOOK_S = 0.02
_TAIL_CHUNKS = 8
_CHUNK_BYTES = 65536


class MockChild:
    """A child in a group of its own; stdin and stdout are pipes if asked for."""

    def __init__(self, name: str, argv: Sequence[str], *, takes: bool = False, gives: bool = False) -> None:
        self.name = name
        self._argv, self._takes, self._gives = argv, takes, gives
        self._popen: subprocess.Popen[bytes] | None = None
        self._reader = asyncio.StreamReader(limit=_CHUNK_BYTES)
        self._output: asyncio.BaseTransport | None = None
        self._complaints: deque[bytes] = deque(maxlen=_TAIL_CHUNKS)
        self._rest = b""

    async def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start it. Raises SpawnError."""
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        try:
            self._popen = popen = subprocess.Popen(
                confined(self._argv),
                stdin=pipe if self._takes else null,
                stdout=pipe if self._gives else null,
                stderr=pipe,
                bufsize=0,
                env=dict(env or clean_environment()),
                cwd="/",
                process_group=0,
            )
        except OSError as error:
            raise SpawnError(f"{self.name} could not be started: {error.strerror}") from error
        for each in (popen.stdin, popen.stderr):
            if each is not None:
                os.set_blocking(each.fileno(), False)
        loop = asyncio.get_running_loop()
        if popen.stderr is not None:
            loop.add_reader(popen.stderr.fileno(), self._hear)
        if popen.stdout is not None:
            self._output, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), popen.stdout)

    @property
    def pid(self) -> int:
        """Its pid; 0 before the start."""
        return self._popen.pid if self._popen is not None else 0

    @property
    def is_alive(self) -> bool:
        """It was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    async def read(self) -> bytes:
        """What it wrote; nothing when it ended."""
        return await self._reader.read(_CHUNK_BYTES)

    async def read_line(self) -> str:
        """A line of what it wrote; empty when it ended."""
        return (await self._reader.readline()).decode("utf-8", "replace").strip()

    def write(self, whole: bytes) -> bool:
        """Give it these bytes, all or none but for what the pipe splits; False when it does not take them now, or never will."""
        popen = self._popen
        if popen is None or popen.stdin is None or popen.stdin.closed:
            return False
        if self._rest and not self._push(b""):
            return False
        return self._push(whole)

    def _push(self, more: bytes) -> bool:
        wanted = self._rest + more
        try:
            taken = os.write(self._popen.stdin.fileno(), wanted) if self._popen and self._popen.stdin else 0
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return False
        # The rest of a write that was begun goes first, so that what the child reads is never cut within a packet.
        self._rest = wanted[taken:]
        return not self._rest or bool(more)

    def _hear(self) -> None:
        stderr = self._popen.stderr if self._popen is not None else None
        if stderr is None:
            return
        chunk = b""
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(stderr.fileno(), 4096)
            if not chunk:
                asyncio.get_running_loop().remove_reader(stderr.fileno())
        self._complaints.append(chunk[-1024:])

    def failure(self) -> ChildExited:
        """What to say of one that ended by itself."""
        status = self._popen.poll() if self._popen is not None else None
        text = b"".join(self._complaints).decode("utf-8", "replace").strip()
        return ChildExited(self.name, status if status is not None else -1, redact_text(text))

    def signal(self, number: int) -> None:
        """Send a signal to its group; nothing happens once it is gone."""
        if self._popen is not None and self._popen.poll() is None:
            os.killpg(self._popen.pid, number)

    async def end(self, *, grace_s: float = GRACE_S) -> None:
        """TERM, after `grace_s` KILL; returns when it is gone. Idempotent."""
        popen = self._popen
        if popen is None:
            return
        for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
            self.signal(number)
            # One that was stopped meanwhile does not hear TERM.
            self.signal(signal.SIGCONT)
            deadline = time.monotonic() + patience_s
            while popen.poll() is None and time.monotonic() < deadline:
                await asyncio.sleep(_LOOK_S)
        self._give_back(popen)

    def _give_back(self, popen: subprocess.Popen[bytes]) -> None:
        if popen.stderr is not None and not popen.stderr.closed:
            asyncio.get_running_loop().remove_reader(popen.stderr.fileno())
            popen.stderr.close()
        if popen.stdin is not None:
            popen.stdin.close()
        if self._output is not None:
            self._output.close()
