"""The newest valid revision of a list, with ids that outlive edits and restarts.

Rule: an entry's id is made of its content and which occurrence of it in the list it is, so the same content in the same
occurrence has the same id for ever. Pure; owned by one Queue.
"""

from dataclasses import dataclass
from hashlib import blake2b

from channeld.playlist.model import Entry
from channeld.playlist.order import Diff, Key, lasting_id, moved_indices, occurrence_keys


@dataclass(frozen=True, slots=True)
class Renewal:
    """What came of a new list. `is_changed` is also true for a new title, repeat or fault."""

    diff: Diff
    is_changed: bool


class Roster:
    """Entries by position and by id. Entries get their own id only when asked for: an edit at the top shifts all of the rest."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.position: dict[str, int] = {}
        self.airings = 0
        """Of all entries together, each as often as it is repeated."""
        self._entries: list[Entry] = []
        self._keys: list[Key] = []
        self._digest: str | None = None

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

    def digest(self) -> str:
        """A hash of all that a revision is about: two lists that differ in it are two revisions."""
        if self._digest is None:
            shown = "".join(f"{entry_id}{_shown(entry)!r}" for entry_id, entry in zip(self.ids, self._entries, strict=True))
            self._digest = blake2b(shown.encode(), digest_size=16).hexdigest()
        return self._digest

    def renew(self, entries: tuple[Entry, ...]) -> Renewal:
        """Take a new list."""
        keys = occurrence_keys(entries)
        self.airings = sum(entry.repeat for entry in entries)
        if keys == self._keys:
            is_changed = any(_shown(old) != _shown(new) for old, new in zip(self._entries, entries, strict=True))
            self._entries = list(entries)
            self._digest = None if is_changed else self._digest
            return Renewal(Diff((), (), (), len(keys)), is_changed)
        known = dict(zip(self._keys, self.ids, strict=True))
        listed = set(keys)
        removed = tuple(self.entry(position) for position, key in enumerate(self._keys) if key not in listed)
        old_position = self.position
        self._entries, self._keys, self._digest = list(entries), keys, None
        self.ids = [known.get(key) or lasting_id(key) for key in keys]
        self.position = {entry_id: position for position, entry_id in enumerate(self.ids)}
        return Renewal(self._compare(old_position, removed), True)

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
