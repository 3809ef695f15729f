"""A chain of filters: read as FFmpeg reads it, checked against the table, written anew.

Rule: FFmpeg gets what is written here from checked parts and never the user's own text, so that another understanding of quotes
or backslashes than FFmpeg's cannot let anything through. Pure.
"""

import difflib
from dataclasses import dataclass

from channeld.relay.filter_table import FILTERS, KEY
from channeld.relay.refusal import Kind, shown

MAX_FILTERS = 16
# What ends a filter or an option unless it is quoted.
_SPECIAL = frozenset(",:'\\[];")
_GRAPH_REMEDY = "write one chain of filters, such as yadif,scale=1280:-2"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a chain, and what to do."""

    kind: Kind
    problem: str
    remedy: str


class _FaultFound(Exception):
    def __init__(self, kind: Kind, problem: str, remedy: str) -> None:
        self.fault = Fault(kind, problem, remedy)


def read_chain(text: str, medium: str) -> str | Fault:
    """The chain in channeld's own writing, or the first thing that is wrong with it. `medium`: v or a."""
    try:
        return ",".join(_filter(one, medium) for one in _split_chain(text))
    except _FaultFound as found:
        return found.fault


def filters_of(chain: str, medium: str) -> list[str]:
    """The filters of a chain that `read_chain` gave, one by one."""
    return [_filter(one, medium) for one in _split_chain(chain)]


def _split_chain(text: str) -> list[str]:
    """Cut at commas outside of quotes, and take one level of quotes and backslashes off (ffmpeg-utils(1), "Quoting and escaping")."""
    chain, current = [], ""
    at, is_quoted = 0, False
    while at < len(text):
        character = text[at]
        if character == "'":
            is_quoted = not is_quoted
        elif is_quoted:
            current += character
        elif character == "\\":
            at += 1
            current += text[at : at + 1]
        elif character in "[];":
            raise _FaultFound(
                Kind.BAD_FILTERGRAPH, f"{character} joins or names chains, and a profile has one input and one chain", _GRAPH_REMEDY
            )
        elif character == ",":
            chain.append(current)
            current = ""
        else:
            current += character
        at += 1
    if is_quoted:
        raise _FaultFound(Kind.BAD_FILTERGRAPH, "a quotation mark is not closed", "close it")
    chain.append(current)
    if len(chain) > MAX_FILTERS:
        raise _FaultFound(Kind.BAD_FILTERGRAPH, f"{len(chain)} filters, of {MAX_FILTERS} at most", "leave some out")
    return chain


def _filter(text: str, medium: str) -> str:
    name, equals, options = text.strip().partition("=")
    known = FILTERS.get(name)
    if not name:
        raise _FaultFound(Kind.BAD_FILTERGRAPH, "a filter is missing", _GRAPH_REMEDY)
    if known is None:
        near = difflib.get_close_matches(name, FILTERS, 1)
        remedy = f"perhaps {near[0]}" if near else "take one of docs/relay-profiles.md"
        raise _FaultFound(Kind.FORBIDDEN_FILTER, f"the filter {shown(name)} is not allowed", remedy)
    if known.medium != medium:
        right = "-filter:v" if known.medium == "v" else "-filter:a"
        raise _FaultFound(Kind.BAD_FILTERGRAPH, f"{name} is for the other medium", f"give it to {right}")
    values = _values(name, options) if equals else {}
    return name + ("=" if values else "") + ":".join(f"{key}={_quoted(value)}" for key, value in values.items())


def _values(name: str, options: str) -> dict[str, str]:
    """Keys and checked values of one filter; those without a key get it by their place."""
    known = FILTERS[name]
    values: dict[str, str] = {}
    names = list(known.keys)
    is_positional = True
    for place, option in enumerate(options.split(":")):
        key, equals, value = option.partition("=")
        if not (equals and KEY.fullmatch(key)):
            key, value = (names[place] if is_positional and place < known.positional else ""), option
        else:
            is_positional = False
        if key not in known.keys:
            keys = ", ".join(known.keys) or "nothing"
            raise _FaultFound(Kind.BAD_FILTER_VALUE, f"{name} takes no {shown(option)}", f"it takes {keys}")
        if key in values:
            raise _FaultFound(Kind.BAD_FILTER_VALUE, f"{name} is told {key} twice", "keep one")
        if not known.keys[key].accepts(value) or value.count("(") != value.count(")"):
            raise _FaultFound(Kind.BAD_FILTER_VALUE, f"{name} takes no {key}={shown(value)}", f"give {known.keys[key].told}")
        values[key] = value
    return values


def _quoted(value: str) -> str:
    """No allowed value holds a quotation mark, a backslash or a colon, so quotes are all it can need."""
    return f"'{value}'" if _SPECIAL & set(value) else value
