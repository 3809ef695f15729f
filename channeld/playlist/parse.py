"""Playlist text to entries: .txt, .m3u/.m3u8, .yaml/.yml, and folders.

Rule: every read is bounded before anything is built from it, and a list is refused only for what makes it unreadable
(undecodable, over a cap, YAML or key errors); a bad path marks its entry. Run by control, on any of its threads.
"""

import codecs
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path

from channeld.base.errors import PlaylistError
from channeld.playlist.locate import Locator, PathRules
from channeld.playlist.model import Entry, Notice, Playlist
from channeld.playlist.yaml_list import MAX_YAML_BYTES, read_yaml_items

MAX_BYTES = 32 << 20
MAX_ENTRIES = 200_000
MAX_LINES = 1_000_000
MAX_LINE_BYTES = 4096
_CHUNK_BYTES = 1 << 16
_UTF8_BOM = b"\xef\xbb\xbf"

_MEDIA_SUFFIX = re.compile(
    r"\.(3g2|3gp|aac|aif[cf]?|amr|apng|asf|avi|bmp|caf|divx|dts|dv|e?ac3|f4v|flac|flv|gif|gxf|ivf|jpe?g|jxl|m[12][apv]|m2ts?|m4[abv]|mka|mkv"
    r"|mod|mov|mp[2-4]|mpe?g|mpv|mts|mxf|nut|og[agmv]|opus|png|qt|rm|rmvb|tiff?|tod|trp|ts|tta|vob|vro|w64|wav|web[mp]|wma|wmv|wtv|wv|y4m)",
    re.IGNORECASE,
)


def load(path: Path, rules: PathRules) -> Playlist:
    """Read a playlist file or folder. Raises PlaylistError; never waits on a FIFO or device, never reads past the cap."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return read_directory(path, rules)
        return parse(read_bounded(path), source=path, rules=rules)
    except OSError as error:
        raise PlaylistError(f"cannot be read: {error.strerror or error}", path=path) from error


def parse(data: bytes, *, source: Path, rules: PathRules) -> Playlist:
    """Read a list's text by the suffix of `source`; relative paths start at its folder. Raises PlaylistError with its line."""
    suffix = source.suffix.lower()
    if suffix not in (".txt", ".m3u", ".m3u8", ".yaml", ".yml"):
        raise PlaylistError(f"unknown kind of playlist {suffix or source.name!r} (known: .txt, .m3u, .m3u8, .yaml, .yml)", path=source)
    digest = digest_of(data)
    data = data.removeprefix(_UTF8_BOM)
    is_yaml = suffix in (".yaml", ".yml")
    _check_caps(data, source, is_yaml=is_yaml)
    encoding = "utf-8" if _is_utf8(data) else "latin-1"
    warnings = () if encoding == "utf-8" else (Notice(None, "not UTF-8: read as Latin-1"),)
    locator = Locator(source.parent, rules)
    if is_yaml:
        entries = _read_yaml(data.decode(encoding), source, locator)
    else:
        entries = list(_read_lines(data, encoding, locator, has_titles=suffix != ".txt"))
    return Playlist(tuple(entries), source, warnings, digest)


def text_of(data: bytes) -> str:
    """A list's text as `parse` reads it."""
    data = data.removeprefix(_UTF8_BOM)
    return data.decode("utf-8" if _is_utf8(data) else "latin-1")


def digest_of(data: bytes) -> bytes:
    """What tells two files' bytes apart."""
    return blake2b(data, digest_size=16).digest()


def read_directory(path: Path, rules: PathRules) -> Playlist:
    """Every media file of a folder (no hidden ones, not the folders in it), in natural order: 2 before 10."""
    names: list[str] = []
    with os.scandir(path) as found:
        for each in found:
            if is_media_name(each.name):
                names.append(each.name)
                if len(names) > MAX_ENTRIES:
                    raise PlaylistError(f"more than {MAX_ENTRIES} media files", path=path)
    locator = Locator(path, rules)
    entries: list[Entry] = []
    for name in sorted(names, key=natural_key):
        at = locator.locate(name)
        entries.append(Entry(f"e{len(entries) + 1}", name, at.path, at.url, at.title, fault=at.fault))
    return Playlist(tuple(entries), path)


def is_media_name(name: str) -> bool:
    """What counts as media in a folder playlist: by suffix (stills and sound alone can air), hidden files never."""
    return not name.startswith(".") and _MEDIA_SUFFIX.fullmatch(Path(name).suffix) is not None


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that reads numbers as numbers and ignores case; the name itself breaks ties."""
    parts = re.split(r"([0-9]{1,18})", name.casefold())
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part], name


def read_bounded(path: Path) -> bytes:
    """A regular file's bytes, up to the cap. Raises OSError, PlaylistError."""
    # O_NONBLOCK: open(2) of a FIFO without a writer would wait for ever; a regular file does not mind.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(fd, "rb", buffering=0) as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise PlaylistError("not a regular file", path=path)
        cap = MAX_YAML_BYTES if path.suffix.lower() in (".yaml", ".yml") else MAX_BYTES
        pieces: list[bytes] = []
        size = 0
        while size <= cap and found.st_size <= cap:
            piece = file.read(min(1 << 20, cap + 1 - size))
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
        raise PlaylistError(f"larger than {cap >> 20} MiB", path=path)


def _check_caps(data: bytes, source: Path, *, is_yaml: bool) -> None:
    cap = MAX_YAML_BYTES if is_yaml else MAX_BYTES
    if len(data) > cap:
        raise PlaylistError(f"larger than {cap >> 20} MiB", path=source)
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise PlaylistError("not a text file (it has a NUL byte); save it as UTF-8", path=source, line=line)
    if data.count(b"\n") > MAX_LINES:
        raise PlaylistError(f"more than {MAX_LINES} lines", path=source, line=MAX_LINES + 1)
    entries = 0
    for line, text in enumerate(io.BytesIO(data), 1):
        if len(text) > MAX_LINE_BYTES + 2:
            raise PlaylistError(f"line longer than {MAX_LINE_BYTES} bytes", path=source, line=line)
        if not is_yaml and text[:1] != b"#" and not text.isspace():
            entries += 1
            if entries > MAX_ENTRIES:
                raise PlaylistError(f"more than {MAX_ENTRIES} entries", path=source, line=line)


def _is_utf8(data: bytes) -> bool:
    # In pieces: decoding the whole at once would cost up to four bytes a character just to know.
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    try:
        for start in range(0, len(view), _CHUNK_BYTES):
            decoder.decode(view[start : start + _CHUNK_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _read_lines(data: bytes, encoding: str, locator: Locator, *, has_titles: bool) -> Iterator[Entry]:
    locate = locator.locate
    title, count, info = "", 0, ""
    for line, raw in enumerate(io.BytesIO(data), 1):
        text = raw.decode(encoding).strip()
        if not text:
            continue
        if text[0] == "#":
            if has_titles and text[:8].upper() == "#EXTINF:":
                title, info = _extinf_title(text), text
            continue
        count += 1
        at = locate(text)
        entry = Entry(f"e{count}", text, at.path, at.url, title or at.title, None, None, None, 1, line, at.fault)
        yield _bounded(replace(entry, duration_s=_extinf_seconds(info))) if entry.is_live else entry
        title = info = ""


_EXTINF = re.compile(r'#EXTINF:(?:[^,"]|"[^"]*")*,(.*)', re.IGNORECASE)


_SECONDS = re.compile(r"#EXTINF:\s*(\d{1,7}(?:\.\d{1,6})?)[\s,]", re.IGNORECASE)


def _extinf_seconds(text: str) -> Fraction | None:
    """How long a live source airs; of a file it is what somebody once measured, and means nothing."""
    match = _SECONDS.match(text)
    return (Fraction(match[1]) or None) if match else None


def _bounded(entry: Entry) -> Entry:
    """A live source ends only when it is told to."""
    if not entry.is_live or entry.fault is not None:
        return entry
    if entry.in_s is not None or entry.out_s is not None:
        return replace(entry, fault="a live source has no `in` and `out`: write its `duration`")
    if entry.duration_s is None:
        return replace(
            entry, fault="a live source has no end: write its `duration` (in a .yaml list), or its seconds after #EXTINF: (.m3u)"
        )
    return entry


def _extinf_title(text: str) -> str:
    # `#EXTINF:123 tvg-id="a,b",The title`: IPTV lists put attributes before the comma, and commas into their quotes.
    match = _EXTINF.match(text)
    return match[1].strip() if match else ""


def _read_yaml(text: str, source: Path, locator: Locator) -> list[Entry]:
    entries: list[Entry] = []
    for item in read_yaml_items(text, source, max_entries=MAX_ENTRIES, max_characters=MAX_LINE_BYTES):
        at = locator.locate(item.locator)
        entries.append(
            _bounded(
                Entry(
                    id=f"e{len(entries) + 1}",
                    locator=item.locator,
                    path=at.path,
                    url=at.url,
                    title=item.title or at.title,
                    in_s=item.in_s,
                    out_s=item.out_s,
                    duration_s=item.duration_s,
                    repeat=item.repeat,
                    line=item.line,
                    fault=at.fault,
                )
            )
        )
    return entries
