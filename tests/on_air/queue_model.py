"""What airs next, as the rules say it: a second, slow and plain reading of them that shares no code with the daemon.

Rule: immutable; every state is a value, so that all states that agree with what was seen can be kept side by side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Key = tuple[str, int]
"""A path, and which occurrence of it in its list (from 0)."""


@dataclass(frozen=True, slots=True)
class QueueModel:
    """The newest list; `playing` is what airs, `place` where the search for what follows begins."""

    keys: tuple[Key, ...] = ()
    playing: Key | None = None
    place: int = 0

    def apply(self, paths: Sequence[str]) -> "QueueModel":
        """A new list: after the playing entry; if it is gone, at its first surviving successor; else at the start."""
        keys = tuple((path, list(paths[:at]).count(path)) for at, path in enumerate(paths))
        if self.playing is None:
            return replace(self, keys=keys, place=0)
        if self.playing in keys:
            return replace(self, keys=keys, place=keys.index(self.playing) + 1)
        survivor = next((key for key in self.keys[self.place :] if key in keys), None)
        return replace(self, keys=keys, place=len(keys) if survivor is None else keys.index(survivor))

    def next(self, is_ready: Callable[[str], bool]) -> Key | None:
        """What airs at the coming boundary: the first ready one from the place on, round the list."""
        turn = (*self.keys[self.place :], *self.keys[: self.place])
        return next((key for key in turn if is_ready(key[0])), None)

    def start(self, key: Key) -> "QueueModel":
        """It airs."""
        return replace(self, playing=key, place=self.keys.index(key) + 1)
