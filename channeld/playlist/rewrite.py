"""One edit of a list, done to its text: the file keeps its format, its comments, its line ends and everything not touched.

Rule: only the lines of the entry that is edited change; what the format cannot say is refused. Pure: bytes in, bytes out.
Whoever writes the result parses it first and asks `is_as_meant`.
"""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from channeld.base.units import parse_timecode
from channeld.playlist.model import Entry
from channeld.playlist.rewrite_lines import insert_lines, move_lines, remove_lines, retitle
from channeld.playlist.rewrite_yaml import change_item, insert_item, move_item, remove_item
from channeld.playlist.written import Fields, Unwritable

_TIMES = ("in", "out", "duration")


@dataclass(frozen=True, slots=True)
class Insert:
    """A new entry comes to stand at `index`; at the end when that is the number of entries. Indices count from 0."""

    index: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Change:
    """The entry at `index` gets these fields; None takes one away."""

    index: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Remove:
    """The entry at `index` goes."""

    index: int


@dataclass(frozen=True, slots=True)
class Move:
    """The entry at `index` stands at `to` afterwards."""

    index: int
    to: int


Edit = Insert | Change | Remove | Move


def rewrite(content: bytes, suffix: str, edit: Edit) -> bytes:
    """The list's bytes after an edit; `suffix` tells its format, indices those of its entries. Raises Unwritable."""
    _check(edit)
    bom = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    body = content.removeprefix(codecs.BOM_UTF8)
    try:
        text, encoding = body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = body.decode("latin-1"), "latin-1"
    is_yaml = suffix.lower() in (".yaml", ".yml")
    edited = _edit_yaml(text, edit) if is_yaml else _edit_lines(text, edit, has_titles=suffix.lower() != ".txt")
    try:
        return bom + edited.encode(encoding)
    except UnicodeEncodeError:
        raise Unwritable("the file is not UTF-8 and cannot hold these characters; save it as UTF-8 first") from None


def _edit_lines(text: str, edit: Edit, *, has_titles: bool) -> str:
    match edit:
        case Insert():
            return insert_lines(text, edit.index, edit.fields, has_titles=has_titles)
        case Change():
            return retitle(text, edit.index, edit.fields, has_titles=has_titles)
        case Remove():
            return remove_lines(text, edit.index, has_titles=has_titles)
        case Move():
            return move_lines(text, edit.index, edit.to, has_titles=has_titles)


def _edit_yaml(text: str, edit: Edit) -> str:
    match edit:
        case Insert():
            return insert_item(text, edit.index, edit.fields)
        case Change():
            return change_item(text, edit.index, edit.fields)
        case Remove():
            return remove_item(text, edit.index)
        case Move():
            return move_item(text, edit.index, edit.to)


def _check(edit: Edit) -> None:
    """Refuse what no format can say."""
    if not isinstance(edit, Insert | Change):
        return
    for name, value in edit.fields.items():
        if value is None:
            continue
        if any(mark in value for mark in "\r\n\0"):
            raise Unwritable(f"{name}: must be one line without NUL")
        if value != value.strip() or not value:
            raise Unwritable(f"{name}: is empty, or begins or ends with a space")


def is_as_meant(before: Sequence[Entry], after: Sequence[Entry], edit: Edit) -> bool:
    """Whether a list says after an edit what it should: that one change, and all else as it was."""
    meant = [_said(entry) for entry in before]
    found = [_said(entry) for entry in after]
    match edit:
        case Insert():
            meant.insert(edit.index, _with(("", "", None, None, None, 1), edit.fields))
        case Change():
            meant[edit.index] = _with(meant[edit.index], edit.fields)
        case Remove():
            del meant[edit.index]
        case Move():
            meant.insert(edit.to, meant.pop(edit.index))
    if isinstance(edit, Insert | Change) and len(found) == len(meant) and not _title_is_said(edit):
        # The name of the file stands for a title that nobody wrote.
        locator, _, *rest = meant[edit.index]
        meant[edit.index] = (locator, found[edit.index][1], *rest)  # type: ignore[assignment]
    return found == meant


_Said = tuple[str, str, Fraction | None, Fraction | None, Fraction | None, int]


def _said(entry: Entry) -> _Said:
    return entry.locator, entry.title, entry.in_s, entry.out_s, entry.duration_s, entry.repeat


def _title_is_said(edit: Insert | Change) -> bool:
    if isinstance(edit, Insert):
        return edit.fields.get("title") is not None
    return edit.fields.get("title", "") is not None


def _with(said: _Said, fields: Mapping[str, str | None]) -> _Said:
    locator, title, *times, repeat = said
    for place, name in enumerate(_TIMES):
        if name in fields:
            value = fields[name]
            times[place] = None if value is None else parse_timecode(value)
    in_s, out_s, duration_s = times
    if "repeat" in fields:
        repeat = int(fields["repeat"] or 1)
    return fields.get("path") or locator, fields.get("title") or title, in_s, out_s, duration_s, repeat
