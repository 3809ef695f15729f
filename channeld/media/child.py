"""One confined FFmpeg or ffprobe: its bytes are given out as they come, its stderr line by line, and it never outlives us.

Rule: an argument list, no shell, a clean environment, its own session, limits on memory, CPU and file size, low priority,
dead when its owner's thread is. Bounded in every direction: output, one line of stderr, silence.
Used by one thread at a time, which reads both pipes and reaps the child.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from channeld.base.errors import ChildExited, ChildKilled, ChildStalled, ProcessError, SpawnError
from channeld.process.confine import Limits, clean_environment, confined

CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 4096
TAIL_LINES = 12
POLL_S = 0.2
WRITTEN_FILE_BYTES = 64 * 1024
# A film of 8K decodes in less; nothing but stdout is ever written, so that a file is at most what a library keeps for itself.
LIMITS = Limits(address_space_bytes=8 << 30, file_size_bytes=WRITTEN_FILE_BYTES, processes=8192, open_files=256, cpu_s=48 * 3600)
NICE = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """What a child may use, and whom it stands behind; `nice` is added to ours. As here, it prepares a clip."""

    limits: Limits = LIMITS
    nice: int = NICE
    yields_disk: bool = True


T = TypeVar("T")
Stop = Callable[[], bool]
LineSink = Callable[[str], None]


class ChildStopped(ProcessError):
    """The child was stopped because we asked for it."""


def never() -> bool:
    """The stop condition of work that nobody interrupts."""
    return False


def ignore_line(line: str) -> None:
    """Where nobody wants the stderr."""


class _Lines:
    """Cuts stderr into lines, each bounded, and keeps the last of them."""

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink
        self._rest = b""
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def feed(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[:MAX_LINE_BYTES]
        for line in lines:
            self._take(line)

    def close(self) -> None:
        if self._rest:
            self._take(self._rest)

    def _take(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip()
        if text:
            self.tail.append(text)
            self._sink(text)


def twice(work: Callable[[], T]) -> T:
    """Work that a child does, done once more when a signal ended the child. Raises what the second attempt raises."""
    with contextlib.suppress(ChildKilled):
        return work()
    return work()


def stream(
    argv: list[str],
    *,
    on_line: LineSink = ignore_line,
    stall_s: float = 30.0,
    deadline_s: float | None = None,
    should_stop: Stop = never,
    stdin: int | None = None,
    standing: Standing = Standing(),
    tick_s: float | None = None,
) -> Generator[bytes, None, None]:
    """Run a child and give out its stdout in chunks; close the generator to kill it. `stdin`: a descriptor, else it reads nothing.

    With `tick_s` an empty chunk is given so often while there is no other.
    Raises SpawnError, ChildStalled after `stall_s` without output (or `deadline_s` in all), ChildStopped, and ChildExited
    unless it ends with status 0; of a signal, a negative status, ChildKilled.
    """
    child = _spawn(argv, stdin, standing)
    lines = _Lines(on_line)
    try:
        yield from _read(child, lines, stall_s, deadline_s, should_stop, tick_s)
        status = child.wait(timeout=stall_s)
        lines.close()
        if status:
            raise (ChildKilled if status < 0 else ChildExited)(os.path.basename(argv[0]), status, "\n".join(lines.tail))  # noqa: PTH119
    except subprocess.TimeoutExpired as error:
        raise ChildStalled(argv[0], stall_s) from error
    finally:
        _end(child)


def run(
    argv: list[str],
    *,
    max_bytes: int,
    deadline_s: float,
    on_line: LineSink = ignore_line,
    should_stop: Stop = never,
    stdin: int | None = None,
) -> bytes:
    """Whole output of a child that ends soon. Raises like `stream`, and ProcessError beyond `max_bytes`."""
    output = bytearray()
    bounded = stream(argv, on_line=on_line, stall_s=deadline_s, deadline_s=deadline_s, should_stop=should_stop, stdin=stdin)
    with contextlib.closing(bounded) as chunks:
        for chunk in chunks:
            output += chunk
            if len(output) > max_bytes:
                raise ProcessError(f"{argv[0]} wrote more than {max_bytes} bytes")
    return bytes(output)


def _spawn(argv: list[str], stdin: int | None, standing: Standing) -> "subprocess.Popen[bytes]":
    try:
        # setpriv's death signal follows the thread that spawns: whoever reads the child stays its owner.
        return subprocess.Popen(
            confined(argv, limits=standing.limits, nice=standing.nice, yields_disk=standing.yields_disk),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**clean_environment(), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise SpawnError(f"{argv[0]} did not start: {error}") from error


def _read(
    child: "subprocess.Popen[bytes]", lines: _Lines, stall_s: float, deadline_s: float | None, should_stop: Stop, tick_s: float | None
) -> Generator[bytes, None, None]:
    assert child.stdout is not None and child.stderr is not None
    started = heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        selector.register(child.stderr, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(tick_s or POLL_S)
            if should_stop():
                raise ChildStopped("stopped")
            now = time.monotonic()
            if now - heard > stall_s or (deadline_s is not None and now - started > deadline_s):
                raise ChildStalled(child.args[-1] if isinstance(child.args, list) else "child", now - heard)
            if not ready and tick_s is not None:
                yield b""
            for key, _ in ready:
                chunk = os.read(key.fd, CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is child.stderr:
                    lines.feed(chunk)
                else:
                    yield chunk
                    heard = time.monotonic()


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill the child's whole session and reap it; close both pipes. Idempotent."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
