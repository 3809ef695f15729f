"""One child process: how it is started, watched and ended.

Rule: a child has its own process group, a clean environment and its limits, dies with the thread that started it
(so only the holder's long-lived spawner thread calls `start_child`), and its group is gone before its exit is told.
The spawner thread reads stderr and reaps; every other method is safe from any thread.
"""

import io
import os
import shutil
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Protocol, TypeVar

import psutil

from channeld.base.errors import ProcessError, SpawnError
from channeld.base.redact import redact_text
from channeld.process.confine import Limits, clean_environment, confined
from channeld.telemetry import log

LINE_BYTES = 1024
TAIL_BYTES = 8192
_READ_BYTES = 16384
_log = log.get("process")

T = TypeVar("T")
OnLine = Callable[[str], None]
OnExit = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to start.

    `stdin` and `stdout` are descriptors, which stay the caller's, or None for /dev/null. `nice` is added to the holder's
    niceness. stderr lines that begin with one of `told_only` are told but not kept in the tail; with one of `dropped`,
    neither. `digest` says what was started, for whoever finds the child in another life. `forked_by` names the kept wire of a
    fork server that has imported the module of `python -m module`: where it is there, the child is forked from it.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=clean_environment)
    limits: Limits = field(default_factory=Limits)
    pdeathsig: bool = True
    nice: int = 0
    stdin: int | None = None
    stdout: int | None = None
    told_only: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    digest: str = ""
    forked_by: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a child has used: CPU seconds since its start, resident bytes now, threads now."""

    cpu_s: float
    rss_bytes: int
    threads: int


def usage_of(pid: int) -> Usage | None:
    """What a process has used, or None when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Usage(times.user + times.system, process.memory_info().rss, process.num_threads())
    except psutil.NoSuchProcess:
        return None


def command_line(spec: ChildSpec) -> list[str]:
    """The confined argument list. Raises SpawnError when the program is missing."""
    program = shutil.which(spec.argv[0], path=spec.env.get("PATH"))
    if program is None:
        raise SpawnError(f"{spec.name}: {spec.argv[0]} is not installed or not executable")
    return confined((program, *spec.argv[1:]), limits=spec.limits, nice=spec.nice, dies_with_owner=spec.pdeathsig)


class StderrTail:
    """The last TAIL_BYTES of a child's stderr, as redacted lines; bounded whatever the child writes."""

    def __init__(self, told_only: tuple[str, ...] = (), dropped: tuple[str, ...] = ()) -> None:
        self._lock = threading.Lock()  # guards the lines; the spawner appends, anybody reads
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._rest = b""
        self._told_only = told_only
        self._dropped = tuple(prefix.encode() for prefix in dropped)

    def feed(self, chunk: bytes) -> list[str]:
        """Take in what was read (nothing at the end of file) and return the lines completed by it."""
        # FFmpeg ends the lines of its statistics with a carriage return.
        *whole, self._rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > LINE_BYTES or not chunk:
            whole.append(self._rest[:LINE_BYTES])
            self._rest = b""
        wanted = (line for line in whole if line.strip() and not line.startswith(self._dropped))
        lines = [redact_text(line[:LINE_BYTES].decode("utf-8", "replace")) for line in wanted]
        self.keep(lines)
        return lines

    def keep(self, lines: Iterable[str]) -> None:
        """Append redacted lines, but for those that are only told."""
        with self._lock:
            for line in lines:
                if not line.startswith(self._told_only):
                    self._lines.append(line)
                    self._bytes += len(line) + 1
            while self._bytes > TAIL_BYTES:
                self._bytes -= len(self._lines.popleft()) + 1

    def text(self) -> str:
        """The kept lines."""
        with self._lock:
            return "\n".join(self._lines)


class KnownChild(ABC):
    """What is known of a child wherever it was started. `status` is None while it lives, then its exit status, or minus the signal
    that ended it; `_ended` is set when that was told to everybody.
    """

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid
        self.status: int | None = None
        self._ended = threading.Event()

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send a signal to the whole process group; nothing happens once the child is gone."""

    def poll(self) -> int | None:
        """The exit status, or None while the child lives; the tail may still grow (`wait` returns when it is whole)."""
        return self.status

    def wait(self, timeout_s: float) -> int:
        """Wait for the end; the tail is complete and `on_exit` has returned by then. Raises TimeoutError."""
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"{self.name} lives after {timeout_s:g} s")
        if self.status is None:
            raise ProcessError(f"{self.name} ended without a status")
        return self.status

    def terminate(self, grace_s: float = 3.0) -> int:
        """INT, after `grace_s` seconds KILL, to the whole group; returns the status. Idempotent.

        Raises TimeoutError when even KILL does not end it (a process stuck in the kernel).
        """
        self.signal(signal.SIGINT)
        try:
            return self.wait(grace_s)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return self.wait(5.0)

    def usage(self) -> Usage | None:
        """What the child has used, or None when it is gone."""
        return usage_of(self.pid) if self.status is None else None

    def _call(self, callback: Callable[[T], None], value: T) -> None:
        """Call what another part gave us; its fault is logged and ends here, for with the thread that tells every child would be lost."""
        try:
            callback(value)
        except Exception:  # noqa: BLE001 (the fence between the one thread that tells and everybody else; logged whole)
            _log.exception("callback_failed", child=self.name)


class Started(Protocol):
    """A child process that is ours to reap: a subprocess.Popen with its stderr piped, or one that was forked for us."""

    pid: int

    @property
    def stderr(self) -> IO[bytes] | io.FileIO | None: ...
    def wait(self) -> int: ...


class Child(KnownChild):
    """A started child."""

    def __init__(self, spec: ChildSpec, started: Started, *, on_line: OnLine | None, on_exit: OnExit | None) -> None:
        if started.stderr is None:
            raise ProcessError("a child is started with its stderr piped")
        super().__init__(spec.name, started.pid)
        self.spec = spec
        self.pidfd = os.pidfd_open(started.pid)
        self.stderr = started.stderr
        self._started = started
        self._tail = StderrTail(spec.told_only, spec.dropped)
        self._on_line, self._on_exit = on_line, on_exit
        # Held while signalling and while reaping, so that a signal never reaches a pid that was given away.
        self._lock = threading.Lock()
        os.set_blocking(self.stderr.fileno(), False)

    @property
    def stderr_tail(self) -> str:
        """The last lines of stderr, redacted."""
        return self._tail.text()

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group; nothing happens once the child is gone."""
        with self._lock:
            if self.status is None:
                os.killpg(self.pid, number)

    def watch(self, on_line: OnLine | None, on_exit: OnExit | None) -> bool:
        """Tell others from now on; False when the child is gone, so that its exit was told before."""
        with self._lock:
            if self.status is not None:
                return False
            self._on_line, self._on_exit = on_line, on_exit
            return True

    def read_stderr(self) -> bool:
        """Spawner thread: take in what stderr holds; False at its end."""
        try:
            chunk = os.read(self.stderr.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        self._take(chunk)
        return bool(chunk)

    def reap(self) -> None:
        """Spawner thread, when the pidfd is readable: end the group's survivors, drain stderr, tell the exit."""
        with self._lock:
            # The leader is a zombie, so its number still names the group: nothing of it may outlive the leader.
            os.killpg(self.pid, signal.SIGKILL)
            self.status = self._started.wait()
        self._drain()
        self.stderr.close()
        os.close(self.pidfd)
        if self._on_exit is not None:
            self._call(self._on_exit, self.status)
        self._ended.set()

    def _take(self, chunk: bytes) -> None:
        for line in self._tail.feed(chunk):
            if self._on_line is not None:
                self._call(self._on_line, line)

    def _drain(self) -> None:
        """Read what is left, a pipe's worth at most: a process that left the group may still hold the other end."""
        for _ in range(64):
            try:
                chunk = os.read(self.stderr.fileno(), _READ_BYTES)
            except BlockingIOError:
                chunk = b""
            self._take(chunk)
            if not chunk:
                return


def start_child(spec: ChildSpec, *, on_line: OnLine | None = None, on_exit: OnExit | None = None) -> Child:
    """Start a child; the calling thread must outlive it (a death signal follows the thread). Raises SpawnError.

    `on_line` gets every redacted stderr line and `on_exit` the status, in the thread that reads and reaps.
    """
    try:
        popen = subprocess.Popen(
            command_line(spec),
            stdin=subprocess.DEVNULL if spec.stdin is None else spec.stdin,
            stdout=subprocess.DEVNULL if spec.stdout is None else spec.stdout,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=dict(spec.env),
            cwd="/",
            process_group=0,
        )
    except OSError as error:
        raise SpawnError(f"{spec.name} could not be started: {error.strerror}") from error
    return Child(spec, popen, on_line=on_line, on_exit=on_exit)
