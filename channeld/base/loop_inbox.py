"""From any thread into an event loop, in order, with one wake-up for all that waits.

Rule: `put` never waits; what is put before the loop is there waits for it. Made by whoever owns the loop.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LoopInbox(Generic[T]):
    """Hands items to `take` on the loop that `attach` was called in."""

    def __init__(self, take: Callable[[T], None]) -> None:
        self._take = take
        self._items: deque[T] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_called = False

    def attach(self) -> None:
        """This loop takes the items from now on. Once, on the loop."""
        self._loop = asyncio.get_running_loop()
        self._drain()

    def put(self, item: T) -> None:
        """Have it taken. Any thread."""
        self._items.append(item)
        if self._loop is None or self._is_called:
            return
        self._is_called = True
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._is_called = False  # first: what is put from here on calls again
        while self._items:
            self._take(self._items.popleft())
