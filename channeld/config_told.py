"""The configuration as people are shown it: every key with its value in force and the line where it stands.

Rule: nothing secret leaves here. A value is shown as it was written, so that `${VARIABLE}` stays a name; URLs lose what could be secret,
and keys that hold secrets are masked whole. Pure; used while a configuration is made.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel

from channeld.base.redact import MASK, redact_text
from channeld.config_model import ConfigModel
from channeld.config_values import ByteLimit, Setting
from channeld.config_yaml import KeyPath, Tree, key_text

_SECRET_WORDS = ("secret", "password", "passphrase", "token", "streamid")
_MEDIA_SCHEMES = ("http", "https", "rtsp", "rtmp", "rtmps", "srt")
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s'\"<>|,]+", re.IGNORECASE)
_TELLING = ("webhooks", "alerts")
"""Whoever knows one of these addresses may write to it: their paths are keys."""


def told_settings(model: ConfigModel, tree: Tree) -> tuple[Setting, ...]:
    """Every key that counts, in the order of the documentation; defaults have no line."""
    return tuple(_setting(path, value, tree) for path, value in _leaves(model, ()))


def keep_told(running: tuple[Setting, ...], wanted: tuple[Setting, ...], kept: tuple[str, ...]) -> tuple[Setting, ...]:
    """The newest settings, but those keys as they were that keep their old values until the next start."""

    def is_kept(setting: Setting) -> bool:
        return any(setting.key == key or setting.key.startswith((f"{key}.", f"{key}[")) for key in kept)

    old = [setting for setting in running if is_kept(setting)]
    places = [number for number, setting in enumerate(wanted) if is_kept(setting)]
    if not places:
        return (*wanted, *old)
    first = places[0]
    return (*wanted[:first], *old, *(setting for setting in wanted[first:] if not is_kept(setting)))


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Keys with no keys below them. A list of plain values is one; so is an empty one."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _leaves(getattr(value, name), (*path, name))
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list) and any(isinstance(item, BaseModel) for item in value):
        for number, item in enumerate(value):
            present = ((name, getattr(item, name)) for name in type(item).model_fields)
            for name, inner in present:
                if inner is not None:
                    yield from _leaves(inner, (*path, number, name))
    else:
        yield path, value


def _setting(path: KeyPath, value: Any, tree: Tree) -> Setting:
    at = path if path in tree.places else _short_form(path, tree)
    place = tree.places[at] if at is not None else None
    written = _written(at, tree) if at is not None else None
    text = _text(value) if written is None else written
    if text is not None:
        text = MASK if any(word in str(path[-1]) for word in _SECRET_WORDS) else _redacted(text, path)
    return Setting(key_text(path), text, place.line if place is not None else None)


def _short_form(path: KeyPath, tree: Tree) -> KeyPath | None:
    """`- rtmp: URL` says `rtmp.url`: the place of the text that stands for the key; None where it is not written."""
    above = path[:-1]
    return above if path[-1] == "url" and above in tree.places and isinstance(_value(above, tree), str) else None


def _redacted(text: str, path: KeyPath) -> str:
    """Of a service that messages go to, no more than which one it is."""

    def mask(match: re.Match[str]) -> str:
        return redact_text(match[0]) if match[1].lower() in _MEDIA_SCHEMES and path[0] not in _TELLING else f"{match[1]}://{MASK}"

    return _URL.sub(mask, text)


def _value(path: KeyPath, tree: Tree) -> Any:
    here = tree.values
    for part in path:
        here = here[part]
    return here


def _written(path: KeyPath, tree: Tree) -> str | None:
    here = _value(path, tree)
    if isinstance(here, list):
        return ", ".join(str(item) for item in here)
    return None if here is None or isinstance(here, dict) else str(here)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, ByteLimit):
        return f"{value.percent:g}%" if value.percent is not None else str(value.size_bytes)
    if isinstance(value, list | tuple | dict):
        return ", ".join(str(item) for item in value)
    return str(value)
