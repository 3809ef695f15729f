"""Control's plan as its host has it: what is looked ahead into for the coming boundaries.

Rule: what waits in it can air at once, and a live source that waits airs what is new: it is read anew from time to time, and what was read
before stays until that is there. Heap thread only; whoever takes a look-ahead out gives it back to the disk readers.
"""

from collections import deque
from dataclasses import dataclass, field

from channeld.base.units import TICKS_PER_SECOND
from channeld.playout.lookahead import DiskReaders, Lookahead

STALE_S = 2.0
"""How much older than it was meant to be a live source may be when it begins."""


@dataclass(slots=True)
class Plan:
    """Control's plan: look-aheads in order, and whether it was made for the coming boundary."""

    queue: deque[Lookahead] = field(default_factory=deque)
    is_for_this_boundary: bool = False

    def ready(self) -> Lookahead | None:
        """The first that can air."""
        for item in self.queue:
            item.drain()
            if item.is_ready:
                return item
        return None

    def renew_live(self, readers: DiskReaders, now_ticks: int) -> None:
        """Read live sources anew that have waited for STALE_S. `now_ticks`: of the timeline."""
        for place, item in enumerate(self.queue):
            if not item.source.is_live or not item.is_ready:
                continue
            if item.ready_since is None:
                item.ready_since = now_ticks
            fresh = item.successor
            if fresh is None:
                if now_ticks - item.ready_since > STALE_S * TICKS_PER_SECOND:
                    item.successor = Lookahead(item.source)
                    readers.request(item.successor)
                continue
            fresh.drain()
            if fresh.failure or fresh.complete:  # it ended: what there is of it airs, or control says what does
                item.ready_since = now_ticks
                readers.retire_successor(item)
            elif not fresh.is_ready:
                readers.request(fresh)
            elif not fresh.requested:
                fresh.source, fresh.ready_since, item.successor = item.source, now_ticks, None
                self.queue[place] = fresh
                readers.retire(item)
