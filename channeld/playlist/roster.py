"""The newest valid revision of a list, with ids that outlive edits.

Rule: an entry keeps its id as long as a list has its content in the same occurrence; an id is never given twice.
Pure; owned by one Queue.
"""

from dataclasses import dataclass

from channeld.playlist.model import Entry
from channeld.playlist.order import Diff, Key, moved_indices, occurrence_keys


@dataclass(frozen=True, slots=True)
class Renewal:
    """What came of a new list; `removed_keys` beside `diff.removed`. `is_changed` is also true for a new title, repeat or fault."""

    diff: Diff
    removed_keys: tuple[Key, ...]
    is_changed: bool


class Roster:
    """Entries by position and by id. Entries get their own id only when asked for: an edit at the top shifts all of the rest."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.position: dict[str, int] = {}
        self._entries: list[Entry] = []
        self._keys: list[Key] = []
        self._last_number = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, entry_id: str | None) -> bool:
        return entry_id in self.position

    def entry(self, position: int) -> Entry:
        """The entry at a position, under its lasting id."""
        entry, entry_id = self._entries[position], self.ids[position]
        if entry.id != entry_id:
            entry = self._entries[position] = _renamed(entry, entry_id)
        return entry

    def key(self, entry_id: str) -> Key:
        """Content and occurrence in the newest list."""
        return self._keys[self.position[entry_id]]

    def renew(self, entries: tuple[Entry, ...], lasting: dict[Key, str]) -> Renewal:
        """Take a new list; `lasting` are keys no longer listed whose ids come back with them."""
        keys = occurrence_keys(entries)
        if keys == self._keys:
            is_changed = any(_shown(old) != _shown(new) for old, new in zip(self._entries, entries, strict=True))
            self._entries = list(entries)
            return Renewal(Diff((), (), (), len(keys)), (), is_changed)
        known = lasting | dict(zip(self._keys, self.ids, strict=True))
        listed = set(keys)
        gone = [position for position, key in enumerate(self._keys) if key not in listed]
        removed, removed_keys = tuple(map(self.entry, gone)), tuple(self._keys[position] for position in gone)
        old_position = self.position
        self._entries, self._keys = list(entries), keys
        self.ids = [known.get(key) or self._new_id() for key in keys]
        self.position = {entry_id: position for position, entry_id in enumerate(self.ids)}
        return Renewal(self._compare(old_position, removed), removed_keys, True)

    def _new_id(self) -> str:
        self._last_number += 1
        return f"e{self._last_number}"

    def _compare(self, old_position: dict[str, int], removed: tuple[Entry, ...]) -> Diff:
        kept, old_order, added = [], [], []
        for position, entry_id in enumerate(self.ids):
            before = old_position.get(entry_id)
            if before is None:
                added.append(self.entry(position))
            else:
                kept.append(position)
                old_order.append(before)
        moved = tuple(self.ids[kept[index]] for index in moved_indices(old_order))
        return Diff(tuple(added), removed, moved, len(kept))


def _shown(entry: Entry) -> tuple[str, str, int, str | None]:
    return entry.locator, entry.title, entry.repeat, entry.fault


def _renamed(entry: Entry, entry_id: str) -> Entry:
    # dataclasses.replace takes three times as long, and a reversed list renames every entry.
    return Entry(
        entry_id,
        entry.locator,
        entry.path,
        entry.url,
        entry.title,
        entry.in_s,
        entry.out_s,
        entry.duration_s,
        entry.repeat,
        entry.line,
        entry.fault,
    )
