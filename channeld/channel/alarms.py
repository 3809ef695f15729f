"""What is wrong just now and wants somebody's eye: raised once, told once, cleared once.

Rule: an alarm is known by its name and its subject; raising it again with other facts is told only when its level is
another one. Safe from any thread.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.clock import iso_utc

Publish = Callable[..., None]

log = structlog.get_logger()


class Alarms:
    """The alarms of a daemon. Every change is an event of kind `alarm`."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._lock = threading.Lock()  # guards _raised; never held while an event is published
        self._raised: dict[tuple[str, str], dict[str, Any]] = {}

    def raise_alarm(self, alarm: str, subject: str, *, level: str, message: str, **facts: Any) -> None:
        """Something is wrong with `subject`; told when it is new or its level is another one."""
        now = {"alarm": alarm, "subject": subject, "level": level, "message": message, **facts}
        with self._lock:
            before = self._raised.get((alarm, subject))
            since = iso_utc(time.time()) if before is None else before["since"]
            self._raised[(alarm, subject)] = {**now, "since": since}
        if before is None or before["level"] != level:
            told = {key: value for key, value in now.items() if key != "level"}  # a log line has a level of its own
            log.warning("alarm_raised", severity=level, **told)
            self._publish("alarm", state="raised", **now)

    def clear(self, alarm: str, subject: str) -> None:
        """It is well again; nothing happens when it was."""
        with self._lock:
            before = self._raised.pop((alarm, subject), None)
        if before is not None:
            log.info("alarm_cleared", alarm=alarm, subject=subject)
            self._publish("alarm", state="cleared", alarm=alarm, subject=subject, level=before["level"], message=before["message"])

    def standing(self) -> list[dict[str, Any]]:
        """All that are raised, oldest first."""
        with self._lock:
            return [dict(each) for each in self._raised.values()]


def store_news(publish: Publish, alarms: Alarms) -> Publish:
    """What the state store tells, as events; while it cannot write, as an alarm too."""

    def tell(kind: str, **facts: Any) -> None:
        if kind == "store_not_written":
            alarms.raise_alarm("store", "database", level="critical", message=facts["error"])
        elif kind == "store_written_again":
            alarms.clear("store", "database")
        publish(kind, **facts)

    return tell
