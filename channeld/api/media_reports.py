"""What a media worker tells control, sent by a thread of its own.

Rule: nobody here waits for control: reports queue up to a limit, the oldest are lost first, for each says where things stand
now. `put` may be called from any thread.
"""

import select
import threading
from collections import deque
from typing import Any

from channeld.base.wire import Wire
from channeld.base.worker import Worker

_MAX_WAITING = 1000
_POLL_MS = 200


class Reporter(Worker):
    """Named `reports:media`."""

    def __init__(self, wire: Wire) -> None:
        super().__init__("reports:media")
        self._wire = wire
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_MAX_WAITING)
        self._wanted = threading.Event()

    def put(self, kind: str, **values: Any) -> None:
        """Queue one report; never blocks."""
        self._waiting.append((kind, values))
        self._wanted.set()

    def wake(self) -> None:
        self._wanted.set()

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._wire, select.POLLOUT)
        while True:
            self._wanted.wait(1.0)
            self._wanted.clear()
            while self._waiting:
                # Only once there is room: `send` would block where it could not be stopped.
                if poller.poll(_POLL_MS):
                    kind, values = self._waiting.popleft()
                    if not self._send(kind, values):
                        return
                elif self.stopping.is_set():
                    return
            if self.stopping.is_set():
                return

    def _send(self, kind: str, values: dict[str, Any]) -> bool:
        try:
            self._wire.send(kind, **values)
        except OSError:
            return False  # control is gone; the worker learns it from the wire's end of file
        return True
