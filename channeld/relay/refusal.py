"""Why a relay profile is refused: which field, which argument, what is wrong with it, and what to do.

Rule: what is shown of an argument went through the redactor and is short. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from channeld.base.errors import ChannelError
from channeld.base.redact import redact_text

SHOWN_CHARACTERS = 80


class Kind(StrEnum):
    """What is wrong, for programs."""

    BAD_FIELD = "bad_field"
    UNREADABLE = "unreadable"
    TOO_LONG = "too_long"
    BAD_CHARACTER = "bad_character"
    UNKNOWN_VARIABLE = "unknown_variable"
    MISPLACED_VARIABLE = "misplaced_variable"
    STRAY_ARGUMENT = "stray_argument"
    UNKNOWN_OPTION = "unknown_option"
    FORBIDDEN_OPTION = "forbidden_option"
    MISPLACED_OPTION = "misplaced_option"
    REPEATED_OPTION = "repeated_option"
    BAD_SPECIFIER = "bad_specifier"
    MISSING_VALUE = "missing_value"
    BAD_VALUE = "bad_value"
    FORBIDDEN_CODEC = "forbidden_codec"
    FORBIDDEN_FORMAT = "forbidden_format"
    FORBIDDEN_PROTOCOL = "forbidden_protocol"
    FORBIDDEN_DEVICE = "forbidden_device"
    FORBIDDEN_FILTER = "forbidden_filter"
    BAD_FILTERGRAPH = "bad_filtergraph"
    BAD_FILTER_VALUE = "bad_filter_value"
    MISSING_INPUT = "missing_input"
    FOREIGN_INPUT = "foreign_input"
    SECOND_INPUT = "second_input"
    MISSING_OUTPUT = "missing_output"
    FOREIGN_OUTPUT = "foreign_output"
    SECOND_OUTPUT = "second_output"
    OUTSIDE_SANDBOX = "outside_sandbox"
    MISSING_CODEC = "missing_codec"
    CONTRADICTION = "contradiction"
    FORMAT_MISMATCH = "format_mismatch"
    HARDWARE_MISMATCH = "hardware_mismatch"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is wrong.

    `position` counts the arguments from 1 and is None where no single one is at fault; `argument` is what may be shown of it.
    """

    kind: Kind
    field: str
    position: int | None
    argument: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.field}, argument {self.position}" if self.position is not None else self.field
        shown = f" ({self.argument})" if self.argument else ""
        return f"{place}{shown}: {self.problem}; {self.remedy}"


class ProfileRefused(ChannelError):
    """A relay profile is not stored, or not run: nothing was started or changed."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(str(refusal) for refusal in self.refusals))


def shown(text: str) -> str:
    """What of an argument may be shown: redacted, printable, short."""
    safe = redact_text(text.encode("utf-8", "replace").decode())
    safe = "".join(character if character.isprintable() else "�" for character in safe)
    return safe if len(safe) <= SHOWN_CHARACTERS else safe[: SHOWN_CHARACTERS - 1] + "…"
