"""What others leave for a push's thread: lines of its FFmpegs, and orders.

Rule: leaving something never waits, also when the push is gone. Made by the push, closed when its thread has ended.
"""

import contextlib
import os
import queue
import select
import threading
from enum import Enum, auto


class Order(Enum):
    """What a push may be told to do at its next turn."""

    RESTART = auto()
    RECYCLE = auto()
    REFEED = auto()
    LEAVE = auto()


class Inbox:
    """Lines, each with the label of the child that wrote it, and orders, beside a descriptor that poll can wait on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the descriptor and the orders: a late post must not write into a number given away
        self._lines: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._orders: set[Order] = set()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def post(self, label: str = "", line: str | None = None, *, order: Order | None = None) -> None:
        """Leave a line or an order, or only wake; nothing happens once the inbox is closed."""
        if line is not None:
            self._lines.put((label, line))
        with self._lock:
            if order is not None:
                self._orders.add(order)
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def take(self, label: str) -> list[str]:
        """All lines of that child; those of others, which are gone, are dropped."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        left = [self._lines.get_nowait() for _ in range(self._lines.qsize())]
        return [line for author, line in left if author == label]

    def is_ordered(self, order: Order) -> bool:
        """That order stands."""
        return order in self._orders

    def take_order(self, order: Order) -> bool:
        """Whether that order stood; it does no more."""
        with self._lock:
            stood = order in self._orders
            self._orders.discard(order)
            return stood

    def wait(self, timeout_s: float) -> None:
        """Wait for a post, at most so many seconds."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.poll(timeout_s * 1000)

    def close(self) -> None:
        """Close the descriptor; idempotent."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
