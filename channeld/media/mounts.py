r"""Which files stand on one disk, as far as that can be told without asking it: below which mount the kernel lists them.

Rule: never touches a path, for a disk may not answer; a symbolic link counts for the disk that it stands on itself.
Any thread: what is remembered is replaced as a whole. Source: proc_pid_mountinfo(5), fifth field, blanks as `\040`.
"""

import re
import time
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
FRESH_S = 5.0


class Mounts:
    """The mounts, read again when what is known of them is older than FRESH_S."""

    def __init__(self, table: Path = MOUNTINFO) -> None:
        self._table = table
        self._read_at = float("-inf")
        self._prefixes: tuple[str, ...] = ()
        self._known: dict[str, str] = {}

    def of(self, path: Path) -> str:
        """The mount of an absolute path, as `/` or `/media/nas/`; `/` where none is known."""
        if time.monotonic() - self._read_at > FRESH_S:
            self._read()
        folder, known = f"{path.parent}/", self._known
        if folder not in known:
            known[folder] = next((prefix for prefix in self._prefixes if folder.startswith(prefix)), "/")
        return known[folder]

    def _read(self) -> None:
        try:
            lines = self._table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            lines = []  # no /proc: all files count as one disk
        points = {re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines}
        self._prefixes = tuple(sorted((f"{point.rstrip('/')}/" for point in points), key=len, reverse=True))
        self._read_at, self._known = time.monotonic(), {}
