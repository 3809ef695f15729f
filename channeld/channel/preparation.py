"""What a channel needs to know of the clips being prepared for it; the daemon gives the one that is real.

Rule: nothing here waits. States come from memory; changes are told to the control loop.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from channeld.media.clip import PreparedClip
from channeld.media.profile import Profile
from channeld.media.reference import Reference
from channeld.playlist.model import Content, Entry, Readiness


@dataclass(frozen=True, slots=True)
class Prepared:
    """How far an entry is: ready with its clip, pending, or refused for a reason. `length_s` as soon as it is known.

    `share`: how much of the clip is prepared, 0 to 1; None while it is pending. `is_looked_up`: that is what the cache
    says, not just that nobody has asked it yet. `behind_s`: of a live source; its clip has no length, the entry has.
    """

    readiness: Readiness
    clip: PreparedClip | None = None
    reason: str | None = None
    length_s: float | None = None
    is_looked_up: bool = True
    is_preparing: bool = False
    share: float | None = None
    behind_s: float | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """Of what a channel wants, in seconds of air: ready, needed, and how long the rest will take (None: unknown).

    `fits_cache`: what all channels want fits the cache together.
    """

    ready_s: float
    needed_s: float
    eta_s: float | None
    fits_cache: bool = True


@dataclass(frozen=True, slots=True)
class Want:
    """An entry that will air, and in how many seconds."""

    entry: Entry
    due_s: float


class Preparer(Protocol):
    """Prepares clips for channels. All calls come from the control loop's thread and return at once."""

    def ensure_filler(self, profile: Profile, file: Path | None, done: Callable[[PreparedClip | str], None]) -> None:
        """Have a filler prepared; `done` gets the clip, or why there is none, on the control loop."""
        ...

    def ensure_slate(self, profile: Profile, title: str, done: Callable[[PreparedClip | str], None]) -> None:
        """Have a card with these words prepared; `done` as with a filler."""
        ...

    def ensure_reference(self, profile: Profile, done: Callable[[Reference | str], None]) -> None:
        """What all streams of a profile share to the byte; `done` as with a filler."""
        ...

    def look_up(self, channel: str, profile: Profile, entry: Entry) -> Prepared:
        """How far an entry is."""
        ...

    def want(self, channel: str, profile: Profile, wants: Sequence[Want]) -> None:
        """Replace what a channel wants prepared, soonest first."""
        ...

    def look_again(self, channel: str) -> None:
        """See whether the files that a channel airs soon have changed, or came."""
        ...

    def hold(self, channel: str, clips: Sequence[PreparedClip]) -> None:
        """Replace the clips of a channel that must not be evicted."""
        ...

    def discard(self, channel: str, profile: Profile, entry: Entry) -> None:
        """A prepared clip turned out to be damaged: have it made anew."""
        ...

    def stock(self, channel: str) -> Stock:
        """How much of what a channel wants is ready."""
        ...

    def refusals(self, channel: str) -> Mapping[Content, str]:
        """What of a channel's wants cannot be prepared, and why."""
        ...
