"""Which files lie below the media roots: a bounded walk.

Rule: only regular files whose real path lies below a root, each once; hidden names, playlists, folders behind links and names that no
playlist can hold are left out. Blocking, as long as a disk takes; run on a thread that may wait.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 100_000
MAX_FOLDERS = 20_000
MAX_DEPTH = 32

NO_MEDIA = (
    *(".txt", ".m3u", ".m3u8", ".yaml", ".yml", ".nfo", ".srt", ".vtt", ".ass", ".ssa", ".sub", ".idx", ".xml", ".json", ".md", ".log"),
    *(".part", ".tmp", ".crdownload", ".torrent", ".db", ".ini", ".html", ".pdf", ".zip", ".py", ".sh"),
)
"""Playlists, and what lies beside films and never airs."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file by its real path. `mtime_ns`: nanoseconds of the wall clock."""

    real: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Walk:
    """What was found; `is_cut`: a bound ended the walk, there is more."""

    files: tuple[Found, ...]
    is_cut: bool = False


def walk(roots: Sequence[Path], should_stop: Callable[[], bool] = lambda: False, *, without: Sequence[Path] = ()) -> Walk:
    """All media files below the roots, but those below `without`. A folder that cannot be read counts as empty."""
    real_roots = tuple(dict.fromkeys(os.path.realpath(root) for root in roots))
    found: dict[str, Found] = {}
    folders = 0
    waiting = [(root, 0) for root in real_roots]
    seen = {*real_roots, *(os.path.realpath(folder) for folder in without)}
    while waiting and not should_stop():
        folder, depth = waiting.pop()
        folders += 1
        if folders > MAX_FOLDERS or len(found) > MAX_FILES:
            return Walk(tuple(found.values())[:MAX_FILES], is_cut=True)
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH and entry.path not in seen:
                    seen.add(entry.path)
                    waiting.append((entry.path, depth + 1))
            elif (file := _file(entry, real_roots)) is not None:
                found[file.real] = file
    return Walk(tuple(found.values()))


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as names:
            yield from (each for each in names if not each.name.startswith(".") and each.name.isprintable())
    except OSError:
        return


def _file(entry: os.DirEntry[str], real_roots: tuple[str, ...]) -> Found | None:
    if entry.name.lower().endswith(NO_MEDIA):
        return None
    try:
        real = entry.path
        if entry.is_symlink():
            real = os.path.realpath(real)
            if not any(real.startswith(root.rstrip("/") + "/") for root in real_roots) or not real.isprintable():
                return None
        status = os.stat(real, follow_symlinks=False)  # noqa: PTH116  # one stat, no Path overhead
    except OSError:
        return None
    return Found(real, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
