"""Reads a playlist only when nobody is writing it: in between, an edited file is empty or half there, and yet a valid list.

Rule: what is given stood in the file as a whole; whoever was at it meanwhile will be told of by the watch. Any thread.
"""

import os
from pathlib import Path

from channeld.base.errors import PlaylistError
from channeld.playlist.parse import read_bounded
from channeld.playlist.trail import is_being_written


def read_settled(path: Path) -> bytes | None:
    """The bytes of a playlist file; None when a program is writing it. Raises PlaylistError."""
    try:
        return _read_settled(path)
    except OSError as error:
        raise PlaylistError(f"cannot be read: {error.strerror or error}", path=path) from error


def _read_settled(path: Path) -> bytes | None:
    before = path.stat()
    if is_being_written(str(path)):
        return None
    content = read_bounded(path)
    # Both are needed: a whole write may fit in between, and within one tick of the clock that stamps files (4 ms) two
    # writes leave one time; but then what was read in the middle is shorter than what stands there now.
    if is_being_written(str(path)) or _stamp(path.stat()) != _stamp(before) or len(content) != before.st_size:
        return None
    return content


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
