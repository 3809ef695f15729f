"""Edits to the text of .txt, .m3u and .m3u8 lists.

Rule: an entry is its own line and, in .m3u, the directives (#EXTINF, #EXTVLCOPT, #KODIPROP …) since the entry before; these
go where it goes. Comments and empty lines stay where they are. Used by `rewrite`.
"""

import re
from dataclasses import dataclass

from channeld.playlist.written import Fields, Unwritable, newline_of

# #EXTM3U, #EXTENC and HLS's #EXT-X-… are about the list, not about one entry.
_DIRECTIVE = re.compile(r"\s*#(?:EXT(?!M3U|ENC|-X-)|KODIPROP)", re.IGNORECASE)
_EXTINF = re.compile(r'(\s*#EXTINF:(?:[^,"]|"[^"]*")*,)(.*?)(\s*)', re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Lines:
    """A list's lines with their ends; for each entry, the numbers of its lines, its own last."""

    lines: list[str]
    entries: list[list[int]]
    orphans: list[int]
    """Directives behind the last entry."""


def _read(text: str, *, has_titles: bool) -> _Lines:
    lines = text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    entries: list[list[int]] = []
    owned: list[int] = []
    for number, line in enumerate(lines):
        written = line.strip()
        if not written:
            continue
        if written[0] != "#":
            entries.append([*owned, number])
            owned = []
        elif has_titles and _DIRECTIVE.match(line):
            owned.append(number)
    return _Lines(lines, entries, owned)


def insert_lines(text: str, index: int, fields: Fields, *, has_titles: bool) -> str:
    """A new entry at an index."""
    end = newline_of(text)
    fresh = [f"{_path(fields)}{end}"]
    _refuse_unsayable(fields, ("path", "title") if has_titles else ("path",))
    if has_titles and (title := fields.get("title")):
        fresh.insert(0, f"#EXTINF:-1,{title}{end}")
    if has_titles and not text:
        fresh.insert(0, f"#EXTM3U{end}")
    found = _read(text, has_titles=has_titles)
    place = _place(found, index)
    return _join([*found.lines[:place], *fresh, *found.lines[place:]], end)


def remove_lines(text: str, index: int, *, has_titles: bool) -> str:
    """The list without an entry and its directives."""
    found = _read(text, has_titles=has_titles)
    gone = set(found.entries[index])
    return "".join(line for number, line in enumerate(found.lines) if number not in gone)


def move_lines(text: str, index: int, to: int, *, has_titles: bool) -> str:
    """An entry with its directives at another place."""
    if to == index:
        return text
    found = _read(text, has_titles=has_titles)
    place = _place(found, to if to < index else to + 1)
    gone = set(found.entries[index])
    before = [line for number, line in enumerate(found.lines[:place]) if number not in gone]
    after = [line for number, line in enumerate(found.lines[place:], place) if number not in gone]
    return _join([*before, *(found.lines[number] for number in found.entries[index]), *after], newline_of(text))


def retitle(text: str, index: int, fields: Fields, *, has_titles: bool) -> str:
    """An entry under another title."""
    _refuse_unsayable(fields, ("title",) if has_titles else ())
    if "title" not in fields or not has_titles:
        return text
    found, end, title = _read(text, has_titles=has_titles), newline_of(text), fields["title"]
    *directives, own = found.entries[index]
    # The last one counts, as for whoever reads the list.
    infos = [number for number in directives if found.lines[number].strip()[:8].upper() == "#EXTINF:"]
    match = _EXTINF.fullmatch(found.lines[infos[-1]]) if infos else None
    if match is not None:
        found.lines[infos[-1]] = f"{match[1]}{title or ''}{match[3]}"
    elif title:
        found.lines[own] = f"#EXTINF:-1,{title}{end}{found.lines[own]}"
    return "".join(found.lines)


def _place(found: _Lines, index: int) -> int:
    """Where the lines of an entry of this index are to begin."""
    if index < len(found.entries):
        return found.entries[index][0]
    if found.entries:
        return found.entries[-1][-1] + 1
    return found.orphans[0] if found.orphans else len(found.lines)


def _join(lines: list[str], end: str) -> str:
    # The last line of a file may lack its end; it is the last no more.
    return "".join(line if line.endswith("\n") else f"{line}{end}" for line in lines[:-1]) + lines[-1]


def _path(fields: Fields) -> str:
    path = fields.get("path") or ""
    if path.startswith("#"):
        raise Unwritable(f"path: a line that begins with # is a comment here; write ./{path}")
    return path


def _refuse_unsayable(fields: Fields, known: tuple[str, ...]) -> None:
    extra = [name for name, value in fields.items() if name not in known and value is not None]
    if extra:
        where = "a .yaml playlist" if extra != ["title"] else "an .m3u or .yaml playlist"
        raise Unwritable(f"{', '.join(extra)}: can only stand in {where}, not in this one; save the list as that")
