"""Copies of each channel's last valid list, so that a restart beside a broken, half-written or missing file loses nothing.

Rule: a copy is replaced whole or not at all, and only by bytes that were read as a valid list. Used by the thread that reads lists.
"""

import hashlib
import os
from pathlib import Path

import structlog

log = structlog.get_logger()


class Shelf:
    """One folder of copies, 0750; made when the first is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, bytes] = {}

    def keep(self, channel: str, content: bytes) -> None:
        """Put a valid list in place of the one before; what cannot be written is told, and tried again with the next list."""
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if self._kept.get(channel) == digest:
            return
        try:
            self._write(channel, content)
        except OSError as error:
            log.warning("playlist_not_kept", channel=channel, error=error.strerror, consequence="a restart needs the file itself")
            return
        self._kept[channel] = digest

    def _write(self, channel: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o750, exist_ok=True)
        draft, target = self._folder / f".{channel}.draft", self._folder / channel
        with draft.open("wb") as file:
            os.fchmod(file.fileno(), 0o640)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)

    def last(self, channel: str) -> bytes | None:
        """The last valid list; None where there is none, or it cannot be read."""
        try:
            return (self._folder / channel).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("kept_playlist_not_read", channel=channel, error=error.strerror)
            return None
