"""A channel's list as it is taken: the newest valid one counts from the next boundary on, an invalid one is told of.

Rule: playlist trouble never reaches the air: the last valid list stays, with the place of the fault beside it. Control loop's
thread only, but for `readings`.
"""

from typing import Any

import structlog

from channeld.base.errors import PlaylistError
from channeld.channel.continuity import Continuity
from channeld.channel.means import Publish
from channeld.channel.planner import Planner
from channeld.channel.readings import Readings
from channeld.playlist.model import Entry, Playlist
from channeld.playlist.order import Diff

log = structlog.get_logger()


class Listing:
    """One channel's. `fault`: CONTRACT's `edit_error`, None while the newest list is the one in use."""

    def __init__(self, channel: str, publish: Publish, planner: Planner, continuity: Continuity) -> None:
        self._channel = channel
        self._publish = publish
        self._planner = planner
        self._continuity = continuity
        self.fault: dict[str, Any] | None = None
        self.readings = Readings()

    def apply(self, playlist: Playlist, reading: int | None = None) -> Diff | None:
        """Take a valid list; it counts from the next boundary on. None: it was read before the newest, and is dropped."""
        if not self.readings.accept(reading):
            return None
        rundown = self._planner.rundown
        before = rundown.queue.revision if rundown.playlist is not None else None
        diff = rundown.apply(playlist)
        self._continuity.listed()
        self.fault = None
        if rundown.queue.revision == before:
            return diff
        log.info("playlist_applied", channel=self._channel, revision=rundown.queue.revision, entries=len(playlist.entries))
        for notice in playlist.warnings:
            log.warning("playlist_noticed", channel=self._channel, line=notice.line, message=notice.message)
        facts = {"revision": rundown.queue.revision, "added": len(diff.added), "removed": len(diff.removed)}
        self._publish("playlist_applied", channel=self._channel, **facts)
        self._continuity.note()
        self._planner.tell_all()
        return diff

    def refuse(self, error: PlaylistError, reading: int | None = None) -> None:
        """An edit is invalid: the last good list stays, the place of the fault is shown."""
        if not self.readings.accept(reading):
            return
        fault = {"file": str(error.path), "line": error.line, "message": error.message}
        if fault == self.fault:
            return
        self.fault = fault
        log.warning("playlist_refused", channel=self._channel, **fault)
        self._publish("playlist_refused", channel=self._channel, error=fault)

    def play_next(self, entry: Entry) -> None:
        """Air an entry once, before anything else. Raises ValueError when it is faulty."""
        self._planner.rundown.queue.play_next(entry)
        self._continuity.note()
        self._planner.tell_all()
