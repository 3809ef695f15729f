"""How often an address may guess a token.

Rule: every address has TRIES wrong tokens, given back one each second; beyond that no token is taken from there that was not
taken before, so that a guess costs time whether it is right or not, and nobody is locked out by who guesses beside him.
The tables are bounded: at most MAX_ADDRESSES, the longest quiet one goes first.
Sans-I/O; used by the admin event loop.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from channeld.api.problems import Problem

TRIES = 10
SECONDS_PER_TRY = 1.0
MAX_ADDRESSES = 1024
# Whoever has one IPv6 address has all of its network.
_IPV6_PREFIX = 64


class Logins:
    """The failed logins of the last seconds, by address."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        # Address → when its tries will all be given back: each failure moves that by SECONDS_PER_TRY.
        self._whole_at_s: OrderedDict[str, float] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Whole seconds until this address may try again; 0: now."""
        debt_s = self._whole_at_s.get(_origin(address), 0.0) - self._clock_s()
        return max(0, math.ceil(debt_s - (TRIES - 1) * SECONDS_PER_TRY))

    def check(self, address: str) -> None:
        """Raises Problem 429 while this address has to wait."""
        if wait_s := self.wait_s(address):
            detail = f"Too many wrong tokens came from your address. Try again in {wait_s} s."
            raise Problem(429, detail, headers={"Retry-After": str(wait_s)})

    def admitted(self, address: str, digest: str) -> None:
        """A right token, of this digest, came from there. Raises Problem 429 when it is the first time and the address has to wait."""
        key = _origin(address), digest
        if key not in self._known:
            self.check(address)
        self._known[key] = None
        self._known.move_to_end(key)
        while len(self._known) > MAX_ADDRESSES:
            self._known.popitem(last=False)

    def failed(self, address: str) -> bool:
        """A wrong token came from there; True when that was the last try."""
        origin, now = _origin(address), self._clock_s()
        self._whole_at_s[origin] = max(now, self._whole_at_s.pop(origin, 0.0)) + SECONDS_PER_TRY
        while len(self._whole_at_s) > MAX_ADDRESSES:
            self._whole_at_s.popitem(last=False)
        return self.wait_s(address) > 0

    def __len__(self) -> int:
        return len(self._whole_at_s)


def _origin(address: str) -> str:
    """What counts as one address: an IPv4 address, or a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
