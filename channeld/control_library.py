"""A channel's media library for people: every file that its playlist could name, with what is known of each.

Rule: no caller waits for a disk longer than PATIENCE_S; a walk is done once for all who ask within its freshness, on a thread of its own.
The control loop is asked for one page's entries only. Safe from any thread but the loop's.
"""

import os
import threading
import time
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from channeld.api.control import Refused, UnknownChannel
from channeld.api.shelf import Shelf
from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.base.worker import Worker
from channeld.channel.as_run import Page
from channeld.channel.clips import Clips
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.supervisor import Supervisor
from channeld.control_shown import prepared_state
from channeld.media.cache import clip_key
from channeld.media.card import key_of_profile
from channeld.media.folder_walk import Found, Walk, walk
from channeld.media.glance import Glance, Glancer
from channeld.media.plan import Trim
from channeld.media.profile import Profile
from channeld.media.tools import Tools
from channeld.playlist.model import Entry, Playlist
from channeld.store.questions import AiringFilter

PATIENCE_S = 4.0
WALK_FRESH_S = 10.0
WALK_SHARE = 0.05
"""A walk is as fresh as it took, divided by this: a large library is walked at most so much of the time."""
TOTALS_FRESH_S = 30.0
KEPT_WALKS = 64

Roots = tuple[Path, ...]
Totals = Callable[[AiringFilter], Page]


@dataclass(frozen=True, slots=True)
class _Walked:
    """A walk, and how long (monotonic, seconds) it counts as fresh."""

    walk: Walk
    fresh_until_s: float


class Walker(Worker):
    """The thread `library:walk`."""

    def __init__(self, without: Roots) -> None:
        super().__init__("library:walk")
        self._without = without
        self._changed = threading.Condition()  # guards the two below
        self._wanted: OrderedDict[Roots, None] = OrderedDict()
        self._done: OrderedDict[Roots, _Walked] = OrderedDict()

    def files(self, roots: Roots, *, again: bool = False) -> Walk | None:
        """The files below roots; None when the disk does not answer in time. `again`: as they are from now on."""
        with self._changed:
            known = self._done.get(roots)
            if known is not None and not again and time.monotonic() < known.fresh_until_s:
                return known.walk
            self._wanted[roots] = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._done.get(roots) is not known or self.stopping.is_set(), PATIENCE_S)
            found = self._done.get(roots)
            return found.walk if found is not None else None

    def forget(self) -> None:
        """Something was put into a folder: what is asked for next is walked anew."""
        with self._changed:
            self._done.clear()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        while not self.stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self.stopping.is_set() or bool(self._wanted))
                roots = next(iter(self._wanted), None)
            if roots is None:
                continue
            begun_s = time.monotonic()
            found = walk(roots, self.stopping.is_set, without=self._without)
            ended_s = time.monotonic()
            with self._changed:
                self._wanted.pop(roots, None)
                self._done.pop(roots, None)
                self._done[roots] = _Walked(found, ended_s + max(WALK_FRESH_S, (ended_s - begun_s) / WALK_SHARE))
                while len(self._done) > KEPT_WALKS:
                    self._done.popitem(last=False)
                self._changed.notify_all()


class LibraryDesk:
    """Answers for all channels. Owns its Walker and the Glancer's thread. `without`: the daemon's own folders, which hold no media."""

    def __init__(
        self,
        loop: ControlLoop,
        registry: Registry,
        clips: Clips,
        totals: Totals,
        glancer: Glancer,
        tools: Tools,
        *,
        without: Roots = (),
    ) -> None:
        self._loop, self._registry = loop, registry
        self._cache, self._totals = clips.cache, totals
        self._glancer, self._tools = glancer, tools
        self.walker = Walker(without)
        self._aired: dict[str, tuple[float, dict[str, tuple[int, str]]]] = {}

    def start(self) -> None:
        """Start the threads."""
        self.walker.start()
        self._glancer.start()

    def close(self) -> None:
        """End them."""
        self._glancer.close(timeout_s=30.0)
        self.walker.close()

    def read(self, channel: str, *, after: str | None, limit: int, words: str = "") -> Shelf:
        """So many files behind one, by their path; only those whose path holds every word. Raises UnknownChannel, Refused (503)."""
        supervisor = self._registry.channels.get(channel)
        if supervisor is None:
            raise UnknownChannel(channel)
        settings = supervisor.settings
        base = _folder(settings.playlist)
        walked = self.walker.files(settings.rules.media_roots or (base,))
        if walked is None:
            raise Refused(503, "Not now", "the media folders are still being looked through: ask again in some seconds")
        folder = os.path.realpath(base)
        listed = sorted(((_written(file.real, folder), file) for file in walked.files), key=_place)
        wanted = [word.casefold() for word in words.split()]
        found = [each for each in listed if all(word in each[0].casefold() for word in wanted)] if wanted else listed
        start = 0 if after is None else bisect_right(found, _place((after, None)), key=_place)
        page = found[start : start + limit]
        self._glancer.want((file for _, file in page), walked.files)
        unknown = sum(1 for file in walked.files if self._glancer.book.get(file) is None)
        following = page[-1][0] if page and start + limit < len(found) else None
        return Shelf(self._describe(supervisor, page, base), len(found), unknown, walked.is_cut, following)

    def _describe(self, supervisor: Supervisor, page: list[tuple[str, Found]], base: Path) -> list[dict[str, Any]]:
        entries = self._entries(supervisor, {file.real for _, file in page})
        aired = self._aired_of(supervisor.settings.id, base)
        profile = supervisor.settings.profile
        shown = []
        for path, file in page:
            glance = self._glancer.book.get(file)
            count, state, reason = entries.get(file.real, (0, None, None))
            if state in (None, "unknown", "waiting"):
                state, reason = self._state(glance, profile, state)
            times, last_at = aired.get(file.real, (0, None))
            known = asdict(glance or Glance())
            del known["content"], known["reason"]
            facts = {"bytes": file.size, "modified_at": iso_utc(file.mtime_ns / NS_PER_SECOND), **known}
            shown.append({"path": path, **facts, "state": state, "reason": reason, "entries": count, "aired": times, "aired_at": last_at})
        return shown

    def _state(self, glance: Glance | None, profile: Profile, listed: str | None) -> tuple[str, str | None]:
        """By what is known of the file itself; `listed`: what the list's entry says."""
        if glance is None:
            return "unknown", None
        if glance.reason is not None:
            return "refused", glance.reason
        key = clip_key(glance.content or "", key_of_profile(profile, self._tools), Trim(), profile.audio_language or "")
        if self._cache.knows(key):
            return "ready", None
        refusal = self._cache.refusal(key)
        return ("refused", refusal) if refusal is not None else ("waiting" if listed else "usable", None)

    def _entries(self, supervisor: Supervisor, reals: set[str]) -> dict[str, tuple[int, str, str | None]]:
        """For the files that the list names: by how many entries, and how the first of these stands."""
        rundown = supervisor.rundown
        playlist: Playlist | None = self._loop.call(lambda: rundown.playlist)
        first: dict[str, Entry] = {}
        counts: Counter[str] = Counter()
        for entry in playlist.entries if playlist is not None else ():
            real = str(entry.path)
            if entry.path is not None and real in reals:
                first.setdefault(real, entry)
                counts[real] += 1
        standings = self._loop.call(lambda: {real: prepared_state(entry, rundown.standing(entry)) for real, entry in first.items()})
        return {real: (counts[real], *standing) for real, standing in standings.items()}

    def _aired_of(self, channel: str, base: Path) -> dict[str, tuple[int, str]]:
        """How often each file aired and when last, by real path, as far as the folders are those of then."""
        now_s = time.monotonic()
        known = self._aired.get(channel)
        if known is None or now_s - known[0] > TOTALS_FRESH_S:
            rows = self._totals(AiringFilter(channel)).rows
            folder = os.path.realpath(base)
            paths = {
                os.path.normpath(f"{folder}/{row['path']}" if row["path"][0] != "/" else row["path"]): row for row in rows if row["path"]
            }
            known = (now_s, {path: (row["airings"], row["last_at"]) for path, row in paths.items()})
            self._aired[channel] = known
        return known[1]


def _place(listed: tuple[str, Found | None]) -> tuple[bool, str]:
    """What lies below the list's own folder comes first."""
    return listed[0].startswith("/"), listed[0]


def _folder(playlist: Path) -> Path:
    """What relative paths of a list start at."""
    return playlist if playlist.is_dir() else playlist.parent


def written_path(real: str, playlist: Path) -> str:
    """A file as a list would name it."""
    return _written(real, os.path.realpath(_folder(playlist)))


def _written(real: str, base: str) -> str:
    """A file as a list would name it: relative where it lies below the list's folder."""
    path = real[len(base) + 1 :] if real.startswith(f"{base.rstrip('/')}/") else real
    return f"./{path}" if path.startswith("#") else path
