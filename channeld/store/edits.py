"""A change that a person waits for: made by the writing thread, acknowledged when it is committed.

Rule: whoever gives up waiting before the writer began can be sure that nothing was changed. Settled once. Safe from any thread.
"""

import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

from sqlalchemy import Connection

from channeld.base.errors import ChannelError, StoreError

T = TypeVar("T")


class _State(Enum):
    WAITING = auto()
    BEGUN = auto()
    SETTLED = auto()
    LEFT = auto()


class Edit(Generic[T]):
    """`change` runs inside of a transaction of its own and may raise a ChannelError, which undoes it; `committed` runs behind it."""

    def __init__(self, change: Callable[[Connection], T], committed: Callable[[T], None]) -> None:
        self.change, self._committed = change, committed
        self._changed = threading.Condition()  # guards what is below
        self._state = _State.WAITING
        self._result: list[T] = []
        self._error: ChannelError | None = None

    def begin(self) -> bool:
        """The writer's: somebody waits still, and from now on it is too late to leave."""
        with self._changed:
            if self._state is not _State.WAITING:
                return False
            self._state = _State.BEGUN
            return True

    def settle(self, result: T) -> None:
        """It is committed."""
        self._committed(result)
        with self._changed:
            self._result, self._state = [result], _State.SETTLED
            self._changed.notify_all()

    def fail(self, error: ChannelError) -> None:
        """It was not made."""
        with self._changed:
            self._error, self._state = error, _State.SETTLED
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> T:
        """The change's result. Raises what it raised; StoreError when the disk did not answer in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._state is _State.SETTLED, timeout_s)
            if self._error is not None:
                raise self._error
            if self._state is _State.SETTLED:
                return self._result[0]
            if self._state is _State.WAITING:
                self._state = _State.LEFT
                raise StoreError(f"nothing was changed: the disk of the state folder did not answer within {timeout_s:g} s")
            raise StoreError(f"not written within {timeout_s:g} s, and it may still be: look before you repeat it")
