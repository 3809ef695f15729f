"""A disk that can fall ill: a FUSE folder that shows another one, whose reads stall or fail on request.

Rule: it only passes on what it is asked; how it feels is read from a file, so that the test needs no further connection.
Run as `python sick_disk.py SOURCE MOUNTPOINT ILLNESS`.
ILLNESS is a file: `stall FROM_BYTE`, `eio FROM_BYTE`, `hang 0` (nothing is answered at all) or nothing. Ends on umount.
"""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

import mfusepy as fuse

_LOOK_S = 0.05


class SickDisk(fuse.Operations):  # type: ignore[misc]
    """Passes reads of files below `source` on."""

    use_ns = True

    def __init__(self, source: Path, illness: Path) -> None:
        self._source, self._illness = source, illness

    def _path(self, path: str) -> Path:
        while self._feels()[0] == "hang":
            time.sleep(_LOOK_S)
        return self._source / path.lstrip("/")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        try:
            found = self._path(path).lstat()
        except OSError as error:
            raise fuse.FuseOSError(error.errno) from error
        names = ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink")
        return {name: getattr(found, name) for name in names} | {"st_mtime": found.st_mtime_ns}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(entry.name for entry in self._path(path).iterdir())]

    def open(self, path: str, flags: int) -> int:
        return os.open(self._path(path), os.O_RDONLY)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        while (feels := self._feels())[0] == "stall" and offset + size > feels[1]:
            time.sleep(_LOOK_S)
        if feels[0] == "eio" and offset + size > feels[1]:
            raise fuse.FuseOSError(errno.EIO)
        return os.pread(fh, size, offset)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def _feels(self) -> tuple[str, int]:
        words = self._illness.read_text().split() if self._illness.exists() else []
        return (words[0], int(words[1])) if len(words) == 2 else ("well", 0)


if __name__ == "__main__":
    # Direct: the kernel keeps no copy of what was read while the disk was well.
    fuse.FUSE(SickDisk(Path(sys.argv[1]), Path(sys.argv[3])), sys.argv[2], foreground=True, ro=True, direct_io=True, allow_other=True)
