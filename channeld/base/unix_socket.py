"""Names for Unix sockets that fit into their addresses. Standard library only: programs that attach to a channel load it, too."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_LONGEST = 100
"""sun_path has 108 bytes (unix(7))."""


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """A name for the socket at a path, to bind or connect to, however deep its folder lies. Raises OSError where that is not there."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
