"""Where addresses are, by a GeoIP file that the user has (MaxMind's format, as GeoLite2-Country, GeoLite2-City, DB-IP have it).

Rule: without a file, or with one that cannot be used, nobody is anywhere, and it is told once; a replaced file is taken up by itself. An
address is looked up and forgotten. `look` reads the disk and may run on another thread than the rest; the file is held in memory.
"""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import maxminddb

MAX_NAME_CHARS = 60
_BROKEN = (maxminddb.InvalidDatabaseError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What its reader raises where bytes are not what they should be: it trusts a file's own figures."""


class Places:
    """`told(problem)` hears of each other trouble; None: the file is good again."""

    def __init__(self, told: Callable[[str | None], None]) -> None:
        self._told = told
        self._path: Path | None = None
        self._seen: tuple[int, int, int] | None = None
        self._reader: maxminddb.Reader | None = None
        self._problem: str | None = None

    def change(self, path: Path | None) -> None:
        """Another file, or none."""
        if path != self._path:
            self._path, self._seen, self._reader = path, None, None

    def look(self) -> None:
        """Take the file up if it is there and another one than before; every few seconds."""
        path = self._path
        if path is None:
            self._tell(None)
            return
        try:
            facts = path.stat()
            seen = facts.st_ino, facts.st_mtime_ns, facts.st_size
            if seen == self._seen:
                return
            self._seen = seen
            # In memory: a file that is written over in place would be a SIGBUS where it is mapped.
            self._reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        except (OSError, *_BROKEN) as error:
            if isinstance(error, OSError):
                self._seen = None  # it may be the same file that can be read next time
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._tell(f"{path}: {reason or error}. Viewers have no place until there is a GeoIP file (.mmdb) that can be read")
            return
        self._tell(None)

    def _tell(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self._told(problem)

    def of(self, address: str) -> str | None:
        """`DE/Berlin`, `DE`, or None."""
        reader = self._reader
        if reader is None:
            return None
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
            mapped = found.ipv4_mapped if found.version == 6 else None
            return _name(reader.get(mapped or found))
        except _BROKEN:
            return None  # no address, one that the file has no tree for, or a damaged record of it


def _name(record: Any) -> str | None:
    country = _at(record, "country", "iso_code") or _at(record, "registered_country", "iso_code")
    if country is None:
        return None
    city = _at(record, "city", "names", "en")
    return f"{country}/{city}" if city else country


def _at(record: Any, *keys: str) -> str | None:
    """A text of a record, which may have any shape."""
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return "".join(each for each in record[:MAX_NAME_CHARS] if each.isprintable()) if isinstance(record, str) and record else None
