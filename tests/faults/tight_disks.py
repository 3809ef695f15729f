"""Small disks in memory, and what fills them: for rows of disks that are full, out of inodes or read-only.

Rule: a mount is taken back whatever happens; where none is permitted the test is skipped with the reason.
"""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from injection import needs


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def memory_disk(folder: Path, *, kilobytes: int, inodes: int = 10_000) -> Iterator[Path]:
    """A tmpfs of its own at a folder."""
    needs("mount", "umount")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={kilobytes}k,nr_inodes={inodes},mode=755", "tmpfs", str(folder))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no tmpfs may be mounted here: {error.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


def set_read_only(folder: Path, is_read_only: bool) -> None:
    """Mount it the other way. Raises CalledProcessError while somebody has a file open for writing."""
    _mount("-o", "remount,ro" if is_read_only else "remount,rw", str(folder))


class Balloon:
    """Takes whatever room there is, and gives it all back."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "balloon"
        self._folder = folder
        self._crumbs = 0

    def inflate(self) -> None:
        """Take all bytes that are free now."""
        with contextlib.suppress(OSError), self._file.open("ab", buffering=0) as file:
            while file.write(b"\0" * 4096):
                pass

    def scatter(self) -> None:
        """Take all inodes that are free now."""
        try:
            while True:
                os.close(os.open(self._folder / f"crumb{self._crumbs}", os.O_CREAT | os.O_WRONLY))
                self._crumbs += 1
        except OSError as error:
            assert error.errno == errno.ENOSPC

    def burst(self) -> None:
        """Give it back."""
        self._file.unlink(missing_ok=True)
        for number in range(self._crumbs):
            (self._folder / f"crumb{number}").unlink(missing_ok=True)
        self._crumbs = 0
