"""What airs on a channel in its list's place: what is ordered, else the best of its live sources, or a slate where none is live.

Rule: says what is coming; the planner carries it out. The channel's air never waits for any of it. Control loop's thread only.
"""

from collections.abc import Callable
from typing import Any

from channeld.channel.insert import Coming
from channeld.channel.means import Means
from channeld.channel.orders import Orders
from channeld.channel.override import Override
from channeld.channel.settings import ChannelSettings
from channeld.channel.source_desk import SourceDesk
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry


class Director:
    """One channel's. `on_change()`: what is coming may be another."""

    def __init__(self, settings: ChannelSettings, means: Means, on_change: Callable[[], None]) -> None:
        self.sources = SourceDesk(settings, means, on_change)
        self._orders = Orders(settings, means, on_change)
        self._is_running = False

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings; sources that stay as they are go on."""
        self._orders.change(settings)
        self.sources.change(settings)

    def begin(self) -> None:
        """The channel is on its way: its sources are connected to."""
        if self._is_running:
            return
        self._is_running = True
        self._orders.begin()
        self.sources.begin()

    def end(self) -> None:
        """Nothing is wanted any more."""
        self._is_running = False
        self.sources.end()

    def override(self, order: Override | None) -> None:
        """Air this in place of everything, as soon as it is prepared; None: no more."""
        self._orders.take(order)

    def started(self, entry: Entry | None, clip: PreparedClip | None) -> None:
        """This airs now; None is the filler."""
        self._orders.started(entry)
        self.sources.started(entry, clip)

    def coming(self, now: Entry | None) -> Coming | None:
        """What is to air in the list's place; None: the list."""
        return self._orders.coming(now, lambda: self.sources.coming(now))

    def lets_finish(self, now: Entry) -> bool:
        """What airs in the list's place airs to its end."""
        return self._orders.lets_finish(now)

    def describe(self) -> dict[str, Any]:
        """What is ordered, and each source: how it stands, since when and why."""
        return {"sources": self.sources.describe(), "override": self._orders.describe()}
