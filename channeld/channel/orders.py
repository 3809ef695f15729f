"""What somebody ordered to air in place of everything on one channel: prepared, aired, lifted when its time is over.

Rule: what airs without it goes on as if it were not there, and is back when it is lifted. Control loop's thread only.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from channeld.base.clock import iso_utc
from channeld.channel.insert import OVERRIDE, Coming, Insert
from channeld.channel.means import Means
from channeld.channel.override import Override
from channeld.channel.settings import ChannelSettings
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry

PLANNED_TURNS = 7
"""Airings planned behind what is on air: so long goes on by itself what control does not look after."""

log = structlog.get_logger()


class Orders:
    """One channel's. `on_change()`: what is coming may be another."""

    def __init__(self, settings: ChannelSettings, means: Means, on_change: Callable[[], None]) -> None:
        self._settings, self._means, self._on_change = settings, means, on_change
        self._order = means.overrides.of(settings.id) if means.overrides is not None else None
        self._clip: PreparedClip | None = None
        self._was_shown = False

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings."""
        self._settings = settings

    def begin(self) -> None:
        """The channel is on its way: what an earlier control was ordered counts."""
        if self._order is not None:
            self.take(self._order)

    def take(self, order: Override | None) -> None:
        """Air this in place of everything, as soon as it is prepared; None: no more."""
        self._order, self._clip = order, None
        if order is None:
            self._on_change()
            return

        def done(result: PreparedClip | str) -> None:
            if self._order is not order:
                return
            if isinstance(result, str):
                log.error("override_not_made", channel=self._settings.id, title=order.title, error=result)
                self._lift(order, f"it could not be prepared: {result}")
                return
            self._clip = result
            self._on_change()

        if order.text is not None:
            self._means.preparer.ensure_slate(self._settings.profile, order.text, done)
        else:
            self._means.preparer.ensure_filler(self._settings.profile, Path(order.file or ""), done)
        if order.until_s is not None:
            wait_s = max(0.0, order.until_s - self._means.clock.wall_s())
            self._means.loop.later(wait_s, lambda: self._lift(order, "its time is over"))

    def _lift(self, order: Override, reason: str) -> None:
        if self._order is not order:
            return
        if self._means.overrides is not None:
            try:
                self._means.overrides.set(self._settings.id, None)
            except OSError as error:
                log.warning("override_not_forgotten", channel=self._settings.id, error=error.strerror)
        self._means.publish("override_lifted", channel=self._settings.id, title=order.title, reason=reason)
        self.take(None)

    def started(self, entry: Entry | None) -> None:
        """This airs now; None is the filler."""
        order = self._order
        if order is not None and order.once and self._was_shown and (entry is None or entry.id != order.name):
            self._lift(order, "it was shown")
        self._was_shown = order is not None and entry is not None and entry.id == order.name

    def coming(self, now: Entry | None, regular: Callable[[], Coming | None]) -> Coming | None:
        """What is to air in the list's place; `regular` tells what would without an order; None: the list."""
        order, is_shown = self._order, self._airs(now)
        if order is None:
            return regular()
        if self._clip is not None and not (order.once and is_shown):
            entry = Entry(order.name, f"override: {order.title}", None, None, order.title)
            inserts = (Insert(entry, self._clip),) * (1 if order.once else PLANNED_TURNS)
            return Coming(inserts, switches=not is_shown)
        if now is not None and now.id.startswith(OVERRIDE) and not is_shown:
            return Coming((), switches=False)  # another order is on air until this one is prepared
        coming = regular()
        return replace(coming, switches=False) if coming is not None and is_shown else coming

    def lets_finish(self, now: Entry) -> bool:
        """What airs in the list's place airs to its end: an announcement."""
        return self._order is not None and self._order.once and self._airs(now)

    def _airs(self, now: Entry | None) -> bool:
        return self._order is not None and now is not None and now.id == self._order.name

    def describe(self) -> dict[str, Any] | None:
        """What is ordered; None for nothing."""
        order = self._order
        if order is None:
            return None
        until = iso_utc(order.until_s) if order.until_s is not None else None
        return {
            "title": order.title,
            "since": iso_utc(order.since_s),
            "until": until,
            "once": order.once,
            "is_ready": self._clip is not None,
        }
