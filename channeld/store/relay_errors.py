"""Why an edit of a person's is refused: each names the field at fault, and nothing was changed.

Rule: no text holds a value that may be secret.
"""

from channeld.base.errors import ChannelError


class EditRefused(ChannelError):
    """The edit is wrong, or comes too late. `field`: a field's name of the draft, or `id` for the record itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class UnknownRecord(EditRefused):
    """There is no such record."""


class ValueRefused(EditRefused):
    """A value is out of its range."""


class AlreadyTaken(EditRefused):
    """Another record has this value, of which there may be only one."""


class UnknownReference(EditRefused):
    """A field names a record that does not exist."""


class StillUsed(EditRefused):
    """Other records need this one."""


class ReadOnlyRecord(EditRefused):
    """The record comes with channeld; a copy of it may be changed."""
