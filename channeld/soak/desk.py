"""What control does for one channel of a soak: list, queue, rundown, plan; and what it writes down, to go on after its own death.

Rule: the real parser, queue and rundown; the host's reports come when the soak lets them, and are lost while control is down.
"""

import json
from collections import deque
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from channeld.base.errors import PlaylistError
from channeld.channel.rundown import Now, Planned, Rundown
from channeld.playlist import parse
from channeld.playlist.locate import PathRules
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.queue import Order, Queue
from channeld.playout.air import Air
from channeld.playout.lookahead import ClipSource
from channeld.soak.lists import LONGEST, Author
from channeld.soak.stage import Stage

Report = tuple[str, dict[str, Any]]
MEND_S = (1.0, 30.0)
_ROOT = Path("/soak")
"""Entries are named as if the sources lay here: an entry's id is made of its path, and the same seed must be the same story."""


class Desk:
    """One channel's control. `air` is the host's side while the channel is on air; `is_down` while control is dead."""

    def __init__(self, number: int, stage: Stage, random: Random) -> None:
        self.air: Air | None = None
        self.is_down = False
        self.inbox: deque[Report] = deque()
        self._stage = stage
        self._random = random
        self._order: Order = "shuffle" if number % 3 == 2 else "sequential"
        self._seed = random.randrange(1 << 30)
        file = stage.stock.media.parent / f"channel-{number + 1}{('.m3u', '.txt', '.yaml')[number % 3]}"
        self._author = Author(file, list(stage.stock.clips), random)
        self.rundown = self._new_rundown()
        self._last_valid = Playlist((), file)
        self._read()
        self._memory = ""
        self._store()

    def _new_rundown(self) -> Rundown:
        return Rundown(Queue(self._order, self._seed), self._stage.stock.look_up)

    # -- the list -----------------------------------------------------------------------------------------------

    def edit(self, *, is_rubbish: bool = False) -> None:
        """Somebody writes the playlist file; control reads it."""
        if is_rubbish:
            self._author.spoil()
        else:
            self._author.edit()
        if not self.is_down:
            self._read()
            self._store()
            self.plan()

    def _read(self) -> None:
        try:
            found = parse.load(self._author.file, PathRules((self._stage.stock.media,)))
        except PlaylistError:
            self._stage.tally.counts["lists refused"] += 1
            if self.rundown.playlist is None:
                self.rundown.apply(self._last_valid)  # control writes it down, too
            return
        entries = tuple(replace(entry, path=_ROOT / entry.path.name if entry.path else None) for entry in found.entries)
        self._last_valid = replace(found, entries=entries)
        self.rundown.apply(self._last_valid)
        self._stage.tally.note("list", self._stage.clock.monotonic_ns(), self.rundown.queue.revision, len(entries))

    def play_next(self) -> None:
        """An acknowledged insertion: it must air, whatever dies."""
        if self.is_down:
            return
        name = self._random.choice(list(self._stage.stock.clips))
        self.rundown.queue.play_next(Entry("", name, _ROOT / name, None, name))
        self._stage.tally.counts["insertions"] += 1
        self._store()
        self.plan()

    # -- the host's reports -------------------------------------------------------------------------------------

    def report(self, kind: str, values: dict[str, Any]) -> None:
        """Called by the air, in the midst of a release."""
        if not self.is_down:
            self.inbox.append((kind, values))

    def hear(self) -> None:
        """Work off what the host told."""
        while self.inbox and not self.is_down:
            kind, values = self.inbox.popleft()
            if kind == "started":
                self._heard_start(values)
            elif values.get("error") and values.get("airing"):
                self._discard(self._stage.stock.name_of(values["airing"]))

    def _heard_start(self, values: dict[str, Any]) -> None:
        if self.air is not None:
            self.air.told(values["serial"])
        airing, entry = values["airing"], values["entry"]
        known = self.rundown.find(airing)
        wall_s = self._stage.clock.wall_s()
        self.rundown.started(values["serial"], airing, started_ns=values["due_ns"], started_wall_s=wall_s, late=values["passed_over"])
        if airing is not None and known is None:
            self._catch_up(entry)
        self._insertion_aired(entry)
        self._store()
        self.plan()

    def _insertion_aired(self, entry: str | None) -> None:
        if entry is not None and entry.startswith("n"):
            self._stage.tally.counts["insertions aired"] += 1

    def _catch_up(self, entry: str) -> None:
        # Promised by a control that is dead: the queue that was restored knows the entry, unless an edit took it out.
        try:
            self.rundown.queue.started(entry)
        except ValueError:
            self._stage.tally.counts["airings of nobody's list"] += 1

    def _discard(self, name: str) -> None:
        if self._stage.stock.discard(name):
            self._stage.tally.counts["damage noticed"] += 1
            self._stage.agenda.after(self._random.uniform(*MEND_S), lambda: self._stage.stock.mend(name))
        self.plan()

    # -- plans --------------------------------------------------------------------------------------------------

    def sources(self) -> list[ClipSource]:
        """The plan as the host is told it."""
        self.rundown.wants(self._stage.clock.monotonic_ns())
        return [_source(planned) for planned in self.rundown.plan()]

    def plan(self) -> None:
        """Tell the host what airs next."""
        if self.air is not None and not self.is_down:
            self.air.accept_plan(self.rundown.now.serial, self.sources(), now_ns=self._stage.clock.monotonic_ns())

    # -- its own death ------------------------------------------------------------------------------------------

    def _store(self) -> None:
        self._memory = json.dumps(self.rundown.queue.memory())

    def die(self) -> None:
        """Control is killed: what it had not written down is lost."""
        self.is_down = True
        self.inbox.clear()

    def rise(self) -> None:
        """Another control goes on: with the memory, the list as it is now, and what the host says is on air."""
        self.rundown = self._new_rundown()
        self.is_down = False
        self.rundown.queue.restore(json.loads(self._memory))
        self._read()
        self.synchronise()

    def synchronise(self) -> None:
        """A new control, or a new host: what is on air is asked for, as reports may have been lost."""
        if self.is_down:
            return
        if self.air is not None:
            present = self.air.present()
            is_news = present["serial"] > max(present["reported"], self.rundown.now.serial)
            self.rundown.now = Now(present["serial"], self.rundown.find(present["airing"]), present["due_ns"], self._stage.clock.wall_s())
            if present["airing"] is not None and is_news:
                self._catch_up(present["entry"])
                self._insertion_aired(present["entry"])
            self.air.told(present["serial"])
        self._store()
        self.plan()

    @property
    def insertions_waiting(self) -> int:
        """Acknowledged, and not on air yet."""
        return self.rundown.queue.insertions_waiting

    @property
    def airs_by_right(self) -> bool:
        """Something of the list could air now, and control lives to say so."""
        coming = [] if self.is_down else self.rundown.queue.upcoming(LONGEST)
        return any(self._stage.stock.look_up(entry).readiness is Readiness.READY for entry in coming)


def _source(planned: Planned) -> ClipSource:
    return ClipSource(planned.airing, planned.entry.id, str(planned.clip.ts_path), str(planned.clip.idx_path))
