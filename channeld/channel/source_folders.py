"""The folders in which live sources keep their newest minute, once the process that wrote there is gone.

Rule: a file is removed when its name is one that a source's process gives, with the number of a process that lives no more; everything
else stays, whoever put it there, and so does a folder that is not empty. Links are not followed. Stateless.
"""

import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path

_NAME = re.compile(r".+-(?P<pid>[1-9][0-9]{0,9})-[0-9]+\.(?:ts|idx|base)(?:\.part)?", re.ASCII)


def sweep(root: Path, in_use: Collection[str]) -> int:
    """Remove what is left below `root/<channel>/<source>`, but for those `in_use`; gives how many files went."""
    removed = 0
    for channel in _folders(root):
        for folder in _folders(channel):
            if f"{channel.name}/{folder.name}" not in in_use:
                removed += _clear(folder)
                _remove_empty(folder)
        _remove_empty(channel)
    return removed


def _folders(root: Path) -> Iterator[Path]:
    try:
        found = sorted(root.iterdir())
    except OSError:  # not there, or gone just now
        return
    yield from (path for path in found if path.is_dir() and not path.is_symlink())


def _clear(folder: Path) -> int:
    removed = 0
    with contextlib.suppress(OSError):  # what cannot be removed now is tried again
        for path in sorted(folder.iterdir()):
            named = _NAME.fullmatch(path.name)
            if named is not None and path.is_file() and not path.is_symlink() and not Path(f"/proc/{named['pid']}").exists():
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it is not empty
        folder.rmdir()
