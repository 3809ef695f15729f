"""A child of a holder in another process, as control sees it.

Rule: it knows what the holder told, and never the kernel's word before that: an exit counts when it was told. The client's
reading thread tells; every other method is safe from any thread.
"""

from collections.abc import Callable

from channeld.process.child import KnownChild, OnExit, OnLine, StderrTail


class RemoteChild(KnownChild):
    """A child; implements `HeldProcess`. `send_signal(pid, number)` asks the holder, which knows whether it still lives."""

    def __init__(
        self, name: str, pid: int, send_signal: Callable[[int, int], None], *, told_only: tuple[str, ...] = (), tail: str = ""
    ) -> None:
        super().__init__(name, pid)
        self.on_line: OnLine | None = None
        self.on_exit: OnExit | None = None
        self._send_signal = send_signal
        self._tail = StderrTail(told_only)
        self._tail.keep(tail.splitlines())
        self._last_words: str | None = None

    @property
    def stderr_tail(self) -> str:
        """The last lines of stderr, redacted."""
        return self._tail.text() if self._last_words is None else self._last_words

    def signal(self, number: int) -> None:
        """Have a signal sent to the whole process group; nothing happens once the child is gone."""
        if self.status is None:
            self._send_signal(self.pid, number)

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
