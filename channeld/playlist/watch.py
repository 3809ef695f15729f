"""Tells when a playlist has a new revision to read.

Rule: a list is told of when it was closed after writing, renamed or linked into place, never while a writer has it open;
what inotify misses is found by a slow rescan, and told only after size and time stood still.
One Watcher serves all channels with one thread, `watch:playlists`, which owns every PlaylistWatch that was added.
"""

import contextlib
import os
import queue
import stat
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from channeld.base.worker import Worker
from channeld.playlist.folders import Folders, Sign, SignKind
from channeld.playlist.parse import is_media_name
from channeld.playlist.trail import Stamp, Trail, follow, is_being_written

QUIET_S = 1.0
RESCAN_S = 3.5
"""With the second for which a file must then stand still, what no event told of is found within 5 s."""
_GATHER_S = 0.01
_GATHER_AT_MOST_S = 0.05
_LOOKS_WHILE_MOVING = 8


class ChangeKind(Enum):
    """How a new revision came."""

    WRITTEN = "written"
    REPLACED = "replaced"
    REMOVED = "removed"
    FOUND = "found"  # by the rescan


class PlaylistWatch:
    """One playlist file or folder of a Watcher. `on_change` is called on the watcher's thread: it must be quick and not raise."""

    def __init__(self, path: Path, on_change: Callable[[ChangeKind], None], rescan_s: float = RESCAN_S) -> None:
        self.path = path
        self.trail = follow(path)
        self.due_s = time.monotonic() + rescan_s
        self._on_change = on_change
        self._rescan_s = rescan_s
        self._told = self.trail.end
        self._candidate: tuple[Stamp, float] | None = None

    def concerns(self, step: tuple[str, str]) -> bool:
        """A sign at this name may change what the playlist says."""
        return step in self.trail.steps or (self.trail.is_directory and step[0] == self.trail.real and is_media_name(step[1]))

    def look(self) -> Trail:
        """Follow the path anew."""
        self.trail = follow(self.path)
        return self.trail

    def judge(self, signs: list[Sign]) -> None:
        """Tell of a change if the signs, or what now stands at the path, make one."""
        end, real = self.trail.end, self.trail.real
        if end is None or real is None:
            self._tell_removed()
            return
        is_certain, kind = False, ChangeKind.REPLACED
        for sign in signs:
            if self._is_final(sign):
                if sign.kind is SignKind.CLOSED and not self.trail.is_directory:
                    kind = ChangeKind.WRITTEN
                self._tell(kind, end)
                return
            is_certain |= sign.kind is SignKind.PLACED or (sign.kind is SignKind.CREATED and _is_link(sign.step))
        if end != self._told:
            if is_certain or self.trail.is_directory or is_being_written(real) is False:
                self._tell(kind, end)
            else:
                self._wait_for_quiet(end, time.monotonic())

    def rescan(self, now_s: float) -> None:
        """Tell of a change that no event told of, once it stood still."""
        self.due_s = now_s + self._rescan_s
        end = self.trail.end
        if end is None:
            self._tell_removed()
        elif end == self._told:
            self._candidate = None
        elif self._candidate is not None and self._candidate[0] == end:
            if now_s - self._candidate[1] >= QUIET_S:
                self._tell(ChangeKind.FOUND, end)
            else:
                self.due_s = self._candidate[1] + QUIET_S
        else:
            self._wait_for_quiet(end, now_s)

    def _is_final(self, sign: Sign) -> bool:
        if self.trail.is_directory and sign.step[0] == self.trail.real:
            return sign.kind is not SignKind.CREATED or _is_link(sign.step)
        is_end = self.trail.real == os.path.join(*sign.step)  # noqa: PTH118
        return is_end and not self.trail.is_directory and sign.kind in (SignKind.CLOSED, SignKind.PLACED)

    def _wait_for_quiet(self, end: Stamp, now_s: float) -> None:
        self._candidate = end, now_s
        self.due_s = now_s + QUIET_S

    def _tell_removed(self) -> None:
        self._candidate = None
        if self._told is not None:
            self._told = None
            self._on_change(ChangeKind.REMOVED)

    def _tell(self, kind: ChangeKind, end: Stamp) -> None:
        self._told, self._candidate = end, None
        self._on_change(kind)


class Watcher(Worker):
    """Watches any number of playlists. Add a playlist before it is first read, so that no edit falls in between."""

    def __init__(self) -> None:
        super().__init__("watch:playlists")
        self._inbox: queue.SimpleQueue[Sign | Callable[[], None]] = queue.SimpleQueue()
        self._playlists: list[PlaylistWatch] = []
        self._folders = Folders(self._receive)
        # What watchdog's thread lets through: replaced as a whole, never changed.
        self._steps: frozenset[tuple[str, str]] = frozenset()
        self._directories: frozenset[str] = frozenset()

    def add(self, playlist: PlaylistWatch) -> None:
        """Watch a playlist; on return, every later change will be told."""

        def act() -> None:
            self._playlists.append(playlist)
            self._look([playlist])
            playlist.judge([])  # what changed since the watch was made

        self._ask(act)

    def remove(self, playlist: PlaylistWatch) -> None:
        """Watch it no more; on return, its on_change is not called again."""

        def act() -> None:
            self._playlists.remove(playlist)
            self._look([])

        self._ask(act)

    def run(self) -> None:
        self._folders.start()
        try:
            while not self.stopping.is_set():
                self._turn()
        finally:
            self._folders.close()

    def wake(self) -> None:
        self._inbox.put(lambda: None)

    def _ask(self, act: Callable[[], None]) -> None:
        done = threading.Event()

        def act_and_tell() -> None:
            act()
            done.set()

        if threading.current_thread() is self._thread:
            act()
            return
        self._inbox.put(act_and_tell)
        while self._thread.is_alive() and not done.wait(0.2):
            pass

    def _receive(self, sign: Sign) -> None:
        if sign.step in self._steps or sign.step[0] in self._directories:
            self._inbox.put(sign)

    def _turn(self) -> None:
        now_s = time.monotonic()
        due_s = min((playlist.due_s for playlist in self._playlists), default=now_s + 60)
        signs, commands = self._gather(max(0.0, due_s - now_s))
        for command in commands:
            command()
        if signs:
            self._judge(signs)
        now_s = time.monotonic()
        due = [playlist for playlist in self._playlists if playlist.due_s <= now_s]
        if due:
            self._look(due)
            for playlist in due:
                playlist.rescan(now_s)

    def _gather(self, wait_s: float) -> tuple[list[Sign], list[Callable[[], None]]]:
        """Signs and commands, from the first until none came for a moment: one save is several events."""
        signs: list[Sign] = []
        commands: list[Callable[[], None]] = []
        with contextlib.suppress(queue.Empty):
            first = self._inbox.get(timeout=wait_s)
            end_s = time.monotonic() + _GATHER_AT_MOST_S
            item: Sign | Callable[[], None] = first
            while True:
                if isinstance(item, Sign):
                    signs.append(item)
                else:
                    commands.append(item)
                    break
                item = self._inbox.get(timeout=max(0.0, min(_GATHER_S, end_s - time.monotonic())))
        return signs, commands

    def _judge(self, signs: list[Sign]) -> None:
        concerned = [
            (playlist, [sign for sign in signs if playlist.concerns(sign.step)])
            for playlist in self._playlists
            if any(playlist.concerns(sign.step) for sign in signs)
        ]
        for sign in signs:
            if sign.kind is not SignKind.CLOSED:
                self._folders.forget_below(os.path.join(*sign.step))  # noqa: PTH118
        self._look([playlist for playlist, _ in concerned])
        for playlist, theirs in concerned:
            playlist.judge(theirs)

    def _look(self, playlists: list[PlaylistWatch]) -> None:
        """Follow paths and move the watches after them, until a look finds nothing that was not watched before it."""
        for playlist in playlists:
            playlist.look()
        for _ in range(_LOOKS_WHILE_MOVING):
            before = [playlist.trail.steps for playlist in playlists]
            self._steps = frozenset().union(*(playlist.trail.steps for playlist in self._playlists))
            self._directories = frozenset(each.trail.real for each in self._playlists if each.trail.is_directory and each.trail.real)
            self._folders.watch_only(set().union(*(playlist.trail.folders for playlist in self._playlists)))
            for playlist in playlists:
                playlist.look()
            if before == [playlist.trail.steps for playlist in playlists]:
                return


def _is_link(step: tuple[str, str]) -> bool:
    """A symbolic link, or one more hard link to a file: complete from the moment it is there."""
    try:
        found = os.lstat(os.path.join(*step))  # noqa: PTH118
    except OSError:
        return False
    return stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1)
