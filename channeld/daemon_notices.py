"""Who is told without asking: webhooks and alerts of one daemon, made of the parts they hear and look at.

Rule: none of it is needed for the air; whoever makes Notices closes it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from channeld.channel.alarms import Alarms
from channeld.channel.disk import Room
from channeld.channel.events import EventLog
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.troubles import Troubles
from channeld.config_values import Config
from channeld.notices.alert_file import AlertFile
from channeld.notices.alerts import Alerts, Sender
from channeld.notices.places import PlaceFile
from channeld.notices.webhooks import Webhooks


class Notices:
    """Owns the threads `webhooks`, `alerts` and `alerts:sender`."""

    def __init__(
        self,
        config: Config,
        events: EventLog,
        loop: ControlLoop,
        registry: Registry,
        alarms: Alarms,
        *,
        rooms: Mapping[str, Room],
        config_error: Callable[[], dict[str, Any] | None],
    ) -> None:
        troubles = Troubles(loop, registry, alarms, rooms=rooms, config_error=config_error)
        state = config.folders.state
        self._webhooks = Webhooks(config.webhooks, PlaceFile(state / "webhooks.json"), follow=events.follow, newest_id=events.newest_id)
        self._alerts = Alerts(
            config.alerts,
            troubles.look,
            events.subscribe(None),
            sender=Sender(),
            file=AlertFile(state / "alerts.json"),
            publish=events.publish,
        )

    def start(self) -> None:
        """Start the threads."""
        self._webhooks.start()
        self._alerts.start()

    def close(self) -> None:
        """End them."""
        self._alerts.close()
        self._webhooks.close()

    def change(self, config: Config) -> None:
        """Tell by another configuration. Any thread."""
        self._webhooks.change(config.webhooks)
        self._alerts.change(config.alerts)

    def describe(self) -> dict[str, Any]:
        """What is delivered, what waits, what fires. Any thread."""
        return {"webhooks": self._webhooks.describe(), "alerts": self._alerts.describe()}
