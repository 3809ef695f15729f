"""How many requests a client may make.

Rule: each client has BURST requests, given back PER_S each second; beyond that it waits and nothing is done for it. Generous, as it is
to stop a loop that runs wild, not a page or a monitor. The table is bounded: the client longest quiet goes first. Sans-I/O; used by
the admin event loop.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 4000
PER_S = 400.0
MAX_CLIENTS = 2048


class Requests:
    """The requests of the last seconds, by client."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic, *, burst: int = BURST, per_s: float = PER_S) -> None:
        self._clock_s, self._burst, self._per_s = clock_s, burst, per_s
        # Client → when all its requests will be given back.
        self._whole_at_s: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str) -> int:
        """Count one more; 0, or the whole seconds to wait where it is one too many, which is not counted."""
        now_s = self._clock_s()
        whole_at_s = max(now_s, self._whole_at_s.pop(client, 0.0))
        over_s = whole_at_s - now_s - (self._burst - 1) / self._per_s - 1e-6  # sums of floats
        if over_s <= 0:
            whole_at_s += 1 / self._per_s
        self._whole_at_s[client] = whole_at_s
        while len(self._whole_at_s) > MAX_CLIENTS:
            self._whole_at_s.popitem(last=False)
        return max(0, math.ceil(over_s))

    def __len__(self) -> int:
        return len(self._whole_at_s)
