"""Which content a file holds, independent of its name, place and date.

Rule: the fingerprint is over size and three samples of content; it is remembered by path, size, mtime and inode, so that an unchanged
file is read once. Files that differ only outside of the samples are told apart by their size alone. Safe from any thread.
"""

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path

from channeld.media.opened import open_for_reading

SAMPLE_BYTES = 1 << 20
REMEMBERED = 200_000


def fingerprint(path: Path) -> str:
    """SHA-256 over size and the first, middle and last MiB, in hex. Raises OSError."""
    with open_for_reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{size}\n".encode())
        for offset in sorted({0, max(0, size // 2 - SAMPLE_BYTES // 2), max(0, size - SAMPLE_BYTES)}):
            file.seek(offset)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


class FingerprintBook:
    """Fingerprints remembered in one JSON file; a lost or damaged file only costs reading again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # guards the two below; never held over reading media
        self._known: dict[str, list[str | int]] = _load(path)
        self._is_changed = False

    def of(self, path: Path) -> str:
        """Fingerprint of a file. Raises OSError."""
        status = path.stat()
        mark = [status.st_size, status.st_mtime_ns, status.st_ino]
        with self._lock:
            known = self._known.get(str(path))
        if known is not None and known[:3] == mark:
            return str(known[3])
        found = fingerprint(path)
        with self._lock:
            self._known.pop(str(path), None)
            self._known[str(path)] = [*mark, found]
            while len(self._known) > REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._is_changed = True
        return found

    def save(self) -> None:
        """Write what is new. Raises OSError."""
        with self._lock:
            if not self._is_changed:
                return
            text = json.dumps(self._known)
            self._is_changed = False
        try:
            write_atomically(self._path, text.encode())
        except OSError:
            self._is_changed = True
            raise


def _load(path: Path) -> dict[str, list[str | int]]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, list) and len(value) == 4}
    return {}


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name, fsync, rename: readers see the old file or the new one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
