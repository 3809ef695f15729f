"""An M3U list of upstream channels to entries: what a proxy imports.

Rule: every bound is checked before anything is built from what is behind it; an entry with a fault is left out and told with its
line, a list is refused only where nothing can be had of it. No text of a fault holds a URL. Pure; safe from any thread.

There is no specification. What is read: `#EXTINF:<duration> key="value" …,title`, `#EXTGRP` (before a `#EXTINF` for all entries from there
on, behind one for that entry), and URLs; other `#EXT…` and `#KODIPROP` lines of an entry are kept as its options and mean nothing here.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from channeld.base.errors import ChannelError
from channeld.relay.proxy_ids import Identity, channel_ids

MAX_LINE = 16_384
MAX_URL = 4_096
MAX_TITLE = 500
MAX_ATTRIBUTES = 64
MAX_OPTIONS = 32
MAX_FAULTS = 1_000

_BLANK = " \t"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINE = re.compile(r"[^\n]+")
_DURATION = re.compile(r"[ \t]*(?:[-+]?\d+(?:\.\d*)?)?")
# One attribute, or a word that is none and says nothing; a quote anywhere else is one that nobody closed.
_WORD = re.compile(r'[ \t]*(?:([^ \t,"=]+)=(?:"([^"]*)"|([^ \t,"]*))|[^ \t,"]+)')
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BARE = re.compile(r"[^\s\"'<>\\^`{}]+")
_OPTION = re.compile(r"#(?:EXT|KODIPROP:)", re.IGNORECASE)
_MANIFEST = re.compile(r"^#EXT-X-(?:TARGETDURATION|MEDIA-SEQUENCE|STREAM-INF)\b", re.MULTILINE)
_PAGE = re.compile(r"\s*<(?:!doctype|html|\?xml|head|body)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caps:
    """What a whole list may have. Entries with a fault count too."""

    bytes: int = 16 << 20
    entries: int = 50_000
    lines: int = 500_000


CAPS = Caps()


class ProxyListError(ChannelError):
    """Nothing can be had of a list: what was imported before stays."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an entry was left out. `line` counts from 1: that of the URL, or of the `#EXTINF` where there is none."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ProxyEntry:
    """One upstream channel. `attributes`: lower-case keys, in their order; `group` stands among them as `group-title`, too.

    `url`, attributes and `options` (lines and Kodi's `|…` as they were) may hold passwords.
    """

    channel_id: str
    title: str
    url: str = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    group: str | None = None
    options: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class ProxyList:
    """A list as it was read. `attributes`: those of `#EXTM3U`. `left_out` entries had a fault; of these MAX_FAULTS are told."""

    entries: tuple[ProxyEntry, ...]
    faults: tuple[Fault, ...]
    left_out: int
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    encoding: str = "utf-8"


def parse(content: bytes, *, schemes: Collection[str], known: Mapping[str, Identity] | None = None, caps: Caps = CAPS) -> ProxyList:
    """Read a list. `schemes`: those that a URL may have, in lower case; `known`: ids that were given before, which go on.

    Raises ProxyListError.
    """
    if len(content) > caps.bytes:
        raise ProxyListError(f"the list is larger than {caps.bytes >> 20} MiB. Import a part of it")
    text, encoding = _decode(content)
    if _PAGE.match(text):
        raise ProxyListError("this is a web page or XML, not an M3U list. Look at the address in a browser: perhaps it asks for a login")
    if _MANIFEST.search(text):
        raise ProxyListError("this is the HLS manifest of one channel, not a list of channels. Use its address as an upstream")
    reader = _Reader(frozenset(schemes), caps.entries)
    for number, line in _lines(text, caps.lines):
        reader.feed(number, line)
    reader.end()
    if not reader.found:
        first = f". Line {reader.faults[0].line}: {reader.faults[0].message}" if reader.faults else ""
        raise ProxyListError(f"the list has no entry that can be used{first}")
    ids = channel_ids([each.identity for each in reader.found], known or {})
    entries = tuple(
        ProxyEntry(channel_id, each.identity.title, each.identity.url, each.attributes, each.group, each.options)
        for channel_id, each in zip(ids, reader.found, strict=True)
    )
    return ProxyList(entries, tuple(reader.faults), reader.left_out, reader.attributes, encoding)


def _decode(content: bytes) -> tuple[str, str]:
    """The text with LF only, and the encoding it was in. Raises ProxyListError."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        # What calls itself Latin-1 is the Windows code page in fact, which has five bytes that mean nothing.
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text.replace("\r\n", "\n").replace("\r", "\n"), {"utf-8-sig": "utf-8", "cp1252": "latin-1"}.get(encoding, encoding)
    raise ProxyListError("the list is not text. Save it as UTF-8")


def _lines(text: str, most: int) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank. Raises ProxyListError: too many."""
    number, at = 1, 0
    for found in _LINE.finditer(text):
        number += text.count("\n", at, found.start())
        at = found.start()
        if number > most:
            raise ProxyListError(f"the list has more than {most} lines. Import a part of it")
        if line := found[0].strip(_BLANK):
            yield number, line


class _Found(NamedTuple):
    """An entry without its id."""

    identity: Identity
    attributes: dict[str, str]
    group: str | None
    options: tuple[str, ...]


class _Broken(Exception):
    """The entry being read has a fault."""


class _Reader:
    """The list, a line at a time."""

    def __init__(self, schemes: frozenset[str], max_entries: int) -> None:
        self._schemes, self._max_entries = schemes, max_entries
        self.found: list[_Found] = []
        self.faults: list[Fault] = []
        self.left_out = 0
        self.attributes: dict[str, str] = {}
        self._running_group: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._started: int | None = None
        self._fault: str | None = None
        self._own: dict[str, str] = {}
        self._title: str | None = None
        self._group: str | None = None
        self._options: list[str] = []

    def feed(self, number: int, line: str) -> None:
        """Take a line. Raises ProxyListError: more entries than may be."""
        is_long = len(line) > MAX_LINE
        if is_long and line.startswith("#"):
            if line[:7].upper() == "#EXTINF":
                self._start(number)
                self._fault = f"line {number} is longer than {MAX_LINE} characters"
            return
        if is_long:
            self._fault = self._fault or f"the line is longer than {MAX_LINE} characters"
        if line.startswith("#"):
            self._directive(number, line)
        else:
            self._entry(number, line)

    def end(self) -> None:
        """The list ends here."""
        if self._started is not None:
            self._leave_out(self._started, self._fault or "no URL follows this #EXTINF")

    def _directive(self, number: int, line: str) -> None:
        name, _, rest = line.partition(":")
        name = name.upper()
        if name == "#EXTINF":
            self._extinf(number, rest)
        elif name == "#EXTGRP":
            group = _clean(rest)
            if self._started is None:
                self._running_group = group or None
            else:
                self._group = group or None
        elif line[:7].upper() == "#EXTM3U":
            self.attributes = self.attributes or _header(line[7:])
        elif _OPTION.match(line) and len(self._options) < MAX_OPTIONS:
            self._options.append(line)

    def _start(self, number: int) -> None:
        if self._started is not None:
            self.end()
            self._begin()
        self._started = number

    def _extinf(self, number: int, rest: str) -> None:
        self._start(number)
        try:
            self._own, self._title = _read_extinf(rest)
        except _Broken as broken:
            self._fault = str(broken)

    def _entry(self, number: int, line: str) -> None:
        url, bar, options = line.partition("|")
        try:
            if self._fault is not None:
                raise _Broken(self._fault)
            self._found(_check_url(url, self._schemes), [*self._options, bar + options] if bar else self._options)
        except _Broken as broken:
            self._leave_out(number, str(broken))
        self._begin()

    def _found(self, url: str, options: list[str]) -> None:
        own = self._own
        # Never of the URL's path: the last part of that may be a password.
        title = self._title or _clean(own.get("tvg-name", "")) or _clean(own.get("tvg-id", "")) or str(urlsplit(url).hostname)
        group = _clean(own.get("group-title", "")) or self._group or self._running_group
        if group is not None:
            own["group-title"] = group
        self.found.append(_Found(Identity(own.get("tvg-id", ""), title[:MAX_TITLE].rstrip(), url), own, group, tuple(options)))
        self._count()

    def _leave_out(self, number: int, message: str) -> None:
        self.left_out += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(number, message))
        self._count()

    def _count(self) -> None:
        if len(self.found) + self.left_out > self._max_entries:
            raise ProxyListError(f"the list has more than {self._max_entries} entries. Import a part of it")


def _clean(text: str) -> str:
    """Fit for one line, without spaces around it."""
    return _CONTROL.sub(" ", text).strip()


def _read_extinf(rest: str) -> tuple[dict[str, str], str]:
    """Attributes and title; the title may be empty. Raises _Broken."""
    began = _DURATION.match(rest)
    attributes, at = _attributes(rest, began.end() if began else 0)
    return attributes, _clean(rest[at + 1 :])


def _header(rest: str) -> dict[str, str]:
    """Attributes of `#EXTM3U`; none where they cannot be read."""
    try:
        return _attributes(rest, 0)[0]
    except _Broken:
        return {}


def _attributes(text: str, at: int) -> tuple[dict[str, str], int]:
    """What stands before the first comma outside of quotes, and where that comma is, or the end. Raises _Broken."""
    attributes: dict[str, str] = {}
    while found := _WORD.match(text, at):
        at = found.end()
        key, quoted, bare = found.groups()
        if key is not None:
            attributes[_CONTROL.sub("", key).lower()] = _CONTROL.sub(" ", quoted if quoted is not None else bare)
            if len(attributes) > MAX_ATTRIBUTES:
                raise _Broken(f"more than {MAX_ATTRIBUTES} attributes")
    at += len(text[at:]) - len(text[at:].lstrip(_BLANK))
    if at < len(text) and text[at] != ",":
        raise _Broken("a quotation mark is not closed, or stands inside of a value")
    attributes.pop("", None)
    return attributes, at


def _check_url(written: str, schemes: frozenset[str]) -> str:
    """The URL, if it may be one of an upstream. Raises _Broken, without any part that may be secret."""
    url = written.rstrip(_BLANK)
    found = _SCHEME.match(url)
    if found is None:
        raise _Broken("this is no URL: a list of upstream channels has no files and no relative addresses")
    if found[1].lower() not in schemes:
        raise _Broken(f"scheme {found[1].lower()[:20]} is not among those allowed ({', '.join(sorted(schemes))})")
    if len(url) > MAX_URL:
        raise _Broken(f"the URL is longer than {MAX_URL} characters")
    if _CONTROL.search(url) or not _BARE.fullmatch(url):
        raise _Broken("the URL holds a space, a quotation mark, a backslash or a control character. Write it as %XX")
    try:
        parts = urlsplit(url)
        has_host, port = bool(parts.hostname), parts.port
    except ValueError:
        raise _Broken("the URL's host or port is not valid") from None
    if not has_host or port == 0:
        raise _Broken("the URL names no host, or port 0")
    return url[: found.start(1)] + found[1].lower() + url[found.end(1) :]  # FFmpeg knows protocols in lower case only
