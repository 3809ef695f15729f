"""A named thread with a stop flag.

Rule: whoever makes a Worker closes it; close() returns when the thread is gone.
"""

import threading
from abc import ABC, abstractmethod


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
            raise RuntimeError(f"thread {self._thread.name} did not end within {timeout_s} s")
