"""How much room the daemon's disks have, told before it is gone.

Rule: a level is left only when a tenth more than its mark is free, so that a disk at the mark does not tell every look; folders of one
file system are one subject. `judge` is pure; DiskWatch is a thread of its own, `disk:watch`, as statvfs(2) may hang with its disk.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from channeld.base.worker import Worker
from channeld.channel.alarms import Alarms

LOOK_S = 5.0
ALARM = "disk"
INODES_LOW, INODES_CRITICAL = 0.02, 0.005
"""Shares of a file system's inodes; one that does not count them has none."""
_SLACK = 1.1
_GIB = 1 << 30


class Level(IntEnum):
    """How bad it is."""

    OK = 0
    LOW = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True)
class Room:
    """One file system, in bytes and inodes; `inodes` 0 where they are not counted."""

    total_bytes: int
    free_bytes: int
    inodes: int = 0
    free_inodes: int = 0
    is_read_only: bool = False

    @classmethod
    def of(cls, folder: Path) -> "Room":
        """Look. Raises OSError."""
        found = os.statvfs(folder)
        return cls(
            found.f_blocks * found.f_frsize,
            found.f_bavail * found.f_frsize,
            found.f_files,
            found.f_favail,
            bool(found.f_flag & os.ST_RDONLY),
        )


@dataclass(frozen=True, slots=True)
class Marks:
    """Less free than `low` is told, less than `critical` stops preparing. In bytes, of a file system's size."""

    low: Callable[[int], int]
    critical: Callable[[int], int]


def built_in_low(total_bytes: int) -> int:
    """5 %, at least 1 GiB, never more than a fifth."""
    return min(max(total_bytes // 20, _GIB), total_bytes // 5)


def built_in_critical(total_bytes: int) -> int:
    """1 %, at least 256 MiB, never more than a twentieth."""
    return min(max(total_bytes // 100, _GIB // 4), total_bytes // 20)


def judge(room: Room, marks: Marks, before: Level = Level.OK) -> Level:
    """The level, given the one before."""
    if room.is_read_only:
        return Level.CRITICAL

    def is_below(level: Level, mark_bytes: int, mark_inodes: float) -> bool:
        slack = _SLACK if before >= level else 1.0
        return room.free_bytes < mark_bytes * slack or (room.inodes > 0 and room.free_inodes < room.inodes * mark_inodes * slack)

    if is_below(Level.CRITICAL, marks.critical(room.total_bytes), INODES_CRITICAL):
        return Level.CRITICAL
    return Level.LOW if is_below(Level.LOW, marks.low(room.total_bytes), INODES_LOW) else Level.OK


OnRoom = Callable[[str, Level, Room | None], None]
"""Called on the watch's thread for each folder and look: its name, its level, its room (None: it cannot be looked at)."""


class DiskWatch(Worker):
    """Looks at folders by name."""

    def __init__(self, folders: Mapping[str, Path], marks: Marks, alarms: Alarms, on_room: OnRoom) -> None:
        super().__init__("disk:watch")
        self.marks = marks  # replaced as a whole when the configuration changes
        self._folders = dict(folders)
        self._alarms = alarms
        self._on_room = on_room
        self._levels: dict[str, Level] = {}

    def run(self) -> None:
        self.look()
        while not self.stopping.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Judge every folder once."""
        seen: set[str] = set()
        for names, room, problem in self._file_systems():
            subject = ", ".join(names)
            level = Level.CRITICAL if room is None else judge(room, self.marks, self._levels.get(subject, Level.OK))
            seen.add(subject)
            self._levels[subject] = level
            if level is Level.OK:
                self._alarms.clear(ALARM, subject)
            else:
                facts = {} if room is None else {"free_bytes": room.free_bytes, "total_bytes": room.total_bytes}
                self._alarms.raise_alarm(ALARM, subject, level=level.name.lower(), message=problem or self._message(room, level), **facts)
            for name in names:
                self._on_room(name, level, room)
        for subject in self._levels.keys() - seen:  # another mount than before
            del self._levels[subject]
            self._alarms.clear(ALARM, subject)

    def _file_systems(self) -> list[tuple[tuple[str, ...], Room | None, str | None]]:
        found: dict[int, tuple[list[str], Room]] = {}
        lost: list[tuple[tuple[str, ...], Room | None, str | None]] = []
        for name, folder in self._folders.items():
            try:
                device, room = folder.stat().st_dev, Room.of(folder)
            except OSError as error:
                lost.append(((name,), None, f"{folder}: {os.strerror(error.errno or errno.EIO)}. Bring the folder back"))
                continue
            found.setdefault(device, ([], room))[0].append(name)
        return [*((tuple(names), room, None) for names, room in found.values()), *lost]

    def _message(self, room: Room | None, level: Level) -> str:
        assert room is not None
        if room.is_read_only:
            return "mounted read-only. Look at the kernel's log, then mount it writable again"
        mark = (self.marks.critical if level is Level.CRITICAL else self.marks.low)(room.total_bytes)
        if room.free_bytes >= mark * _SLACK:
            return f"{room.free_inodes} of {room.inodes} inodes are free. Remove small files"
        effect = "; nothing is prepared" if level is Level.CRITICAL else ""
        return f"{_mib(room.free_bytes)} of {_mib(room.total_bytes)} are free, the mark is {_mib(mark)}{effect}. Make room"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
