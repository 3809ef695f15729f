"""How long a hub waits before it starts a child again. Control loop's thread only."""

import time

from channeld.process.backoff import Backoff


class Patience:
    """One child's back-off, and since when it runs."""

    def __init__(self) -> None:
        self._backoff = Backoff()
        self._since_s: float | None = None

    def started(self) -> None:
        """The child runs."""
        self._since_s = time.monotonic()

    def wait_s(self) -> float:
        """The child ended, or did not start."""
        since_s, self._since_s = self._since_s, None
        return self._backoff.next_s(healthy_for_s=0.0 if since_s is None else time.monotonic() - since_s)
