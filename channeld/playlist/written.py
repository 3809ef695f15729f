"""What an editor says of an entry, as it is written into a list. Pure."""

from collections.abc import Mapping

from channeld.base.errors import ChannelError

Fields = Mapping[str, str | None]
"""By the keys of a YAML playlist, values as they are to be written; None: this field is not there."""


class Unwritable(ChannelError):
    """The list cannot be made to say that: nothing is written. Says what to do instead."""


def newline_of(text: str) -> str:
    """How the text ends its lines."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
