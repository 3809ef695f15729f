"""What the value of an option may be: patterns that hold nothing but what FFmpeg wants there.

Rule: a pattern matches the whole value and is of ASCII alone. No pattern takes a path, but for the render nodes of /dev/dri; a slash
stands between numbers (30000/1001) or before a version (VLC/3.0), never at the start. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from channeld.relay.refusal import Kind

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
RENDER_NODE = r"/dev/dri/renderD[0-9]{1,3}"


def names(text: str) -> tuple[str, ...]:
    """The words of a text, as a table's row of names."""
    return tuple(text.split())


@dataclass(frozen=True, slots=True)
class Value:
    """One kind of value: how it is told to people, its pattern, and for numbers the range. `kind` is what its refusal is called."""

    told: str
    pattern: re.Pattern[str]
    kind: Kind = Kind.BAD_VALUE
    low: float | None = None
    high: float | None = None

    def accepts(self, text: str) -> bool:
        """Whether the whole text is such a value."""
        if self.pattern.fullmatch(text) is None:
            return False
        return self.low is None or self.high is None or self.low <= float(text) <= self.high


def matching(told: str, pattern: str, kind: Kind = Kind.BAD_VALUE) -> Value:
    """A value by its pattern."""
    return Value(told, re.compile(pattern, re.ASCII), kind)


def integer(low: int, high: int) -> Value:
    """A whole number of a range."""
    return Value(f"whole number, {low} to {high}", re.compile(r"-?[0-9]{1,12}", re.ASCII), low=low, high=high)


def number(low: float, high: float) -> Value:
    """A number of a range."""
    return Value(f"number, {low:g} to {high:g}", re.compile(rf"-?{_NUMBER}", re.ASCII), low=low, high=high)


def words(text: str, kind: Kind = Kind.BAD_VALUE) -> Value:
    """One of some words."""
    choices = names(text)
    return Value(", ".join(choices), re.compile("|".join(re.escape(choice) for choice in choices), re.ASCII), kind)


def flags(text: str) -> Value:
    """Some of some words, joined by + and -, as FFmpeg's flags are."""
    choices = "|".join(re.escape(choice) for choice in names(text))
    return Value("of " + ", ".join(names(text)) + ", joined by + or -", re.compile(rf"[+-]?(?:{choices})(?:[+-](?:{choices}))*", re.ASCII))


def listed(allowed: Iterable[str], separator: str, kind: Kind = Kind.BAD_VALUE) -> Value:
    """Some of some words, with a separator between them."""
    choices = list(allowed)
    one = "(?:" + "|".join(re.escape(choice) for choice in choices) + ")"
    pattern = re.compile(f"{one}(?:{re.escape(separator)}{one})*", re.ASCII)
    return Value(f"of {', '.join(choices)}; several with {separator} between them", pattern, kind)


def parameters(keys: Mapping[str, str]) -> Value:
    """An encoder's own list, key=value with colons between: only these keys, each with its pattern."""
    one = "(?:" + "|".join(f"{re.escape(key)}={pattern}" for key, pattern in keys.items()) + ")"
    return Value("key=value:key=value of " + ", ".join(keys), re.compile(f"{one}(?::{one})*", re.ASCII))


BIT_RATE = matching("bit rate, such as 2500k, 2.5M or 128000", r"[0-9]{1,9}(?:\.[0-9]{1,3})?[kKM]?")
FRAME_RATE = matching(
    "frames per second up to 240, such as 25, 29.97 or 30000/1001",
    r"(?:[1-9][0-9]?|1[0-9]{2}|2[0-3][0-9]|240)(?:\.[0-9]{1,6}|/1)?|(?:15|24|30|48|60|120)000/100[01]|ntsc|pal|film",
)
PICTURE_SIZE = matching("width x height, such as 1280x720, or hd720", r"[0-9]{2,4}x[0-9]{2,4}|hd480|hd720|hd1080|vga|ntsc|pal")
ASPECT = matching("aspect, such as 16:9", r"[0-9]{1,4}[:/][0-9]{1,4}|[0-9](?:\.[0-9]{1,6})?")
SWITCH = words("0 1")
KEY_FRAMES = matching(
    "expr:gte(t,n_forced*SECONDS), source, or times with commas between",
    rf"expr:gte\(t,n_forced\*{_NUMBER}\)|source|{_NUMBER}(?:,{_NUMBER}){{0,20}}",
)
# Of the one input only: streams by kind, number and language; `?` for one that may be missing, `-` for one that is left out.
STREAM_MAP = matching(
    "streams of input 0, such as 0:v:0, 0:a? or 0:a:m:language:eng?",
    r"-?0(?::(?:[vVasd]|[0-9]{1,3}|p:[0-9]{1,5}))?(?::[0-9]{1,3}|:[vVasd](?::[0-9]{1,3})?)?(?::m:language:[a-z]{2,3})?\??",
)
TAG = matching("four letters, such as hvc1", r"[A-Za-z0-9]{4}")
# Never a path: `service_name=Live One`.
METADATA = matching(
    "key=text, the text without / and quotes",
    r"(?:title|language|service_name|service_provider|comment|artist|handler_name)=[A-Za-z0-9 ._,()+-]{0,100}",
)
_PRODUCT = r"[A-Za-z0-9._(][A-Za-z0-9._();:,+-]*(?:/[0-9][A-Za-z0-9._+-]*)?"
USER_AGENT = matching(
    "words, each with a version behind a slash if it has one, such as VLC/3.0.18",
    rf"{_PRODUCT}(?: {_PRODUCT}){{0,20}}",
)
HTTP_ERRORS = matching("status codes, such as 404,5xx", r"[45](?:[0-9]{2}|xx)(?:,[45](?:[0-9]{2}|xx)){0,20}")
NAME = matching("name of a device given by -init_hw_device", r"[a-z][a-z0-9_]{0,15}")
DEVICE = matching(
    "/dev/dri/renderD and a number, a number, or a name given by -init_hw_device",
    rf"{RENDER_NODE}|[0-9]{{1,2}}|[a-z][a-z0-9_]{{0,15}}",
    Kind.FORBIDDEN_DEVICE,
)
RENDER_DEVICE = matching("/dev/dri/renderD and a number", RENDER_NODE, Kind.FORBIDDEN_DEVICE)
_CALLED = r"(?:=[a-z][a-z0-9_]{0,15})?"
NEW_DEVICE = matching(
    "vaapi=NAME:/dev/dri/renderD128, cuda=NAME:0 or qsv=NAME",
    rf"vaapi{_CALLED}(?::{RENDER_NODE})?|cuda{_CALLED}(?::[0-9]{{1,2}})?|qsv{_CALLED}(?:@[a-z][a-z0-9_]{{0,15}})?",
    Kind.FORBIDDEN_DEVICE,
)
OUTPUT_NAME = matching(
    "{output_path}, with a plain name behind it if there is to be one",
    r"\{output_path\}(?:(?:[._-]|/(?=[A-Za-z0-9_$%]))[A-Za-z0-9_$%-]*(?:\.[A-Za-z0-9_$%-]+)*)?",
    Kind.OUTSIDE_SANDBOX,
)
LOOSE_NAME = matching("plain name of a segment", r"[A-Za-z0-9_$%-]+(?:\.[A-Za-z0-9_$%-]+)*", Kind.OUTSIDE_SANDBOX)
