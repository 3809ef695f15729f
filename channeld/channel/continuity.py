"""What a channel must not forget, and how it goes on from it: its place in the list, what airs, and how far.

Rule: what airs is believed to the host, as long as one airs the channel; the store is for a power loss. What was written down is
at most a second old. Control loop's thread only, but for the constructor.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.redact import redact_text
from channeld.channel.means import Means
from channeld.channel.rundown import Planned, Rundown
from channeld.channel.settings import ChannelSettings
from channeld.channel.tag import Tag
from channeld.playlist import resume as rules
from channeld.playlist.model import Entry, Readiness
from channeld.store.records import Position

MAX_UNHEARD = 1_000

log = structlog.get_logger()


class Continuity:
    """One channel's. `load` what an earlier control wrote down before anything else."""

    def __init__(self, settings: ChannelSettings, means: Means, rundown: Rundown) -> None:
        self._settings = settings
        self._means = means
        self._rundown = rundown
        self._memory: dict[str, Any] = {}
        self._is_unplaced = False
        self.unheard: deque[dict[str, Any]] = deque(maxlen=MAX_UNHEARD)
        """What was told of airings that began or ended while no control listened, oldest first."""
        self._last: Position | None = None
        self._position = means.positions.load_position(settings.id)
        if self._position is not None:
            self._restore(self._position)

    def _restore(self, position: Position) -> None:
        try:
            self._rundown.queue.restore(position.memory["queue"])
            self._memory = position.memory
        except (KeyError, ValueError) as error:
            log.error("position_not_restored", channel=self._settings.id, error=str(error), consequence="the list begins anew")
            self._position = None

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings."""
        self._settings = settings

    # -- what airs already ------------------------------------------------------------------------------------------

    def learn(self, values: dict[str, Any]) -> Planned | None:
        """An airing that the host tells of, though it may have been promised by an earlier control."""
        airing, tag = values["airing"], Tag.read(values.get("tag") or "")
        if airing is None or tag is None:
            return None
        return self._rundown.find(airing) or self._rundown.learn(airing, tag, int(values["serial"]))

    def hear(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """Tell of the airings that began or ended while no control listened."""
        while self.unheard:
            tell(self.unheard.popleft())
            self.began()

    def take_up(self, values: dict[str, Any]) -> None:
        """The host airs the channel: go on with that, and with the list where it stood."""
        clock = self._means.clock
        started_ns, serial = int(values["due_ns"]), int(values["serial"])
        started_wall_s = clock.wall_s() - (clock.monotonic_ns() - started_ns) / NS_PER_SECOND
        planned, rundown = self.learn(values), self._rundown
        # Without a list the queue cannot be told now; and before there is one, others may begin.
        is_known = rundown.playlist is not None or serial in (self._memory.get("serial"), rundown.now.serial)
        rundown.take_up(serial, planned, started_ns=started_ns, started_wall_s=started_wall_s, is_known=is_known)
        self._position = None
        self._is_unplaced = True
        self.listed()

    def listed(self) -> None:
        """A list was read: the first one is where the queue finds what airs, if it began after the queue was written down."""
        if self._rundown.playlist is None:
            return
        caught_up = self._rundown.catch_up()
        if not self._is_unplaced:
            return
        self._is_unplaced = False
        now, queue = self._rundown.now, self._rundown.queue
        if now.planned is not None and now.planned.entry.id != caught_up:
            entry_id = now.planned.entry.id
            if self._memory.get("serial") != now.serial or queue.current is None or queue.current.id != entry_id:
                self._rundown.place(entry_id)
        self.note()

    # -- what is written down ---------------------------------------------------------------------------------------

    def began(self) -> None:
        """An airing began: written down with the queue, once that knows of it."""
        if not self._rundown.is_behind:
            self.note()

    def note(self) -> None:
        """The queue moved, or was given something: written down at once."""
        self._memory = {"queue": self._rundown.queue.memory(), "serial": self._rundown.now.serial}
        if self._position is None:
            self._save(frame=0, ticks=0)

    def progressed(self, progress: dict[str, Any]) -> None:
        """Once a second: how far the air is."""
        if self._memory and int(progress["serial"]) == self._rundown.now.serial:
            self._save(frame=int(progress["frames"]), ticks=int(progress["dts"]))

    def _save(self, *, frame: int, ticks: int) -> None:
        planned = self._rundown.now.planned
        position = Position(
            memory=self._memory,
            tag=planned.tag if planned else None,
            path=redact_text(planned.entry.locator) if planned else None,
            frame=frame,
            clip_frames=planned.clip.frames if planned and not planned.clip.growing else None,
            saved_wall_s=self._means.clock.wall_s(),
            ticks=ticks,
        )
        self._means.positions.save_position(self._settings.id, position)
        self._last = position

    # -- going on after an outage -----------------------------------------------------------------------------------

    def crashed(self) -> None:
        """The air was lost, and nobody ordered it: the next one goes on from here."""
        self._position = self._last

    def stopped(self) -> None:
        """The air was ended by order: the next one begins with the next entry."""
        self._position = None

    def resume(self) -> tuple[str, int] | None:
        """Where a new timeline begins: the entry's id and the frame; None where the queue's next entry begins at its start."""
        position, self._position = self._position, None
        if position is None:
            return None
        settings, queue = self._settings, self._rundown.queue
        tag = Tag.read(position.tag or "")
        found = rules.resume(
            queue,
            rules.Position(tag.entry, position.frame, position.saved_wall_s) if tag is not None else None,
            rules.ResumeRules(settings.resume, settings.on_outage),
            now_wall_s=self._means.clock.wall_s(),
            rate=settings.profile.fps,
            length=self._frames_of,
        )
        log.info("channel_resumed", channel=settings.id, entry=found.entry.id if found.entry else None, frame=found.frame)
        return (found.entry.id, found.frame) if found.entry is not None else None

    def _frames_of(self, entry: Entry) -> int | None:
        prepared = self._means.preparer.look_up(self._settings.id, self._settings.profile, entry)
        if prepared.readiness is Readiness.REFUSED:
            return 0
        return prepared.clip.frames if prepared.clip is not None and not prepared.clip.growing else None
