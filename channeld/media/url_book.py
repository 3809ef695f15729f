"""What servers last said of the content behind URLs, remembered over restarts.

Rule: only hashes of URLs are stored, as URLs may carry secrets. A lost or damaged file only costs looking again. Safe from any thread.
"""

import contextlib
import hashlib
import json
import threading
from pathlib import Path

from channeld.media.fingerprint import write_atomically

REMEMBERED = 100_000


class UrlBook:
    """Identities by URL, in one JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # guards the two below; never held over I/O
        self._known: dict[str, str] = _load(path)
        self._is_changed = False

    def known(self, url: str) -> str | None:
        """The identity last learned; None for a URL never looked at."""
        with self._lock:
            return self._known.get(_name(url))

    def learn(self, url: str, identity: str) -> bool:
        """Remember an identity; whether it is another than before."""
        name = _name(url)
        with self._lock:
            if self._known.get(name) == identity:
                return False
            self._known.pop(name, None)
            self._known[name] = identity
            while len(self._known) > REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._is_changed = True
        return True

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


def _name(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def _load(path: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, str)}
    return {}
