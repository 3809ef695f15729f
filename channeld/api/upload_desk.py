"""What the upload routes ask of the daemon.

Rule: every call may block as long as a disk does, and comes from the threads of uploads.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way, in bytes; `ends_s`: until when (wall clock) it is waited for; `path`: as a playlist names it, once it is whole."""

    id: str
    channel: str
    name: str
    length: int
    offset: int
    ends_s: float
    path: str | None = None


class Turn(Protocol):
    """One request's turn at an upload."""

    @property
    def left_bytes(self) -> int:
        """So many may still come."""
        ...

    def write(self, piece: bytes) -> None:
        """Add bytes. Raises Refused."""
        ...

    def close(self) -> Upload:
        """End the turn, whatever happened; a file that is whole is put into its place. Raises Refused."""
        ...


class Uploads(Protocol):
    """The desk; see control_uploads. Everything raises UnknownChannel and Refused."""

    def max_bytes(self, channel: str) -> int:
        """Of one file."""
        ...

    def begin(self, channel: str, name: str, length: int) -> Upload:
        """A new upload."""
        ...

    def find(self, channel: str, upload: str) -> Upload:
        """How far one is."""
        ...

    def all(self, channel: str) -> list[Upload]:
        """A channel's."""
        ...

    def open(self, channel: str, upload: str, offset: int) -> Turn:
        """Go on at an offset."""
        ...

    def remove(self, channel: str, upload: str) -> None:
        """End one."""
        ...
