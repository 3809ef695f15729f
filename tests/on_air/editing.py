"""Every way in which people and programs write a playlist file, and lists that are known again when they were read.

Rule: a list's number of entries tells its version (see `listed`), so that the daemon's log says which one it took.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

LEAST_ENTRIES, VERSIONS_TOLD_APART = 13, 60
REFUSED = "gopher://refused/"
"""Entries that fill a list up to its length: marked and skipped, never aired."""

Writer = Callable[[Path, bytes], None]


def listed(version: int, paths: Sequence[str]) -> bytes:
    """A YAML list of these paths, filled up so that its length tells the version (but for multiples of VERSIONS_TOLD_APART)."""
    filling = [f"{REFUSED}{number}" for number in range(entries_of(version) - len(paths))]
    places = random.Random(version).sample(range(len(paths) + 1), 1)[0]
    entries = [*paths[:places], *filling, *paths[places:]]
    return yaml.safe_dump([{"path": path, "title": f"v{version}"} for path in entries], default_flow_style=True, width=200).encode()


def entries_of(version: int) -> int:
    """How many entries the list of a version has."""
    return LEAST_ENTRIES + version % VERSIONS_TOLD_APART


def paths_of(content: bytes) -> tuple[str, ...]:
    """All paths in a list made by `listed`."""
    return tuple(entry["path"] for entry in yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def in_place(path: Path, content: bytes) -> None:
    """As `echo > file` does: the file is empty for a moment."""
    path.write_bytes(content)


def in_halves(path: Path, content: bytes) -> None:
    """As a slow program does: half of it stands there while the file is open."""
    middle = len(content) // 2
    with path.open("wb") as file:
        file.write(content[:middle])
        file.flush()
        os.fsync(file.fileno())
        file.write(content[middle:])


def renamed(path: Path, content: bytes) -> None:
    """As careful programs do: a temporary file, then a rename over the old one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def as_vim(path: Path, content: bytes) -> None:
    """As vim does with `backupcopy=no`: the old file becomes the backup, a new one is written, the backup goes."""
    backup = path.with_name(f"{path.name}~")
    path.rename(backup)
    with path.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    backup.unlink()


def copied(path: Path, content: bytes) -> None:
    """`cp other file`."""
    other = path.with_name("other.yaml")
    other.write_bytes(content)
    subprocess.run(["cp", str(other), str(path)], check=True)


def moved(path: Path, content: bytes) -> None:
    """`mv other file`."""
    other = path.with_name("other.yaml")
    other.write_bytes(content)
    subprocess.run(["mv", str(other), str(path)], check=True)


def moved_from_afar(path: Path, content: bytes) -> None:
    """Out of another folder."""
    afar = path.parent / "afar"
    afar.mkdir(exist_ok=True)
    (afar / path.name).write_bytes(content)
    (afar / path.name).replace(path)


def linked(path: Path, content: bytes) -> None:
    """`ln -sfn target file`, as deployments switch versions."""
    versions = path.parent / "versions"
    versions.mkdir(exist_ok=True)
    target = versions / f"{len(list(versions.iterdir()))}.yaml"
    target.write_bytes(content)
    subprocess.run(["ln", "-sfn", str(target), str(path)], check=True)


def recreated(path: Path, content: bytes) -> None:
    """Deleted, then written anew."""
    path.unlink()
    path.write_bytes(content)


def appended(path: Path, content: bytes) -> None:
    """Grown line by line through a shell's `>>`, each closing the file: only the last is the list."""
    middle = content.index(b"}") + 1
    renamed(path, content[:middle])
    with path.open("ab") as file:
        file.write(content[middle:])


def copied_over_link(path: Path, content: bytes) -> None:
    """`cp --remove-destination`, as rsync and many installers do."""
    other = path.with_name("other.yaml")
    other.write_bytes(content)
    path.unlink()
    shutil.copyfile(other, path)


WAYS: tuple[Writer, ...] = (
    *(in_place, in_halves, renamed, as_vim, copied, moved, moved_from_afar, linked, recreated, copied_over_link),
    *(appended, renamed, in_place, as_vim),
)
INVALID = (
    b"- path: [unclosed\n",
    b"channels: {}\n",
    b"\x00\x01\x02 not a text",
    b"- {path: a.mp4, pth: b.mp4}\n",
    b"- &a x.mp4\n- *a\n",
    b"- {path: a.mp4, in: 5, out: 3}\n",
    b"- {path: a.mp4, repeat: 0}\n",
    b"- " + b"x" * 5000 + b"\n",
)
