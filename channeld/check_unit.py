"""What the service's unit allows: its user, and which paths its sandbox hides or keeps from being written.

Rule: read from the files that systemd would read, drop-ins in their order, without asking a systemd. Only what concerns paths is
understood; a key that is written without a value takes back what came before it (systemd.unit(5)). Pure but for reading files.
"""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

UNIT_NAME = "channeld.service"
UNIT_FOLDERS = tuple(
    map(
        Path,
        ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"),
    )
)
DEFAULT_USER = "channeld"
_HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
_TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp")))
_MADE_BELOW = {
    "StateDirectory": Path("/var/lib"),
    "RuntimeDirectory": Path("/run"),
    "CacheDirectory": Path("/var/cache"),
    "LogsDirectory": Path("/var/log"),
}
_YES = ("yes", "true", "on", "1")


@dataclass(frozen=True, slots=True)
class Unit:
    """[Service] of a unit with its drop-ins; every key with all its values in order. `path` None: none is installed."""

    path: Path | None = None
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def last(self, key: str, default: str = "") -> str:
        """The value that counts of a key which has one."""
        return self.keys.get(key, ("",))[-1] or default

    def paths(self, *names: str) -> list[Path]:
        """Every path of keys that list some; of `source:destination` the place inside. A leading -, + means nothing here."""
        words = [word for name in names for value in self.keys.get(name, ()) for word in value.split()]
        return [Path(word.lstrip("-+").split(":")[min(1, word.count(":"))]) for word in words]

    @property
    def user(self) -> str:
        """Who runs the service."""
        return self.last("User", DEFAULT_USER)

    @property
    def groups(self) -> list[str]:
        """Groups that the service has besides those of its user."""
        return [word for key in ("Group", "SupplementaryGroups") for value in self.keys.get(key, ()) for word in value.split()]

    @property
    def confines_users(self) -> bool:
        """The service knows no users and groups but root's and its own (PrivateUsers=)."""
        return self.last("PrivateUsers") in (*_YES, "self")

    @property
    def made_folders(self) -> list[Path]:
        """Folders that systemd makes for the service's user, each time it starts."""
        return [parent / word for key, parent in _MADE_BELOW.items() for value in self.keys.get(key, ()) for word in value.split()]

    @property
    def credentials(self) -> dict[str, Path]:
        """Files that systemd hands to the service, by their names."""
        pairs = [value.partition(":") for value in self.keys.get("LoadCredential", ())]
        return {name: Path(path) for name, _, path in pairs if path}

    def hides(self, path: Path) -> str | None:
        """The setting for which the service does not see a path."""
        if _is_below(path, self.paths("InaccessiblePaths")):
            return "InaccessiblePaths"
        if _is_below(path, self.paths("BindPaths", "BindReadOnlyPaths")):
            return None
        if self.last("ProtectHome") in (*_YES, "tmpfs") and _is_below(path, _HOMES):
            return f"ProtectHome={self.last('ProtectHome')}"
        if self.last("PrivateTmp") in _YES and _is_below(path, _TEMPORARY):
            return "PrivateTmp=yes"
        return None

    def keeps_from_writing(self, path: Path) -> str | None:
        """The setting for which the service cannot write below a path that it sees."""
        if _is_below(path, [*self.paths("ReadWritePaths", "BindPaths"), *self.made_folders]):
            return None
        if _is_below(path, self.paths("ReadOnlyPaths", "BindReadOnlyPaths")):
            return "ReadOnlyPaths"
        if self.last("ProtectHome") == "read-only" and _is_below(path, _HOMES):
            return "ProtectHome=read-only"
        return "ProtectSystem=strict" if self.last("ProtectSystem") == "strict" else None


def read_unit(folders: Iterable[Path] = UNIT_FOLDERS, name: str = UNIT_NAME) -> Unit:
    """The installed unit with its drop-ins; an empty one where none is."""
    folders = list(folders)
    main = next((path for folder in folders if (path := folder / name).is_file()), None)
    if main is None:
        return Unit()
    # Of drop-ins with one name that of the first folder counts; they apply in the order of their names.
    drop_ins: dict[str, Path] = {}
    for folder in folders:
        for path in (folder / f"{name}.d").glob("*.conf"):
            drop_ins.setdefault(path.name, path)
    keys: dict[str, tuple[str, ...]] = {}
    for path in (main, *(drop_ins[each] for each in sorted(drop_ins))):
        with contextlib.suppress(OSError):
            _take(keys, path.read_text(encoding="utf-8", errors="replace"))
    return Unit(main, keys)


def _take(keys: dict[str, tuple[str, ...]], text: str) -> None:
    section = ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            key, _, value = line.partition("=")
            before = keys.get(key.strip(), ())
            keys[key.strip()] = (*before, value.strip()) if value.strip() else ()


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
