"""Which live sources a channel is connected to: those of its configuration and those of its list, as one wish.

Rule: each part says what it wants; whoever takes sources in gets the sum. Control loop's thread only.
"""

from typing import Any

from channeld.channel.means import Means


class Connections:
    """One channel's."""

    def __init__(self, channel: str, means: Means) -> None:
        self._channel, self._means = channel, means
        self._wanted: dict[str, list[dict[str, Any]]] = {}
        self._yields = False

    def want(self, part: str, orders: list[dict[str, Any]], *, yields: bool | None = None) -> None:
        """Replace what one part of the channel is to be connected to; see SourcePort.want. `yields` None: as before."""
        before = self._wanted.get(part, []), self._yields
        self._yields = self._yields if yields is None else yields
        if (orders, self._yields) == before:
            return
        self._wanted[part] = orders
        wanted = [order for each in self._wanted.values() for order in each]
        self._means.sources.want(self._channel, wanted, yields=self._yields)
