"""What a playlist file says, as values.

Rule: an entry that cannot air is kept and marked with its fault, so that a list is never invalid because of a path.
Immutable; made by `parse`, given ids that outlive edits by `queue`.
"""

from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path

LIVE_SCHEMES = ("rtsp", "rtsps", "srt", "rtmp", "rtmps")
"""What is behind such a URL has no end of its own."""
Content = tuple[str, Fraction | None, Fraction | None, Fraction | None]
"""What an entry's identity is matched by: where the media is, and its trims."""


class Readiness(Enum):
    """Whether an entry could air now, as the one who prepares clips knows it."""

    READY = "ready"
    PENDING = "pending"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a playlist.

    `path` is absolute with links resolved, `url` as written; at most one is set, neither when the entry has a fault that
    left nothing to point at. `in_s`, `out_s` (exclusive) and `duration_s` are exact seconds of the clip's own time.
    `line` counts from 1. `fault` says in words why the entry is skipped on air.
    """

    id: str
    locator: str
    path: Path | None
    url: str | None
    title: str
    in_s: Fraction | None = None
    out_s: Fraction | None = None
    duration_s: Fraction | None = None
    repeat: int = 1
    line: int | None = None
    fault: str | None = None

    @property
    def is_live(self) -> bool:
        """It airs a live source, for `duration_s`."""
        return self.url is not None and self.url.partition(":")[0].lower() in LIVE_SCHEMES

    @property
    def content(self) -> Content:
        """Equal for two entries that show the same thing."""
        if self.path is not None:
            return str(self.path), self.in_s, self.out_s, self.duration_s
        return self.url or self.locator, self.in_s, self.out_s, self.duration_s


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the author of a list should hear of; `line` is None when it is about the whole file."""

    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Playlist:
    """One valid revision of a list. `source` is the file or folder it was read from, `digest` that of the file's bytes."""

    entries: tuple[Entry, ...]
    source: Path
    warnings: tuple[Notice, ...] = ()
    digest: bytes | None = field(default=None, compare=False)
