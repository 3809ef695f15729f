"""A YAML playlist, read from the parser's events.

Rule: no YAML object is ever constructed, so tags, aliases and depth cannot cost more than the text itself; every error
has its line. Values keep their written form: `in: 1:30` stays a time and does not become the number 90.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from channeld.base.errors import PlaylistError
from channeld.base.units import parse_timecode

MAX_YAML_BYTES = 4 << 20
MAX_REPEAT = 1_000_000
KEYS = ("path", "title", "in", "out", "duration", "repeat")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class YamlItem:
    """One item of the list. Times are exact seconds of the clip's own time; `line` counts from 1."""

    locator: str
    line: int
    title: str = ""
    in_s: Fraction | None = None
    out_s: Fraction | None = None
    duration_s: Fraction | None = None
    repeat: int = 1


def read_yaml_items(text: str, source: Path, *, max_entries: int, max_characters: int) -> list[YamlItem]:
    """Read a list of paths or of mappings. Raises PlaylistError with the line; an empty document is an empty list."""
    reader = _Reader(source, max_characters)
    items: list[YamlItem] = []
    try:
        for item in reader.read(yaml.parse(text, Loader=_LOADER)):
            items.append(item)
            if len(items) > max_entries:
                raise PlaylistError(f"more than {max_entries} entries", path=source, line=item.line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise PlaylistError(f"not valid YAML: {error.problem}", path=source, line=line) from error
    except yaml.YAMLError as error:
        raise PlaylistError(f"not valid YAML: {error}", path=source) from error
    return items


class _Reader:
    """Walks the events of one document: a sequence of scalars and of flat mappings, nothing else."""

    def __init__(self, source: Path, max_characters: int) -> None:
        self._source = source
        self._max_characters = max_characters

    def read(self, events: Iterator[Any]) -> Iterator[YamlItem]:
        has_document = False
        for event in events:
            if isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if has_document:
                    raise self._error("a second document; a playlist is one list", event)
                has_document = True
            elif isinstance(event, yaml.SequenceStartEvent):
                self._check_plain(event)
                yield from self._read_sequence(events)
            elif not (isinstance(event, yaml.ScalarEvent) and event.value in ("", "~", "null")):
                raise self._error("the document is not a list (write `- path` lines)", event)

    def _read_sequence(self, events: Iterator[Any]) -> Iterator[YamlItem]:
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            self._check_plain(event)
            if isinstance(event, yaml.ScalarEvent):
                yield YamlItem(self._check_path(event.value, event), _line(event))
            elif isinstance(event, yaml.MappingStartEvent):
                yield self._read_mapping(event, events)
            else:
                raise self._error("a list inside the list; an item is a path or a mapping", event)

    def _read_mapping(self, start: Any, events: Iterator[Any]) -> YamlItem:
        values: dict[str, Any] = {}
        for key in events:
            if isinstance(key, yaml.MappingEndEvent):
                break
            self._check_scalar(key, "a key")
            value = next(events)
            if key.value not in KEYS:
                near = difflib.get_close_matches(key.value[:64], KEYS, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(KEYS)})"
                raise self._error(f"unknown key {key.value[:64]!r}{hint}", key)
            if key.value in values:
                raise self._error(f"key {key.value!r} is written twice", key)
            self._check_scalar(value, f"the value of {key.value!r}")
            values[key.value] = value
        if "path" not in values:
            raise self._error("an item without 'path'", start)
        return self._make_item(start, values)

    def _make_item(self, start: Any, values: dict[str, Any]) -> YamlItem:
        in_s, out_s, duration_s = (self._read_time(values, key) for key in ("in", "out", "duration"))
        if out_s is not None and out_s <= (in_s or 0):
            raise self._error("'out' is not after 'in'", values["out"])
        if duration_s is not None and out_s is not None:
            raise self._error("both 'out' and 'duration': write one of them", values["duration"])
        if duration_s == 0:
            raise self._error("'duration' is zero", values["duration"])
        title = values["title"].value.strip() if not _is_null(values.get("title")) else ""
        path = self._check_path(values["path"].value, values["path"])
        return YamlItem(path, _line(start), title, in_s, out_s, duration_s, self._read_repeat(values.get("repeat")))

    def _read_time(self, values: dict[str, Any], key: str) -> Fraction | None:
        event = values.get(key)
        if event is None or _is_null(event):
            return None
        try:
            return parse_timecode(event.value)
        except ValueError as error:
            raise self._error(f"{key!r}: {error}", event) from None

    def _read_repeat(self, event: Any) -> int:
        if event is None:
            return 1
        written = event.value
        if not (written.isascii() and written.isdigit() and len(written) <= 7 and 1 <= int(written) <= MAX_REPEAT):
            raise self._error(f"'repeat' is not a whole number from 1 to {MAX_REPEAT}: {written[:64]!r}", event)
        return int(written)

    def _check_path(self, written: str, event: Any) -> str:
        path = written.strip()
        if not path:
            raise self._error("an empty path", event)
        if len(path) > self._max_characters or "\n" in path:
            raise self._error(f"a path of more than {self._max_characters} characters, or of several lines", event)
        return path

    def _check_scalar(self, event: Any, what: str) -> None:
        self._check_plain(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(f"{what} is not plain text", event)

    def _check_plain(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._error("anchors and aliases are not allowed", event)
        if event.tag is not None:
            raise self._error(f"tags are not allowed: {event.tag[:64]!r}", event)

    def _error(self, message: str, event: Any) -> PlaylistError:
        return PlaylistError(message, path=self._source, line=_line(event))


def _is_null(event: Any) -> bool:
    """A value that says nothing: none at all, or one that YAML reads so."""
    return event is None or (event.value in ("", "~", "null") and event.implicit[0])


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
