"""Orders to air something in place of everything, on one channel or on all: judged, written down, carried out.

Rule: an order is kept before it is answered, so that another control goes on with it; a file is judged like an entry of the channel's list.
Any thread but the control loop's.
"""

import time
from collections.abc import Mapping

import structlog

from channeld.api.control import Refused, UnknownChannel
from channeld.channel.events import EventLog
from channeld.channel.loop import ControlLoop
from channeld.channel.override import MAX_TEXT, Override, OverrideBook
from channeld.channel.registry import Registry
from channeld.channel.supervisor import Supervisor
from channeld.playlist.locate import Locator

log = structlog.get_logger()


class OverrideDesk:
    """Implements the API's `Overrides`."""

    def __init__(self, loop: ControlLoop, registry: Registry, book: OverrideBook, events: EventLog) -> None:
        self._loop, self._registry, self._book, self._events = loop, registry, book, events

    def order(self, channel: str | None, *, text: str | None, path: str | None, seconds: float | None, once: bool) -> list[str]:
        """Air a text or a file on a channel, or on all; gives the channels. Raises UnknownChannel, Refused; then nothing is ordered."""
        found = self._find(channel)
        if (text is None) == (path is None):
            raise Refused(422, "Invalid order", "give either `text`, for a slate, or `path`, of a media file")
        if text is not None and (not text.strip() or len(text) > MAX_TEXT or not text.isprintable()):
            raise Refused(422, "Invalid order", f"text: write one line of at most {MAX_TEXT} characters")
        now_s = time.time()
        until_s = None if seconds is None else now_s + seconds
        orders = {each.settings.id: Override(text, self._judged(each, path), now_s, until_s, once) for each in found}
        self._carry_out(orders)
        for name, order in orders.items():
            self._events.publish("override_ordered", channel=name, title=order.title)
        return list(orders)

    def lift(self, channel: str | None) -> list[str]:
        """Air what would air without it. Raises like `order`."""
        found = self._find(channel)
        # Also of channels that are configured no more: one that comes back is not to air it.
        gone = self._book.channels() if channel is None else []
        self._carry_out(dict.fromkeys([*(each.settings.id for each in found), *gone]))
        for each in found:
            self._events.publish("override_lifted", channel=each.settings.id, title="", reason="by order")
        return [each.settings.id for each in found]

    def _find(self, channel: str | None) -> list[Supervisor]:
        if channel is None:
            return list(self._registry.channels.values())
        if channel not in self._registry.channels:
            raise UnknownChannel(channel)
        return [self._registry.channels[channel]]

    def _judged(self, supervisor: Supervisor, path: str | None) -> str | None:
        if path is None:
            return None
        settings = supervisor.settings
        found = Locator(settings.playlist.parent, settings.rules).locate(path)
        if found.path is None or found.fault is not None:
            raise Refused(422, "Cannot air", f"{path}: {found.fault or 'only a file can be put in place of everything'}")
        return str(found.path)

    def _carry_out(self, orders: Mapping[str, Override | None]) -> None:
        def do() -> None:
            for channel, order in orders.items():
                self._book.set(channel, order)
                if channel in self._registry.channels:
                    self._registry.channels[channel].director.override(order)

        try:
            self._loop.call(do)
        except OSError as error:
            raise Refused(507, "Not kept", f"the order cannot be written down: {error.strerror}. Make room in state_dir first") from error
