"""Which code a process runs: the version and a digest of its source files, so that an upgrade on disk is noticed.

Rule: read at a process's start it says what was loaded; read later by another, what a new process would load.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from channeld import __version__

_ROOT = Path(__file__).parents[1]


def edition(parts: Iterable[str]) -> str:
    """Version and digest of the packages `channeld.<part>`, such as `0.1.0+3f2a…`. Raises OSError when a file cannot be read."""
    digest = hashlib.blake2b(digest_size=8)
    for part in sorted(parts):
        for path in sorted((_ROOT / part).glob("*.py")):
            digest.update(f"{part}/{path.name}\0".encode())
            digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"
