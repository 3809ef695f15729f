"""A named thread with a stop flag.

Rule: whoever makes a Worker closes it; close() returns when the thread is gone.
"""

import sys
import threading
import traceback
from abc import ABC, abstractmethod
from pathlib import Path

_FRAMES = 6


class Worker(ABC):
    """One thread that runs `run` until `stopping` is set. Named `role:subject` for logs and debuggers."""

    def __init__(self, name: str) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    @abstractmethod
    def run(self) -> None:
        """The thread's body; returns soon after `stopping` is set."""

    def start(self) -> None:
        """Start the thread; a second call is an error."""
        self._thread.start()

    def wake(self) -> None:
        """Interrupt whatever the thread waits in; overridden where it waits on more than `stopping`."""

    @property
    def alive(self) -> bool:
        """The thread runs."""
        return self._thread.is_alive()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop the thread and wait for it; idempotent. Raises RuntimeError if it does not end in time."""
        self.stopping.set()
        self.wake()
        if self._thread.ident is None or self._thread is threading.current_thread():
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise RuntimeError(f"thread {self._thread.name} did not end within {timeout_s} s: it stands at {self._stands_at()}")

    def _stands_at(self) -> str:
        """Where the thread's code is, innermost first."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        frames = traceback.extract_stack(frame)[-_FRAMES:] if frame is not None else []
        return ", in ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
