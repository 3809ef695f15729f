"""What is to air in place of everything on one channel, by order or by its timetable: prepared, aired, lifted when its time is over.

Rule: what airs without it goes on as if it were not there, and is back when it is lifted. What somebody orders goes before what the
timetable says. Control loop's thread only.
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
from channeld.channel.preparation import Want
from channeld.channel.settings import ChannelSettings
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry, Readiness

PLANNED_TURNS = 7
"""Airings planned behind what is on air: so long goes on by itself what control does not look after."""

log = structlog.get_logger()


class Orders:
    """One channel's. `on_change()`: what is coming, or what is wanted for it, may be another."""

    def __init__(self, settings: ChannelSettings, means: Means, on_change: Callable[[], None]) -> None:
        self._settings, self._means, self._on_change = settings, means, on_change
        self._given = means.overrides.of(settings.id) if means.overrides is not None else None
        self._timed: Override | None = None
        self._over: str | None = None
        self._next: Override | None = None
        self._slate: tuple[str, PreparedClip] | None = None
        self._was_shown = False

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings."""
        self._settings = settings

    def begin(self) -> None:
        """The channel is on its way: what an earlier control was ordered counts."""
        if self._given is not None:
            self.take(self._given)

    def take(self, order: Override | None) -> None:
        """Air this in place of everything, as soon as it is prepared; None: no more."""
        self._given = order
        if order is not None and order.until_s is not None:
            wait_s = max(0.0, order.until_s - self._means.clock.wall_s())
            self._means.loop.later(wait_s, lambda: self._lift(order, "its time is over"))
        self._changed()

    def schedule(self, order: Override | None, following: Override | None) -> None:
        """What the timetable says for now, and what it will say next, which is prepared meanwhile."""
        if (order, following) != (self._timed, self._next):
            self._timed, self._next = order, following
            if following is not None and following.text is not None:
                self._means.preparer.ensure_slate(self._settings.profile, following.text, lambda _: None)
            self._changed()

    @property
    def _order(self) -> Override | None:
        if self._given is not None:
            return self._given
        return self._timed if self._timed is not None and self._timed.name != self._over else None

    def _changed(self) -> None:
        order = self._order
        if order is not None and order.text is not None and (self._slate is None or self._slate[0] != order.name):
            self._make_slate(order, order.text)
        self._on_change()

    def _make_slate(self, order: Override, text: str) -> None:
        def done(result: PreparedClip | str) -> None:
            if self._order is not order:
                return
            if isinstance(result, str):
                self._refuse(order, result)
                return
            self._slate = order.name, result
            self._on_change()

        self._means.preparer.ensure_slate(self._settings.profile, text, done)

    def _refuse(self, order: Override, reason: str) -> None:
        log.error("override_not_made", channel=self._settings.id, title=order.title, error=reason)
        self._lift(order, f"it could not be prepared: {reason}")

    def _lift(self, order: Override, reason: str) -> None:
        if self._order is not order:
            return
        if order is self._timed:
            self._over = order.name
        else:
            self._given = None
            self._forget()
        self._means.publish("override_lifted", channel=self._settings.id, title=order.title, reason=reason)
        self._changed()

    def _forget(self) -> None:
        if self._means.overrides is None:
            return
        try:
            self._means.overrides.set(self._settings.id, None)
        except OSError as error:
            log.warning("override_not_forgotten", channel=self._settings.id, error=error.strerror)

    # -- its clip -----------------------------------------------------------------------------------------------

    def wants(self) -> list[Want]:
        """Files that are to be prepared for it, all else after them."""
        wanted = [order for order in (self._order, self._next) if order is not None and order.file is not None]
        return [Want(_entry(order), 0.0) for order in wanted]

    def clips_changed(self) -> None:
        """Clips stand otherwise: one that cannot be prepared is not waited for."""
        order = self._order
        if order is not None and order.file is not None:
            prepared = self._means.preparer.look_up(self._settings.id, self._settings.profile, _entry(order))
            if prepared.readiness is Readiness.REFUSED:
                self._refuse(order, prepared.reason or "nothing of it can be shown")

    @property
    def _clip(self) -> PreparedClip | None:
        order = self._order
        if order is None:
            return None
        if order.file is not None:
            return self._means.preparer.look_up(self._settings.id, self._settings.profile, _entry(order)).clip
        return self._slate[1] if self._slate is not None and self._slate[0] == order.name else None

    # -- what is coming -----------------------------------------------------------------------------------------

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
        clip = self._clip
        if clip is not None and not (order.once and is_shown):
            inserts = (Insert(_entry(order), clip),) * (1 if order.once else PLANNED_TURNS)
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
        """What is to air in place of everything; None for nothing."""
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
            "by": "timetable" if order is self._timed else "order",
        }


def _entry(order: Override) -> Entry:
    return Entry(order.name, f"override: {order.title}", Path(order.file) if order.file is not None else None, None, order.title)
