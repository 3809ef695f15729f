"""What was told, in a file, for the process that comes after this one: what fires, and what has happened.

Rule: replaced whole; one that is lost or damaged means that what is still wrong is told again. Times are of the wall clock there, of the
monotonic one here. The alerts' thread only.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from channeld.notices.alert_book import Fact, Standing
from channeld.notices.settings import AlertRule, Trouble

log = structlog.get_logger()


class AlertFile:
    """`<state_dir>/alerts.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, now_s: float, wall_s: float) -> list[Standing]:
        """What another process told, but for what it resolved; empty when there is nothing to be read."""
        try:
            return [_standing(each, now_s - wall_s) for each in json.loads(self._path.read_bytes())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("alerts_not_read", path=str(self._path), error=str(error), consequence="what is still wrong is told again")
            return []

    def write(self, told: Iterable[Standing], now_s: float, wall_s: float) -> None:
        """Replace it."""
        draft = self._path.with_suffix(".tmp")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640), "w") as file:
                json.dump([_line(each, wall_s - now_s) for each in told], file)
            draft.replace(self._path)
        except OSError as error:
            log.warning("alerts_not_written", error=str(error), consequence="a restart would tell again what is still wrong")


def _line(each: Standing, ahead_s: float) -> dict[str, Any]:
    fact = each.fact
    named = {"rule": each.rule.name, "when": fact.trouble.value, "subject": fact.subject, "text": fact.text, "channel": fact.channel}
    return {**named, "since": each.since_s + ahead_s, "told": (each.told_s or 0.0) + ahead_s}


def _standing(line: dict[str, Any], ahead_s: float) -> Standing:
    trouble = Trouble(line["when"])
    fact = Fact(trouble, str(line["subject"]), str(line["text"]), line["channel"])
    return Standing(AlertRule(str(line["rule"]), trouble, ()), fact, float(line["since"]) + ahead_s, float(line["told"]) + ahead_s)
