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

    def want(self, part: str, orders: list[dict[str, Any]]) -> None:
        """Replace what one part of the channel is to be connected to; see SourcePort.want."""
        if orders == self._wanted.get(part, []):
            return
        self._wanted[part] = orders
        self._means.sources.want(self._channel, [order for each in self._wanted.values() for order in each])
