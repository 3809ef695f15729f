"""What airs on a channel in its list's place: what is ordered or due by the timetable, else the best of its live sources, or a slate.

Rule: says what is coming; the planner carries it out. The channel's air never waits for any of it. Control loop's thread only.
"""

from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.clock import iso_utc
from channeld.channel.connections import Connections
from channeld.channel.insert import Coming
from channeld.channel.live_entries import NAME, LiveEntries
from channeld.channel.means import Means
from channeld.channel.orders import Orders
from channeld.channel.override import Override
from channeld.channel.preparation import Want
from channeld.channel.settings import ChannelSettings
from channeld.channel.source_desk import SourceDesk
from channeld.channel.timetable import Turn
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry

LOOK_S = 30.0
"""How often the wall clock is looked at: it may be set, or the machine may have slept."""

log = structlog.get_logger()


class Director:
    """One channel's. `on_change()`: what is coming may be another; `on_order()`: what is to be prepared for it, too."""

    def __init__(self, settings: ChannelSettings, means: Means, on_change: Callable[[], None], on_order: Callable[[], None]) -> None:
        connections = Connections(settings.id, means)
        self._channel, self._means = settings.id, means
        self.sources = SourceDesk(settings, means, connections, on_change)
        self.entries = LiveEntries(settings, means, connections, on_change, on_order)
        self._orders = Orders(settings, means, on_order)
        self._timetable = settings.timetable
        self._turn: Turn | None = None
        self._is_running = False
        self._looks = 0

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings; sources that stay as they are go on."""
        self._orders.change(settings)
        self.sources.change(settings)
        self.entries.change(settings)
        if settings.timetable != self._timetable:
            self._timetable = settings.timetable
            if self._is_running:
                self._look_at_timetable()

    def begin(self) -> None:
        """The channel is on its way: its sources are connected to."""
        if self._is_running:
            return
        self._is_running = True
        self._orders.begin()
        self.sources.begin()
        self._look_at_timetable()

    def end(self) -> None:
        """Nothing is wanted any more."""
        self._is_running = False
        self.sources.end()
        self.entries.end()

    def _look_at_timetable(self) -> None:
        """Have what is due now air, and look again when something else may be."""
        self._looks += 1
        look, table, now_s = self._looks, self._timetable, self._means.clock.wall_s()
        turn = table.now(now_s) if table is not None else None
        following = table.next(now_s) if table is not None else None
        if turn != self._turn:
            self._turn = turn
            title = turn.slot.title if turn is not None else None
            log.info("timetable_turned", channel=self._channel, title=title)
            self._means.publish("timetable_turned", channel=self._channel, title=title, until=iso_utc(turn.ends_s) if turn else None)
        self._orders.schedule(_order_of(turn), _order_of(following))
        is_soon = following is not None and following.begins_s - now_s <= LOOK_S + 1
        self.sources.prefer(_source_of(turn), expected=_source_of(following) if is_soon else None, is_list=bool(turn and turn.slot.is_list))
        wait_s = table.changes_in_s(now_s) if table is not None else None

        def again() -> None:
            if look == self._looks and self._is_running:
                self._look_at_timetable()

        if wait_s is not None:
            self._means.loop.later(min(LOOK_S, wait_s + 0.001), again)

    def override(self, order: Override | None) -> None:
        """Air this in place of everything, as soon as it is prepared; None: no more."""
        self._orders.take(order)

    def told(self, source: str, kind: str, values: dict[str, Any]) -> None:
        """Something of one of the channel's live sources."""
        (self.entries if source.startswith(NAME) else self.sources).told(source, kind, values)

    def wants(self) -> list[Want]:
        """What is to be prepared for what is ordered, before all else."""
        return self._orders.wants()

    def clips_changed(self) -> None:
        """Clips stand otherwise."""
        self._orders.clips_changed()

    def started(self, entry: Entry | None, clip: PreparedClip | None) -> None:
        """This airs now; None is the filler."""
        self._orders.started(entry)
        self.sources.started(entry, clip)
        self.entries.started(entry)

    def coming(self, now: Entry | None) -> Coming | None:
        """What is to air in the list's place; None: the list."""
        return self._orders.coming(now, lambda: self.sources.coming(now))

    def lets_finish(self, now: Entry) -> bool:
        """What airs in the list's place airs to its end."""
        return self._orders.lets_finish(now)

    def describe(self) -> dict[str, Any]:
        """What is ordered, what is due, and each source: how it stands, since when and why."""
        described = {"sources": self.sources.describe(), "override": self._orders.describe()}
        table, now_s = self._timetable, self._means.clock.wall_s()
        return described | {"timetable": None if table is None else {"now": _shown(table.now(now_s)), "next": _shown(table.next(now_s))}}


def _order_of(turn: Turn | None) -> Override | None:
    """A turn that airs something of its own."""
    if turn is None or (turn.slot.text is None and turn.slot.file is None):
        return None
    return Override(turn.slot.text, turn.slot.file, turn.begins_s, turn.ends_s, turn.slot.once)


def _source_of(turn: Turn | None) -> str | None:
    return turn.slot.source if turn is not None else None


def _shown(turn: Turn | None) -> dict[str, Any] | None:
    return None if turn is None else {"title": turn.slot.title, "begins_at": iso_utc(turn.begins_s), "ends_at": iso_utc(turn.ends_s)}
