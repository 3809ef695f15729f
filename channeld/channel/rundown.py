"""A channel's rundown: what airs, what was planned for the coming boundaries, and when it will air.

Rule: the queue decides what is next; the rundown only remembers which airing of which entry was promised to the host,
so that what the host tells can be understood. Control loop's thread only.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from channeld.base.clock import iso_utc
from channeld.channel.preparation import Prepared, Want
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.order import Diff
from channeld.playlist.queue import Queue

PLANNED_AIRINGS = 8
REMEMBERED_AIRINGS = 64
WANTED_ENTRIES = 2_000
UNKNOWN_LENGTH_S = 60.0


@dataclass(frozen=True, slots=True)
class Planned:
    """An airing promised to the host."""

    airing: str
    entry: Entry
    clip: PreparedClip


@dataclass(frozen=True, slots=True)
class Now:
    """What airs: the host's serial, the planned airing (None: the filler), and when it began (wall clock)."""

    serial: int
    planned: Planned | None
    started_wall_s: float


class Rundown:
    """Queue, plan and the present of one channel."""

    def __init__(self, queue: Queue, look_up: Callable[[Entry], Prepared]) -> None:
        self.queue = queue
        self._look_up = look_up
        self._count = itertools.count(1)
        self._planned: dict[str, Planned] = {}
        self._remembered: deque[str] = deque()
        self.now = Now(0, None, 0.0)
        self.playlist: Playlist | None = None

    def apply(self, playlist: Playlist) -> Diff:
        """Take a valid list."""
        self.playlist = playlist
        return self.queue.apply(playlist)

    def plan(self) -> list[Planned]:
        """What should air at the coming boundaries, ready entries only."""
        planned = []
        for entry in self.queue.plan(PLANNED_AIRINGS, lambda entry: self._look_up(entry).readiness):
            clip = self._look_up(entry).clip
            if clip is not None:
                planned.append(self._promise(entry, clip))
        return planned

    def _promise(self, entry: Entry, clip: PreparedClip) -> Planned:
        planned = Planned(f"a{next(self._count)}", entry, clip)
        self._planned[planned.airing] = planned
        self._remembered.append(planned.airing)
        while len(self._remembered) > REMEMBERED_AIRINGS:
            self._planned.pop(self._remembered.popleft(), None)
        return planned

    def find(self, airing: str | None) -> Planned | None:
        """What was promised under an airing's name."""
        return self._planned.get(airing) if airing is not None else None

    def started(self, serial: int, airing: str | None, started_wall_s: float) -> list[Entry]:
        """The host began an airing; gives the entries passed over by it."""
        planned = self.find(airing)
        self.now = Now(serial, planned, started_wall_s)
        return self.queue.started(planned.entry.id) if planned is not None else []

    def stopped(self) -> None:
        """Nothing airs any more; the next airing counts from 1 again."""
        self.now = Now(0, None, 0.0)

    def wants(self, elapsed_s: float) -> list[Want]:
        """What will air and when, soonest first: what the preparer should work on."""
        wants = []
        now = self.now.planned
        if now is not None and self._is_growing(now.entry):
            wants.append(Want(now.entry, 0.0))  # it airs while it is being prepared: nothing is needed sooner
        due_s = max(0.0, self._now_length_s() - elapsed_s)
        for entry in self.queue.upcoming(min(WANTED_ENTRIES, self._entry_count())):
            wants.append(Want(entry, due_s))
            due_s += self._length_s(entry) or UNKNOWN_LENGTH_S
        return wants

    def _is_growing(self, entry: Entry) -> bool:
        clip = self._look_up(entry).clip
        return clip is not None and clip.growing

    def _entry_count(self) -> int:
        return len(self.playlist.entries) if self.playlist else 0

    def _now_length_s(self) -> float:
        return self.now.planned.clip.duration_s if self.now.planned else 0.0

    def _length_s(self, entry: Entry) -> float | None:
        prepared = self._look_up(entry)
        return prepared.clip.duration_s if prepared.clip and not prepared.clip.growing else prepared.length_s

    def ends_wall_s(self) -> float | None:
        """When the playing clip ends (wall clock); None while the filler airs."""
        planned = self.now.planned
        if planned is None:
            return None
        return self.now.started_wall_s + (self._length_s(planned.entry) or planned.clip.duration_s)

    def describe_now(self, wall_s: float) -> dict[str, Any] | None:
        """CONTRACT's `now`; None while the filler airs."""
        planned = self.now.planned
        if planned is None:
            return None
        length_s = self._length_s(planned.entry) or planned.clip.duration_s
        return {
            "entry": planned.entry.id,
            "title": planned.entry.title,
            "path": planned.entry.locator,
            "position_s": round(min(max(0.0, wall_s - self.now.started_wall_s), length_s), 3),
            "duration_s": round(length_s, 3),
            "started_at": iso_utc(self.now.started_wall_s),
        }

    def describe_next(self, count: int) -> list[dict[str, Any]]:
        """CONTRACT's `next`: what would air if everything were ready in time; `starts_at` null behind an unknown length."""
        at_s = self.ends_wall_s()
        described = []
        for entry in self.queue.upcoming(count):
            prepared = self._look_up(entry)
            if prepared.readiness is Readiness.REFUSED:
                continue
            described.append(
                {
                    "entry": entry.id,
                    "title": entry.title,
                    "path": entry.locator,
                    "starts_at": iso_utc(at_s) if at_s is not None else None,
                    "ready": prepared.readiness is Readiness.READY,
                }
            )
            length_s = self._length_s(entry)
            at_s = at_s + length_s if at_s is not None and length_s is not None else None
        return described
