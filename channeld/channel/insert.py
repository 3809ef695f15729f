"""What airs in the list's place: a live source or a slate, under an id that no entry of a list can have.

Rule: the list knows nothing of it, and goes on where it was. Values; pure.
"""

from dataclasses import dataclass
from pathlib import Path

from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry

LIVE, SLATE, OVERRIDE = "@live/", "@slate/", "@override/"
LIVE_CLIP = "live"
"""In place of a profile's key: no clip of the cache."""


@dataclass(frozen=True, slots=True)
class Insert:
    """One. `behind_s`: a live clip's, which has no length; see playout's ClipSource."""

    entry: Entry
    clip: PreparedClip
    behind_s: float | None = None


@dataclass(frozen=True, slots=True)
class Coming:
    """What is to air next. `switches`: at once, in place of what is on air. `falls_back`: behind it, the list."""

    inserts: tuple[Insert, ...]
    switches: bool
    falls_back: bool = False


def live_clip(folder: str, key: str) -> PreparedClip:
    """The clip that never ends of a live source."""
    return PreparedClip(key, LIVE_CLIP, Path(folder) / f"{key}.ts", Path(folder) / f"{key}.idx", 0, 0.0, 0, growing=True)


def is_insert(entry_id: str | None) -> bool:
    """No entry of a list."""
    return entry_id is not None and entry_id.startswith("@")


def is_slate(entry_id: str | None) -> bool:
    """It says that something else is missing."""
    return entry_id is not None and entry_id.startswith(SLATE)


def live_entry(name: str, shown_url: str, title: str) -> Entry:
    """A live source as an entry."""
    return Entry(f"{LIVE}{name}", shown_url, None, None, title)


def slate_entry(words: str) -> Entry:
    """A slate as an entry."""
    return Entry(f"{SLATE}{words.partition(' since ')[0].replace(' ', '-')}", f"slate: {words}", None, None, words)
