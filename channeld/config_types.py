"""The types of a configuration's values: names, addresses, sizes, and what a section is.

Rule: what concerns one value is checked here, whatever key it stands under. Used by `config_model`.
"""

import difflib
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

from channeld.base.event_kinds import EVENT_KINDS
from channeld.base.units import FrameRate, parse_frame_rate
from channeld.config_values import (
    ByteLimit,
    ListenSpec,
    parse_byte_limit,
    parse_listen,
)

BUILT_IN_PROFILE = "720p30"


class Preset(StrEnum):
    """x264's and x265's presets."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWER = "slower"
    VERYSLOW = "veryslow"


def _matching(pattern: str, meaning: str) -> Callable[[str], str]:
    def validate(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"{text[:80]!r} is not {meaning}")
        return text

    return validate


def _path_text(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("the path is empty. Write one, or remove the key")
    return text


def _program(value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    is_usable = isinstance(words, list) and len(words) <= 64 and all(isinstance(word, str) and "\0" not in word for word in words)
    if not is_usable or not words or not words[0].strip():
        raise ValueError("not a program. Write its path, or a list of it and its arguments, such as [mpv, --no-terminal]")
    return tuple(words)


def _event_kind(text: str) -> str:
    if text not in EVENT_KINDS:
        close = difflib.get_close_matches(text, sorted(EVENT_KINDS), n=1)
        raise ValueError(f"{text[:40]!r} is no kind of event. " + (f"Did you mean `{close[0]}`?" if close else "docs/api.md lists all"))
    return text


def _even(size: int) -> int:
    if size % 2:
        raise ValueError(f"{size} is odd, and 4:2:0 colour needs even sizes. Write {size + 1} or {size - 1}")
    return size


def _jobs(text: Any) -> int | None:
    if text in (None, "auto"):
        return None
    if not re.fullmatch(r"[1-9]\d?", str(text)):
        raise ValueError(f"{str(text)[:40]!r} is not a number of jobs. Write auto, or 1 to 99")
    return int(text)


def _one_line(text: str) -> str:
    if not text.strip() or len(text) > 100 or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is not a name. Write one line of at most 100 characters")
    return text.strip()


_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
_NAME_RULE = "lower-case letters, digits, - and _, at most 64, the first a letter or digit"
ChannelId = Annotated[str, AfterValidator(_matching(_NAME, f"a channel id. Use {_NAME_RULE}"))]
OutputName = Annotated[str, AfterValidator(_matching(_NAME, f"an output name. Use {_NAME_RULE}"))]
ProfileName = Annotated[
    str, AfterValidator(_matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a profile name. Use letters, digits, -, _ and ."))
]
Language = Annotated[str, AfterValidator(_matching(r"[a-z]{2,3}", "a language. Write its ISO 639 code, such as eng or de"))]
HostName = Annotated[
    str, AfterValidator(_matching(r"[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:.]{2,45}", "a host name or address. Write it without scheme and port"))
]
Scheme = Annotated[str, AfterValidator(_matching(r"[a-z][a-z0-9+.-]{0,15}", "a URL scheme. Write it in lower case, without ://"))]
WebAddress = Annotated[
    str, AfterValidator(_matching(r"https?://[^\s\"'<>\\^`{}|]{1,2000}", "a web address. Write one that begins with http:// or https://"))
]
GroupName = Annotated[str, AfterValidator(_one_line)]
EventKind = Annotated[str, AfterValidator(_event_kind)]
Program = Annotated[tuple[str, ...], PlainValidator(_program)]
PathText = Annotated[str, AfterValidator(_path_text)]
Width = Annotated[int, Field(ge=16, le=4096), AfterValidator(_even)]
Height = Annotated[int, Field(ge=16, le=2304), AfterValidator(_even)]
Rate = Annotated[FrameRate, PlainValidator(parse_frame_rate)]
Bytes = Annotated[ByteLimit, PlainValidator(parse_byte_limit)]
Address = Annotated[ListenSpec, PlainValidator(parse_listen)]
Jobs = Annotated[int | None, PlainValidator(_jobs)]


class Section(BaseModel):
    """A mapping of the file. Written without a value it means its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: Any) -> Any:
        return {} if value is None else value
