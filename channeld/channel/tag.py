"""What a host is given with each airing and gives back to whoever asks: enough for a later control to know what airs.

Rule: at most MAX_BYTES; long names are cut, and the entry is found by its id, which outlives restarts. Pure.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from channeld.base.redact import redact_text
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry

MAX_BYTES = 2048
_MAX_TITLE, _MAX_LOCATOR = 120, 300
"""Characters; at four bytes each, with escapes, both stay far below MAX_BYTES."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One airing. `length_s` and `frames` are those of the whole clip."""

    entry: str
    title: str
    locator: str
    clip_key: str
    profile_key: str
    frames: int
    length_s: float

    @classmethod
    def of(cls, entry: Entry, clip: PreparedClip, length_s: float) -> "Tag":
        """Of an entry that airs as this clip."""
        names = redact_text(entry.title)[:_MAX_TITLE], redact_text(entry.locator)[:_MAX_LOCATOR]
        return cls(entry.id, *names, clip.key, clip.profile_key, clip.frames, length_s)

    @classmethod
    def read(cls, text: str) -> "Tag | None":
        """From its text; None where it is none of ours."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def text(self) -> str:
        """As the host keeps it."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    def as_entry(self) -> Entry:
        """An entry that shows the same, for one that no list has any more."""
        return Entry(self.entry, self.locator, None, None, self.title)

    def as_clip(self) -> PreparedClip:
        """The clip, as far as holding it in the cache needs it."""
        return PreparedClip(self.clip_key, self.profile_key, Path(), Path(), self.frames, self.length_s, 0)
