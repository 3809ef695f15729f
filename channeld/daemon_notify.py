"""What the service manager is told: ready, alive, stopping, and that another control takes our place (sd_notify(3)).

Rule: a watchdog of some seconds is far shorter than a new control takes to come up, so it is given more time for that and its own
again when that control is ready. Where no service manager listens nothing happens. Used by the daemon's main thread.
"""

import os
from collections.abc import Mapping

import sdnotify

HANDOVER_S = 90


class ServiceManager:
    """Whoever started us and listens at $NOTIFY_SOCKET."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._watchdog_us = environ.get("WATCHDOG_USEC", "")

    def ready(self) -> None:
        """Everything is up."""
        self._tell("READY=1", *([f"WATCHDOG_USEC={self._watchdog_us}"] if self._watchdog_us.isdecimal() else []))

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def handing_over(self) -> None:
        """This process becomes a new control, which cannot be as quick as the watchdog."""
        self._tell("WATCHDOG=1", *([f"WATCHDOG_USEC={HANDOVER_S * 1_000_000}"] if self._watchdog_us.isdecimal() else []))

    def _tell(self, *notices: str) -> None:
        self._notifier.notify("\n".join(notices))
