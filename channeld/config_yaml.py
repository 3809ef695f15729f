"""YAML text in, plain values with the place of each one out.

Rule: a configuration is a tree of mappings, lists and strings. Aliases, anchors and tags are refused, so that a small file
cannot grow in memory; size and depth are capped; scalars stay text, and the models give them their types.
Sans-I/O; run by whoever loads a configuration.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from channeld.base.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16

KeyPath = tuple[str | int, ...]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL_TAG = "tag:yaml.org,2002:null"
_EXPLICIT = (yaml.ScalarEvent, yaml.SequenceStartEvent, yaml.MappingStartEvent)


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the text; line and column count from 1."""

    line: int
    column: int


class PlacedError(ConfigError):
    """One fault of a configuration: where it stands, what is wrong, what to do."""

    def __init__(self, message: str, *, path: Path | None = None, place: Place | None = None, key: str | None = None) -> None:
        super().__init__(message, path=path, line=place.line if place else None, key=key)
        self.message, self.column = message, place.column if place else None

    def __str__(self) -> str:
        parts = [str(part) for part in (self.path, self.line, self.column) if part is not None]
        return ": ".join(part for part in (":".join(parts), self.key, self.message) if part)


@dataclass(slots=True)
class Tree:
    """The values of a document, the place of every key and value, and the faults found while reading."""

    values: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    errors: list[PlacedError] = field(default_factory=list)

    def value_place(self, path: KeyPath) -> Place | None:
        """Where the value of a key stands; for a key that is not written, its nearest written parent's."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return None

    def key_place(self, path: KeyPath) -> Place | None:
        """Where a key itself stands; in a list, its item."""
        return self.keys.get(path) or self.value_place(path)


def key_text(path: KeyPath) -> str:
    """A key path as people write it: `channels.live1.outputs[0].rtmp`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse(raw: bytes, path: Path | None = None) -> Tree:
    """Read one YAML document. Never raises: what is wrong stands in `errors`, and `values` holds what could be read."""
    if len(raw) > MAX_BYTES:
        return Tree(errors=[PlacedError(f"the file has {len(raw)} bytes; at most {MAX_BYTES} are read. Shorten it", path=path)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start))
        return Tree(errors=[PlacedError("the text is not UTF-8. Save the file as UTF-8", path=path, place=place)])
    try:
        refused = _refused_features(text, path)
        node = None if refused else yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        return Tree(errors=[_syntax_error(error, text, path)])
    tree = Tree(errors=refused)
    if node is not None:
        tree.places[()] = _place(node.start_mark)
        tree.values = _build(node, (), tree, path)
    return tree


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _refused_features(text: str, path: Path | None) -> list[PlacedError]:
    """Look at the stream of events, which needs no recursion, before any tree is built from it."""
    errors: list[PlacedError] = []
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        place = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            errors.append(PlacedError(f"the alias *{event.anchor} is not allowed. Write the value out", path=path, place=place))
        elif isinstance(event, _EXPLICIT):
            if event.anchor is not None:
                errors.append(PlacedError(f"the anchor &{event.anchor} is not allowed. Remove it", path=path, place=place))
            if event.tag is not None:
                errors.append(PlacedError(f"the tag {event.tag} is not allowed. Remove it", path=path, place=place))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            return [*errors, PlacedError(f"nested deeper than {MAX_DEPTH} levels. Flatten it", path=path, place=place)]
    return errors


def _syntax_error(error: yaml.YAMLError, text: str, path: Path | None) -> PlacedError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    place = _place(mark) if mark is not None else None
    if place is None and isinstance(position := getattr(error, "position", None), int):
        place = Place(text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))
    advice = "Put values with special characters in quotes, and indent with spaces"
    if "tab character" in problem or "cannot start any token" in problem:
        advice = "Indent with spaces, not tabs, and put values that start with a special character in quotes"
    return PlacedError(f"not valid YAML: {problem}. {advice}", path=path, place=place)


def _build(node: Any, path: KeyPath, tree: Tree, file: Path | None) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == _NULL_TAG else node.value
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            tree.places[(*path, number)] = _place(item.start_mark)
        return [_build(item, (*path, number), tree, file) for number, item in enumerate(node.value)]
    return _build_mapping(node, path, tree, file)


def _build_mapping(node: Any, path: KeyPath, tree: Tree, file: Path | None) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = _place(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            tree.errors.append(
                PlacedError("a key must be plain text. Write `key: value`", path=file, place=place, key=key_text(path) or None)
            )
            continue
        here = (*path, key_node.value)
        if key_node.value in mapping:
            first = tree.keys[here].line
            message = f"the key stands twice, first in line {first}. Remove one of them"
            tree.errors.append(PlacedError(message, path=file, place=place, key=key_text(here)))
            continue
        tree.keys[here], tree.places[here] = place, _place(value_node.start_mark)
        mapping[key_node.value] = _build(value_node, here, tree, file)
    return mapping
