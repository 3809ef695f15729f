"""Edits to the text of YAML lists.

Rule: the text is cut where the parser says that items, keys and values begin and end, and never written anew from values, so
that comments, quotes and styles of all else stay byte for byte. Used by `rewrite`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from channeld.playlist.written import Fields, Unwritable, newline_of
from channeld.playlist.yaml_list import KEYS

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = re.compile(r"(?:[^\W\d_]|/|\.\.?/)(?:[\w./+()'-]| (?=[\w./+(]))*")
_NUMBER = re.compile(r"[0-9][0-9:.]*")
_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")


class _Span(NamedTuple):
    """A piece of the text, in characters; `end` exclusive."""

    start: int
    end: int


_NOWHERE = _Span(0, 0)


@dataclass(frozen=True, slots=True)
class _List:
    """The list in a text: its items, each to the end of its last value. `hole` is what an empty document has in its place."""

    text: str
    items: tuple[_Span, ...] = ()
    is_flow: bool = False
    span: _Span = _NOWHERE
    hole: _Span | None = None


@dataclass(frozen=True, slots=True)
class _Pair:
    """A key of a mapping and its value."""

    name: str
    key: _Span
    value: _Span


@dataclass(frozen=True, slots=True)
class _Item:
    """One entry: a scalar with its `text`, or a mapping with its pairs."""

    span: _Span
    text: str
    pairs: tuple[_Pair, ...] | None = None
    is_flow: bool = False


def _scan(text: str) -> _List:
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    items: list[_Span] = []
    try:
        for event in events:
            if isinstance(event, yaml.SequenceStartEvent):
                for inner in events:
                    if isinstance(inner, yaml.SequenceEndEvent):
                        return _List(text, tuple(items), bool(event.flow_style), _between(event, inner))
                    items.append(_item_span(inner, events))
            if isinstance(event, yaml.ScalarEvent):
                return _List(text, hole=_between(event, event))
    except yaml.YAMLError as error:
        raise Unwritable(f"the list on disk is not valid YAML: {error}") from error
    return _List(text, hole=_Span(len(text), len(text)))


def _item_span(event: Any, events: Iterator[Any]) -> _Span:
    if not isinstance(event, yaml.MappingStartEvent):
        return _between(event, event)
    last: Any = event
    for key in events:
        if isinstance(key, yaml.MappingEndEvent):
            # A block mapping has no end of its own: its end event stands where the next thing begins.
            return _between(event, key if event.flow_style else last)
        last = next(events)
    raise Unwritable("the list on disk is not valid YAML: a mapping has no end")


def _only_item(piece: str) -> _Item:
    """The one entry of a piece of a list."""
    try:
        found: list[Any] = list(yaml.parse(piece, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise Unwritable(f"not valid YAML: {error}") from error
    event, events = found[3], found[4:]  # behind the starts of stream, document and list
    if not isinstance(event, yaml.MappingStartEvent):
        return _Item(_between(event, event), event.value if isinstance(event, yaml.ScalarEvent) else "")
    end = next(place for place, each in enumerate(events) if isinstance(each, yaml.MappingEndEvent))
    keys, values = events[:end:2], events[1:end:2]
    pairs = tuple(_Pair(key.value, _between(key, key), _between(value, value)) for key, value in zip(keys, values, strict=True))
    return _Item(_scan(piece).items[0], "", pairs, bool(event.flow_style))


def _between(first: Any, last: Any) -> _Span:
    return _Span(first.start_mark.index, last.end_mark.index)


# -- the four edits ---------------------------------------------------------------------------------------------


def insert_item(text: str, index: int, fields: Fields) -> str:
    """A new entry at an index."""
    found = _scan(text)
    if found.is_flow:
        return _insert_in_flow(found, index, _in_flow(fields))
    end = newline_of(text)
    if not found.items:
        return _fill(found, f"- {_in_block(fields, '  ', end)}", end)
    indent = _indent(found, min(index, len(found.items) - 1))
    fresh = f"{indent}- {_in_block(fields, f'{indent}  ', end)}{end}"
    return _put(text, _place(found, index), fresh, end)


def remove_item(text: str, index: int) -> str:
    """The list without an entry."""
    found = _scan(text)
    cut = _cut_in_flow(found, index) if found.is_flow else _chunk(found, index)
    return text[: cut.start] + text[cut.end :]


def move_item(text: str, index: int, to: int) -> str:
    """An entry at another place, written as it was."""
    found, end = _scan(text), newline_of(text)
    if to == index:
        return text
    if found.is_flow:
        item = found.items[index]
        return _insert_in_flow(_scan(remove_item(text, index)), to, text[item.start : item.end])
    chunk, place = _chunk(found, index), _place(found, to if to < index else to + 1)
    moved = text[chunk.start : chunk.end]
    moved = moved if moved.endswith("\n") else moved + end
    if place <= chunk.start:
        return _put(text[: chunk.start] + text[chunk.end :], place, moved, end)
    return _put(text[: chunk.start] + text[chunk.end : place], place - (chunk.end - chunk.start), moved, end) + text[place:]


def change_item(text: str, index: int, fields: Fields) -> str:
    """An entry with other fields, each written into or cut out of what is there."""
    found = _scan(text)
    span = found.items[index] if found.is_flow else _chunk(found, index)
    piece, end = text[span.start : span.end], newline_of(text)
    piece = f"[{piece}]" if found.is_flow else piece
    try:
        for name in sorted(fields, key=lambda name: (fields[name] is not None, KEYS.index(name))):
            piece = _change_one(piece, name, fields[name], end)
        _scan(piece)
    except Unwritable:
        raise Unwritable("the entry is written in a style that cannot be edited in place; write it as `- path: …`") from None
    return text[: span.start] + (piece[1:-1] if found.is_flow else piece) + text[span.end :]


def _change_one(piece: str, name: str, value: str | None, end: str) -> str:
    """One field of the only entry of a piece of the list."""
    item = _only_item(piece)
    pairs = item.pairs or ()
    at = next((place for place, pair in enumerate(pairs) if pair.name == name), None)
    if value is None:
        return piece if at is None else _cut_pair(piece, item, at)
    if item.pairs is None:
        return _as_mapping(piece, item, name, value, end)
    if at is not None:
        old = pairs[at].value
        written = piece[old.start : old.end]
        fresh = f" {_scalar(name, value)}" if not written else _scalar(name, value) + (end if written.endswith("\n") else "")
        return piece[: old.start] + fresh + piece[old.end :]
    last = pairs[-1].value.end
    if item.is_flow:
        if piece[item.span.start] != "{":  # `[path: a]`, a mapping of one pair
            return f"{piece[: item.span.start]}{{{piece[item.span.start : last]}, {name}: {_scalar(name, value)}}}{piece[last:]}"
        return f"{piece[:last]}, {name}: {_scalar(name, value)}{piece[last:]}"
    pad = _pad(piece, pairs[-1].key.start)
    place = _line_end(piece, last)
    return _put(piece, place, f"{pad}{name}: {_scalar(name, value)}{end}", end)


def _as_mapping(text: str, item: _Item, name: str, value: str, end: str) -> str:
    span = item.span
    written = text[span.start : span.end]
    path = _scalar("path", item.text.strip())
    if text.startswith("["):
        fresh = f"{{path: {path}, {name}: {_scalar(name, value)}}}"
    else:
        is_simple = "\n" not in written and written == written.strip()
        fresh = f"path: {written if is_simple else path}{end}{_pad(text, span.start)}{name}: {_scalar(name, value)}"
        fresh += end if written.endswith("\n") else ""
    return text[: span.start] + fresh + text[span.end :]


def _cut_pair(piece: str, item: _Item, at: int) -> str:
    pairs = item.pairs or ()
    start, end = pairs[at].key.start, pairs[at].value.end
    if item.is_flow:
        if at + 1 < len(pairs):
            end = pairs[at + 1].key.start
        elif at:
            start = pairs[at - 1].value.end
    elif at:
        start, end = _line_start(piece, start), _line_end(piece, end)
    elif len(pairs) > 1:
        end = pairs[1].key.start
    return piece[:start] + piece[end:]


# -- places in a block list -------------------------------------------------------------------------------------


def _chunk(found: _List, index: int) -> _Span:
    """The lines of an item, with its dash and the comment behind it."""
    item = found.items[index]
    start = _line_start(found.text, _dash(found, index))
    return _Span(start, _line_end(found.text, item.end))


def _dash(found: _List, index: int) -> int:
    before = found.items[index - 1].end if index else found.span.start
    dash = _skip_to(found.text, "-", before, found.items[index].start)
    if dash is None or found.text[_line_start(found.text, dash) : dash].strip(" \t"):
        raise Unwritable("the entry does not stand on lines of its own; write the list anew")
    return dash


def _indent(found: _List, index: int) -> str:
    dash = _dash(found, index)
    return found.text[_line_start(found.text, dash) : dash]


def _place(found: _List, index: int) -> int:
    """Where an entry of this index is to begin."""
    return _chunk(found, index).start if index < len(found.items) else _chunk(found, len(found.items) - 1).end


def _put(text: str, place: int, fresh: str, end: str) -> str:
    before = text[:place]
    if before and not before.endswith("\n"):
        before += end
    return before + fresh + text[place:]


def _fill(found: _List, fresh: str, end: str) -> str:
    text, hole = found.text, found.hole or _Span(len(found.text), len(found.text))
    before, after = text[: hole.start], text[hole.end :]
    if before and not before.endswith("\n"):
        before = before.rstrip(" ") + end
    is_null = hole.end > hole.start  # written out, with more on its line perhaps
    return f"{before}{fresh}{after or end}" if is_null else f"{before}{fresh}{end}{after}"


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _line_end(text: str, place: int) -> int:
    """Behind the end of the line that holds the character before a place."""
    if place and text[place - 1] == "\n":
        return place
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def _pad(text: str, place: int) -> str:
    return " " * (place - _line_start(text, place))


def _skip_to(text: str, mark: str, start: int, end: int) -> int | None:
    """Where a mark stands that only space and comments precede."""
    place = start
    while place < end:
        if text[place] == mark:
            return place
        place = _line_end(text, place + 1) if text[place] == "#" else place + 1
    return None


# -- places in a flow list --------------------------------------------------------------------------------------


def _comma(found: _List, index: int) -> int | None:
    is_last = index + 1 == len(found.items)
    end = found.span.end if is_last else found.items[index + 1].start
    return _skip_to(found.text, ",", found.items[index].end, end)


def _stands_alone(text: str, place: int) -> bool:
    return not text[_line_start(text, place) : place].strip(" \t")


def _cut_in_flow(found: _List, index: int) -> _Span:
    text, span, comma = found.text, found.items[index], _comma(found, index)
    if comma is None:
        before = found.items[index - 1].end if index else span.start
        # A comma before the end is no fault: it stays where a comment stands behind it.
        return _Span(span.start if "#" in text[before : span.start] else before, span.end)
    end = comma + 1
    while end < len(text) and text[end] in " \t":
        end += 1
    is_line = _stands_alone(text, span.start) and text[end : end + 2].startswith(("\n", "\r\n"))
    return _Span(_line_start(text, span.start), _line_end(text, end)) if is_line else _Span(span.start, end)


def _insert_in_flow(found: _List, index: int, fresh: str) -> str:
    text, end = found.text, newline_of(found.text)
    if not found.items:
        place = found.span.start + 1
        return text[:place] + fresh + text[place:]
    near = found.items[min(index, len(found.items) - 1)].start
    line = text[_line_start(text, near) : near]
    gap = f"{end}{line}" if _stands_alone(text, near) and "\n" in text[:near] else " "
    if index < len(found.items):
        return f"{text[:near]}{fresh},{gap}{text[near:]}"
    comma = _comma(found, len(found.items) - 1)
    place = found.items[-1].end if comma is None else comma + 1
    return f"{text[:place]},{gap}{fresh}{text[place:]}" if comma is None else f"{text[:place]}{gap}{fresh},{text[place:]}"


# -- values -----------------------------------------------------------------------------------------------------


def _in_block(fields: Fields, indent: str, end: str) -> str:
    said = _said(fields)
    return said[0][1] if len(said) == 1 else f"{end}{indent}".join(f"{name}: {value}" for name, value in said)


def _in_flow(fields: Fields) -> str:
    said = _said(fields)
    return said[0][1] if len(said) == 1 else "{" + ", ".join(f"{name}: {value}" for name, value in said) + "}"


def _said(fields: Fields) -> list[tuple[str, str]]:
    return [(name, _scalar(name, value)) for name in KEYS if (value := fields.get(name)) is not None]


def _scalar(name: str, value: str) -> str:
    """A value as YAML: plain where that is safe in any style, else in double quotes."""
    if name in ("in", "out", "duration", "repeat") and _NUMBER.fullmatch(value):
        return value
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS and "://" not in value:
        return value
    return '"' + "".join(_escaped(mark) for mark in value) + '"'


def _escaped(mark: str) -> str:
    if mark in '"\\':
        return f"\\{mark}"
    # What YAML calls printable and is no line break to it (YAML 1.1, 5.1 and 5.4).
    if mark.isprintable() and mark != "\ufeff":
        return mark
    return f"\\U{ord(mark):08x}"
