"""How far each webhook has come, in a file, so that another process goes on there.

Rule: the file is replaced whole; one that is lost or damaged means that every hook begins with what comes. What it says may be a second
old: the event that was sent meanwhile is sent again, with the same id. The webhooks' thread only.
"""

import json
import os
from pathlib import Path

import structlog

log = structlog.get_logger()


class PlaceFile:
    """`<state_dir>/webhooks.json`: the id of the last event that each hook needs no more, by the hook's name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_told = False

    def read(self) -> dict[str, int]:
        """What was written last; empty when there is nothing to be read."""
        try:
            found = json.loads(self._path.read_bytes())
            return {str(name): int(place) for name, place in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("webhook_places_not_read", path=str(self._path), error=str(error), consequence="webhooks begin with what comes")
            return {}

    def write(self, places: dict[str, int]) -> None:
        """Replace it; told once while it fails."""
        draft = self._path.with_suffix(".tmp")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640), "w") as file:
                json.dump(places, file)
            draft.replace(self._path)
        except OSError as error:
            if not self._is_told:
                log.warning("webhook_places_not_written", error=str(error), consequence="a restart would send some events again")
            self._is_told = True
        else:
            self._is_told = False
