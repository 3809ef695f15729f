"""A child of a holder in another process, as control sees it.

Rule: it knows what the holder told, and never the kernel's word before that: an exit counts when it was told. The client's
reading thread tells; every other method is safe from any thread.
"""

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from channeld.base.errors import ProcessError
from channeld.process.child import OnExit, OnLine, StderrTail, Usage, usage_of
from channeld.telemetry import log

_log = log.get("process")

T = TypeVar("T")


class RemoteChild:
    """A child; implements `HeldProcess`. `send_signal(pid, number)` asks the holder, which knows whether it still lives."""

    def __init__(
        self, name: str, pid: int, send_signal: Callable[[int, int], None], *, told_only: tuple[str, ...] = (), tail: str = ""
    ) -> None:
        self.name, self.pid = name, pid
        self.status: int | None = None
        self.on_line: OnLine | None = None
        self.on_exit: OnExit | None = None
        self._send_signal = send_signal
        self._tail = StderrTail(told_only)
        self._tail.keep(tail.splitlines())
        self._last_words: str | None = None
        self._ended = threading.Event()

    @property
    def stderr_tail(self) -> str:
        """The last lines of stderr, redacted."""
        return self._tail.text() if self._last_words is None else self._last_words

    def poll(self) -> int | None:
        """The exit status, or None while the child lives."""
        return self.status

    def wait(self, timeout_s: float) -> int:
        """Wait for the end; the tail is complete and `on_exit` has returned by then. Raises TimeoutError."""
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"{self.name} lives after {timeout_s:g} s")
        if self.status is None:
            raise ProcessError(f"{self.name} ended without a status")
        return self.status

    def signal(self, number: int) -> None:
        """Have a signal sent to the whole process group; nothing happens once the child is gone."""
        if self.status is None:
            self._send_signal(self.pid, number)

    def terminate(self, grace_s: float = 3.0) -> int:
        """INT, after `grace_s` seconds KILL, to the whole group; returns the status. Idempotent. Raises TimeoutError."""
        self.signal(signal.SIGINT)
        try:
            return self.wait(grace_s)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return self.wait(5.0)

    def usage(self) -> Usage | None:
        """What the child has used, or None when it is gone."""
        return usage_of(self.pid) if self.status is None else None

    def take_lines(self, lines: list[str]) -> None:
        """Reading thread: lines that the child wrote."""
        self._tail.keep(lines)
        for line in lines:
            if self.on_line is not None:
                self._call(self.on_line, line)

    def take_exit(self, status: int, tail: str) -> None:
        """Reading thread: the child is gone."""
        self._last_words = tail
        self.status = status
        if self.on_exit is not None:
            self._call(self.on_exit, status)
        self._ended.set()

    def _call(self, callback: Callable[[T], None], value: T) -> None:
        """Call what another part gave us; its fault is logged and ends here, for with the thread every child would be lost."""
        try:
            callback(value)
        except Exception:  # noqa: BLE001 (the fence between the one reading thread and everybody else; logged whole)
            _log.exception("callback_failed", child=self.name)
