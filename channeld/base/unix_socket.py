"""Unix sockets: names that fit into their addresses, and who is at the other end.

Rule: standard library only: programs that attach to a channel load it, too.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 100
"""sun_path has 108 bytes (unix(7))."""


_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connected, as the kernel saw it then (SO_PEERCRED, unix(7)); ids that our user namespace does not know are 65534."""

    pid: int
    uid: int
    gid: int

    def command(self) -> str | None:
        """Name of its program now; None where /proc does not tell us, or the process is gone."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text(errors="replace").rstrip("\n")
        except OSError:
            return None


def peer_of(end: socket.socket) -> Peer:
    """The other end of a connected socket."""
    return Peer(*_UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))


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
