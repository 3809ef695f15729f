"""What an editor asks for, by the ids of entries, and what that means for a list: an edit by index.

Rule: ids are those of the revision that the editor has read. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

from channeld.base.errors import ChannelError
from channeld.playlist.rewrite import Change, Edit, Insert, Move, Remove
from channeld.playlist.written import Fields, Unwritable


class UnknownEntry(ChannelError):
    """The list has no entry of this id."""

    def __init__(self, entry: str) -> None:
        super().__init__(f"the playlist has no entry {entry!r}")
        self.entry = entry


@dataclass(frozen=True, slots=True)
class AddEntry:
    """A new entry, before or after another; at the end where none is named."""

    fields: Fields
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeEntry:
    """Other fields for an entry; None takes one away."""

    entry: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class RemoveEntry:
    """An entry goes."""

    entry: str


@dataclass(frozen=True, slots=True)
class MoveEntry:
    """An entry comes to stand before or after another, or at an index (from 0) of the list as it then is."""

    entry: str
    before: str | None = None
    after: str | None = None
    to_index: int | None = None


Order = AddEntry | ChangeEntry | RemoveEntry | MoveEntry


def as_edit(order: Order, position: Callable[[str], int | None], count: int) -> Edit:
    """The same by index, in a list of `count` entries. Raises UnknownEntry, Unwritable."""

    def find(entry: str) -> int:
        found = position(entry)
        if found is None:
            raise UnknownEntry(entry)
        return found

    match order:
        case AddEntry(fields, before, after):
            return Insert(find(before) if before is not None else find(after) + 1 if after is not None else count, fields)
        case ChangeEntry(entry, fields):
            return Change(find(entry), fields)
        case RemoveEntry(entry):
            return Remove(find(entry))
        case MoveEntry(entry, before, after, to_index):
            index = find(entry)
            if to_index is not None:
                if not 0 <= to_index < count:
                    raise Unwritable(f"to_index: the list has places 0 to {count - 1}")
                return Move(index, to_index)
            gap = find(before) if before is not None else find(after or "") + 1
            return Move(index, gap - 1 if gap > index else gap)
