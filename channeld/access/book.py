"""A small private file of JSON: tokens, sessions.

Rule: the file appears whole or not at all, is readable by its owner only, and one that others may change is never believed: it is moved
aside. Used from any thread, by one writer at a time.
"""

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from channeld.base.drafts import draft_prefix, is_draft_of
from channeld.base.errors import ChannelError
from channeld.telemetry.log import get

TOKENS, SESSIONS = BOOKS = ("tokens.json", "sessions.json")
MAX_BYTES = 4 * 1024 * 1024
_VERSION = 1
_log = get("access")


class BookError(ChannelError):
    """The file cannot be written: who asked is told; what is in memory stands."""


class Book:
    """One file with a list of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Its rows; none when it is not there. Raises ValueError when it cannot be believed, and why."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ValueError(os.strerror(error.errno or 0)) from None
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022:
                raise ValueError("it is no file, or others may change it")
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        try:
            document = json.loads(content)
        except RecursionError:
            raise ValueError("it is too deep") from None
        if not isinstance(document, dict) or document.get("version") != _VERSION or not isinstance(document.get("rows"), list):
            raise ValueError("it is not of this version of channeld")
        return list(document["rows"])

    def put_aside(self, reason: str) -> None:
        """Give the file another name, so that the next write does not destroy what somebody may want to look at."""
        aside = self.path.with_name(f"{self.path.name}.refused")
        _log.error("access_file_refused", path=str(self.path), reason=reason, moved_to=str(aside))
        try:
            self.path.replace(aside)
        except OSError as error:
            _log.error("access_file_stays", path=str(self.path), error=error.strerror)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Replace it. Raises BookError."""
        content = json.dumps({"version": _VERSION, "rows": rows}, indent=1).encode()
        try:
            fd, name = tempfile.mkstemp(prefix=draft_prefix(self.path.name), dir=self.path.parent)  # mode 0600
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise BookError(f"{self.path} cannot be written: {os.strerror(error.errno or 0)}") from None


def is_book_draft(name: str) -> bool:
    """Whether a killed run left this while it wrote one of ours."""
    return any(is_draft_of(name, target) for target in BOOKS)
