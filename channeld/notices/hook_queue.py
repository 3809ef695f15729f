"""What one webhook has still to be sent: events in their order, bounded, with the place it has come to.

Rule: only the oldest is on its way; it leaves the queue when it was taken, was refused for good, or was pushed out by newer ones, and
each way is counted. Sans-I/O; the webhooks' event loop only.
"""

from collections import deque
from typing import Any

from channeld.notices.settings import WebhookSettings

WAITING = 1_000
REFUSALS = 5
"""So often an event is offered whose content the target refuses: it must not hold up those behind it for ever."""
_OF_CONTENT = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431})


class HookQueue:
    """One hook's events. `place`: the id of the last event that needs no more sending."""

    def __init__(self, settings: WebhookSettings, place: int) -> None:
        self.settings = settings
        self.place = place
        self.delivered = self.dropped = self.failures = 0
        self.last_error: str | None = None
        self.delivered_at_s: float | None = None
        self.failing_since_s: float | None = None
        self._waiting: deque[dict[str, Any]] = deque()
        self._refusals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, event: dict[str, Any]) -> None:
        """An event happened: it waits if it is wanted and new, in place of the oldest when too many do."""
        wanted = self.settings
        if event["id"] <= self.place or (wanted.kinds is not None and event.get("kind") not in wanted.kinds):
            return
        if wanted.channels is not None and event.get("channel") not in wanted.channels:
            return
        if len(self._waiting) >= WAITING:
            self._leave(self._waiting[0])
            self.dropped += 1
        self._waiting.append(event)

    def next(self) -> dict[str, Any] | None:
        """The one to send now."""
        return self._waiting[0] if self._waiting else None

    def take(self, event: dict[str, Any], now_s: float) -> None:
        """The target has it."""
        self.delivered += 1
        self.delivered_at_s, self.failing_since_s, self.last_error = now_s, None, None
        self._leave(event)

    def fail(self, event: dict[str, Any], reason: str, now_s: float, status: int | None = None) -> None:
        """An attempt failed; `status` is the target's answer, None where there was none."""
        self.failures += 1
        self.last_error = reason
        self.failing_since_s = self.failing_since_s or now_s
        if status not in _OF_CONTENT:
            return
        self._refusals += 1
        if self._refusals >= REFUSALS:
            self.dropped += 1
            self._leave(event)

    def inherit(self, before: "HookQueue") -> None:
        """Go on for a hook whose settings were others."""
        for event in before._waiting:
            self.offer(event)
        self.delivered, self.dropped, self.failures = before.delivered, before.dropped, before.failures

    def describe(self) -> dict[str, Any]:
        """The state of its deliveries; times are seconds of the wall clock."""
        return {
            "name": self.settings.name,
            "url": self.settings.shown_url,
            "state": "ok" if self.failing_since_s is None else "failing",
            "waiting": len(self._waiting),
            "delivered": self.delivered,
            "failures": self.failures,
            "dropped": self.dropped,
            "last_error": self.last_error,
            "delivered_at_s": self.delivered_at_s,
            "failing_since_s": self.failing_since_s,
        }

    def _leave(self, event: dict[str, Any]) -> None:
        # It may have been pushed out while it was on its way.
        if self._waiting and self._waiting[0] is event:
            self._waiting.popleft()
            self._refusals = 0
        self.place = max(self.place, int(event["id"]))
