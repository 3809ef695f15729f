"""A relay profile: what a relay does to its upstream, as it is stored.

Rule: `ffmpeg_args` is kept as given; what may be done with it is decided anew by `arguments` each time it is used. Pure.
"""

import re
import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from channeld.relay.refusal import Kind, Refusal, shown

MAX_NAME = 100
MAX_DESCRIPTION = 1000
MAX_ARGS = 8192
SEGMENT_DURATION_S = range(1, 61)
MAX_SEGMENTS = range(2, 101)
INPUT_TIMEOUT_S = range(1, 3601)
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


class OutputFormat(StrEnum):
    """What viewers get."""

    TRANSPORT_STREAM = "transport_stream"
    HLS = "hls"
    DASH = "dash"
    COPY = "copy"


class Hardware(StrEnum):
    """What decodes and encodes beside the CPU."""

    NONE = "none"
    NVIDIA = "nvidia"
    VAAPI = "vaapi"
    QSV = "qsv"


@dataclass(frozen=True, slots=True)
class RelayProfile:
    """`segment_duration` and `input_timeout` in seconds, `max_segments` in a manifest; limits stand above, text in characters."""

    id: str
    name: str
    ffmpeg_args: str
    description: str = ""
    output_format: OutputFormat = OutputFormat.TRANSPORT_STREAM
    segment_duration: int = 6
    max_segments: int = 6
    input_timeout: int = 10
    hardware_acceleration: Hardware = Hardware.NONE
    is_system_default: bool = False
    is_active: bool = True


def copy_of(profile: RelayProfile, name: str, *, new_id: str | None = None) -> RelayProfile:
    """A user's own profile, to be changed freely; its id is a new UUID unless one is given."""
    return replace(profile, id=new_id or str(uuid.uuid4()), name=name, is_system_default=False, is_active=True)


def field_refusals(profile: RelayProfile) -> list[Refusal]:
    """What is wrong with the fields, but for what `ffmpeg_args` says."""
    refusals = [
        _text("name", profile.name, MAX_NAME, is_needed=True),
        _text("description", profile.description, MAX_DESCRIPTION, is_needed=False),
        _number("segment_duration", profile.segment_duration, SEGMENT_DURATION_S, "seconds"),
        _number("max_segments", profile.max_segments, MAX_SEGMENTS, "segments"),
        _number("input_timeout", profile.input_timeout, INPUT_TIMEOUT_S, "seconds"),
        _member("output_format", profile.output_format, OutputFormat),
        _member("hardware_acceleration", profile.hardware_acceleration, Hardware),
    ]
    if not _ID.fullmatch(profile.id):
        refusals.append(_bad("id", profile.id, "it is no id", "give small letters, digits, - and _, 64 at most"))
    return [refusal for refusal in refusals if refusal is not None]


def _bad(field: str, value: str, problem: str, remedy: str) -> Refusal:
    return Refusal(Kind.BAD_FIELD, field, None, shown(value), problem, remedy)


def _text(field: str, value: str, longest: int, *, is_needed: bool) -> Refusal | None:
    if len(value) > longest:
        return _bad(field, value, f"it is {len(value)} characters long", f"give {longest} at most")
    if is_needed and not value.strip():
        return _bad(field, value, "it is empty", "give the profile a name")
    if any(not (character.isprintable() or (character == "\n" and not is_needed)) for character in value):
        return _bad(field, value, "it holds characters that cannot be shown", "give plain text")
    return None


def _number(field: str, value: int, allowed: range, unit: str) -> Refusal | None:
    if type(value) is not int or value not in allowed:
        return _bad(field, str(value), "it is out of range", f"give {allowed.start} to {allowed.stop - 1} {unit}")
    return None


def _member(field: str, value: str, choices: type[StrEnum]) -> Refusal | None:
    if value not in tuple(choices):
        return _bad(field, str(value), "it is unknown", f"give one of {', '.join(choices)}")
    return None
