"""From what a line says to what may be opened: path rules, URL rules.

Rule: a locator is followed only below a media root (links resolved) or to an allowed scheme and public host; anything
else gets a fault in words. Names are not looked up here: whoever connects checks the addresses again.
Used by one parse at a time: the folder listings it keeps are a snapshot of that moment.
"""

import ipaddress
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from channeld.base.address import Address, is_public
from channeld.playlist.model import LIVE_SCHEMES

PLAYLIST_SUFFIXES = (".txt", ".m3u", ".m3u8", ".yaml", ".yml")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILE_SCHEMES = ("https", "http")
# Single look-ups are cheaper than reading a folder that may hold a million files; a long list is the other way round.
_LOOKUPS_BEFORE_LISTING = 16


@dataclass(frozen=True, slots=True)
class PathRules:
    """What a playlist may point at. No media root means the playlist's own folder."""

    media_roots: tuple[Path, ...] = ()
    schemes: tuple[str, ...] = ("https", "http", "rtsp", "srt", "rtmp")
    private_hosts: bool = False


class Location(NamedTuple):
    """Where a locator leads, the title it gets when the list names none, and why it may not be used."""

    path: Path | None
    url: str | None
    title: str
    fault: str | None


class _Folder:
    """One folder of media: its real path, whether it lies below a root, and its names once they are worth listing."""

    __slots__ = ("_listing", "_lookups", "fault", "path", "prefix")

    def __init__(self, written: str, roots: tuple[str, ...]) -> None:
        self.prefix = os.path.realpath(written)
        self.path = Path(self.prefix)
        self.fault = None if _is_below(self.prefix, roots) else f"outside the media roots: {self.prefix}"
        self._lookups = 0
        self._listing: dict[str, int] | None = None

    def kind(self, name: str) -> int:
        """The name's file type as in st_mode (links not followed), 0 when there is no such name."""
        if self._listing is not None:
            return self._listing.get(name, 0)
        self._lookups += 1
        if self._lookups > _LOOKUPS_BEFORE_LISTING:
            self._listing = _list_kinds(self.prefix)
            return self._listing.get(name, 0)
        try:
            return stat.S_IFMT(os.lstat(f"{self.prefix}/{name}").st_mode)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return 0


class Locator:
    """Follows the locators of one playlist."""

    def __init__(self, base: Path, rules: PathRules) -> None:
        self._base = os.path.abspath(base)  # noqa: PTH100 - Path.resolve would follow the playlist's own links
        self._rules = rules
        self._roots = tuple(os.path.realpath(root) for root in (rules.media_roots or (base,)))
        self._folders: dict[str, _Folder] = {}
        self._found: dict[str, Location] = {}

    def locate(self, written: str) -> Location:
        """Follow one locator. Never raises: what is wrong stands in the fault."""
        found = self._found.get(written)
        if found is None:
            scheme = _URL.match(written) if "://" in written else None
            found = self._locate_path(written) if scheme is None else self._locate_url(written, scheme[1].lower())
            self._found[written] = found
        return found

    def _locate_path(self, written: str) -> Location:
        head, _, name = written.rpartition("/")
        folder = self._folders.get(head)
        if folder is None:
            folder = self._folders[head] = _Folder(self._folder_of(written, head), self._roots)
        stem, _, suffix = name.rpartition(".")
        title = stem or name or written
        fault = folder.fault
        if fault is not None:
            return Location(None, None, title, fault)
        if name in ("", ".", ".."):
            return Location(None, None, title, "is a folder, not a file")
        return self._locate_file(folder, name, title, suffix)

    def _folder_of(self, written: str, head: str) -> str:
        if written.startswith("/"):
            return head or "/"
        return f"{self._base}/{head}" if head else self._base

    def _locate_file(self, folder: _Folder, name: str, title: str, suffix: str) -> Location:
        kind = folder.kind(name)
        if kind == stat.S_IFREG:
            fault = "a playlist inside a playlist is not followed" if f".{suffix.lower()}" in PLAYLIST_SUFFIXES else None
            return Location(folder.path / name, None, title, fault)
        if kind == stat.S_IFLNK:
            return self._locate_link(folder.path / name, title)
        fault = "no such file" if kind == 0 else "is a folder, not a file" if kind == stat.S_IFDIR else "not a regular file"
        return Location(folder.path / name, None, title, fault)

    def _locate_link(self, link: Path, title: str) -> Location:
        real = os.path.realpath(link)
        if not _is_below(real, self._roots):
            return Location(None, None, title, f"a link that leads outside the media roots: {real}")
        target = Path(real)
        if target.suffix.lower() in PLAYLIST_SUFFIXES:
            return Location(target, None, title, "a playlist inside a playlist is not followed")
        return Location(target, None, title, None if target.is_file() else "a link to no file")

    def _locate_url(self, url: str, scheme: str) -> Location:
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            return Location(None, None, scheme, "not a valid URL")
        if scheme == "file":
            return Location(None, url, host or scheme, "scheme file is refused: write the plain path")
        if scheme not in (*_FILE_SCHEMES, *LIVE_SCHEMES):
            known = ", ".join((*_FILE_SCHEMES, *LIVE_SCHEMES))
            return Location(None, url, host or scheme, f"scheme {scheme} is not supported: {known} are")
        if scheme not in self._rules.schemes:
            return Location(None, url, host or scheme, f"scheme {scheme} is refused (allowed: {', '.join(self._rules.schemes)})")
        if not host:
            return Location(None, url, scheme, "the URL names no host")
        if not self._rules.private_hosts and is_private_host(host):
            return Location(None, url, host, f"host {host} is private (url_allow.private is off)")
        return Location(None, url, host, None)


def is_private_host(host: str) -> bool:
    """The host as written is this machine or a private, link-local or otherwise not public address; names are not looked up."""
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        address: Address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        try:
            # inet_aton(3) takes what resolvers take: 127.1, 0x7f000001, 2130706433.
            address = ipaddress.IPv4Address(socket.inet_aton(bare))
        except (OSError, UnicodeError):
            return False
    return not is_public(address)


def _is_below(real: str, roots: tuple[str, ...]) -> bool:
    return any(real == root or real.startswith(root.rstrip("/") + "/") for root in roots)


def _list_kinds(folder: str) -> dict[str, int]:
    kinds: dict[str, int] = {}
    try:
        with os.scandir(folder) as names:
            for each in names:
                if each.is_symlink():
                    kinds[each.name] = stat.S_IFLNK
                elif each.is_file(follow_symlinks=False):
                    kinds[each.name] = stat.S_IFREG
                else:
                    kinds[each.name] = stat.S_IFDIR if each.is_dir(follow_symlinks=False) else stat.S_IFIFO
    except OSError:
        return kinds  # no such folder, or none we may read: each of its entries is then reported as missing
    return kinds
