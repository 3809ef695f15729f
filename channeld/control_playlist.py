"""Playlists for the admin interface: read with what is known of each entry, edited in their files, and foreseen.

Rule: a file is written only over the bytes that its editor has read (tag), by one writer at a time, and counts as soon as it
is written. What the loop is asked is short; parsing and writing are done on the caller's thread.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from channeld.api.control import Edited, Invalid, PlaylistDocument, Refused, Stale, Tags
from channeld.base.errors import PlaylistError
from channeld.channel.foreseen import foreseen_length_s
from channeld.channel.loop import ControlLoop
from channeld.channel.preparation import Prepared
from channeld.channel.settings import ChannelSettings
from channeld.channel.supervisor import Supervisor
from channeld.control_files import Overtaken, read_file, replace_file
from channeld.control_shown import describe_edit, describe_entry
from channeld.playlist.locate import Locator
from channeld.playlist.model import Content, Entry, Playlist
from channeld.playlist.order import Diff
from channeld.playlist.orders import AddEntry, Order, UnknownEntry, as_edit
from channeld.playlist.parse import MAX_ENTRIES, digest_of, parse, text_of
from channeld.playlist.queue import Queue
from channeld.playlist.rewrite import Change, Edit, Insert, Move, is_as_meant, rewrite
from channeld.playlist.written import Unwritable

MEDIA_TYPES = {".m3u": "audio/x-mpegurl", ".m3u8": "audio/x-mpegurl", ".yaml": "application/yaml", ".yml": "application/yaml"}
ENTRIES_A_TURN = 500
"""So many entries are looked up in one go on the control loop."""
FOLDER = "this channel airs a folder: add and remove files there"
NO_LIST = "this channel airs live sources and has no list: name one as its `playlist`, which then airs while no source is live"


_Row = tuple[Entry, Prepared, float | None]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look at a list: its file's bytes (None: no file), the list in use, and the tag that stands for both."""

    content: bytes | None
    playlist: Playlist | None
    revision: int
    tag: str

    @property
    def is_own(self) -> bool:
        """The file is the list that is in use."""
        return self.playlist is not None and self.content is not None and self.playlist.digest == digest_of(self.content)


@dataclass(frozen=True, slots=True)
class _Moment:
    """The list in use, as the control loop has it in one turn. `digest`: of the bytes that the revision was made of."""

    playlist: Playlist | None
    revision: int
    digest: bytes | None

    def with_file(self, content: bytes | None) -> _Seen:
        """Together with what its file holds."""
        found = None if content is None else digest_of(content)
        # A reader must not take one file for another because the list says the same, or cannot be read.
        suffix = "" if found == self.digest else f".{found.hex()[:16] if found is not None else 'none'}"
        return _Seen(content, self.playlist, self.revision, f"{self.revision}{suffix}")


@dataclass(frozen=True, slots=True)
class _Draft:
    """A list to be written. `edit`: the one that led to it; `lengths`: seconds of what it adds, where nobody knew them yet."""

    content: bytes
    playlist: Playlist
    edit: Edit | None
    lengths: Mapping[Content, float]


@dataclass(frozen=True, slots=True)
class _Page:
    """Some entries of the list, from index `start` on, and when they air."""

    moment: _Moment
    start: int
    rows: list[_Row]
    outlook: dict[str, float]
    playing: str | None


def _why_fixed(settings: ChannelSettings) -> str | None:
    """Why a channel's list cannot be edited; None where it can."""
    if not settings.has_list:
        return NO_LIST
    return FOLDER if settings.playlist.is_dir() else None


def _refuse_fixed(settings: ChannelSettings) -> None:
    fixed = _why_fixed(settings)
    if fixed is not None:
        raise Refused(409, "No list" if fixed is NO_LIST else "A folder", fixed)


class PlaylistDesk:
    """Reads and edits the lists of all channels. Any thread but the control loop's. `hear`: read a channel's list again, soon."""

    def __init__(self, loop: ControlLoop, hear: Callable[[str], None]) -> None:
        self._loop = loop
        self._hear = hear

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self, supervisor: Supervisor, after: str | None = None, limit: int | None = None) -> PlaylistDocument:
        """The list; `limit` entries behind one. Raises Refused."""
        path, fixed = supervisor.settings.playlist, _why_fixed(supervisor.settings)
        content = None if fixed else read_file(path)
        page = self._page(supervisor, after, limit)
        seen = page.moment.with_file(content)
        entries = [
            describe_entry(
                row[0], index, row[1], length_s=row[2], airs_at=page.outlook.get(row[0].id), is_playing=row[0].id == page.playing
            )
            for index, row in enumerate(page.rows, page.start)
        ]
        text = text_of(content or b"") if after is None else ""
        total = _count(page.moment.playlist)
        following = str(entries[-1]["entry"]) if entries and page.start + len(entries) < total else None
        kind = MEDIA_TYPES.get(path.suffix.lower(), "text/plain")
        return PlaylistDocument(text, kind, seen.revision, entries, seen.tag, total, following, fixed)

    def _page(self, supervisor: Supervisor, after: str | None, limit: int | None) -> _Page:
        """So many entries of one list, in several turns of the loop where there are many."""
        for turn in (ENTRIES_A_TURN, ENTRIES_A_TURN, MAX_ENTRIES):
            page = self._loop.call(partial(_first_rows, supervisor, after, turn if limit is None else min(turn, limit)))
            end = _count(page.moment.playlist) if limit is None else min(_count(page.moment.playlist), page.start + limit)
            while page.start + len(page.rows) < end:
                begin = page.start + len(page.rows)
                places = range(begin, min(end, begin + turn))
                rows = self._loop.call(partial(_rows, supervisor, page.moment.playlist, places))
                if not rows:
                    break  # another list took its place
                page.rows.extend(rows)
            else:
                break
        return page

    def _look(self, supervisor: Supervisor) -> _Seen:
        settings = supervisor.settings
        content = None if _why_fixed(settings) else read_file(settings.playlist)
        return self._loop.call(lambda: _moment(supervisor)).with_file(content)

    # -- editing ------------------------------------------------------------------------------------------------

    def write(
        self, supervisor: Supervisor, *, text: str | None, entries: list[dict[str, Any]] | None, if_match: Tags, dry_run: bool
    ) -> Edited:
        """Replace the list. Raises Stale, Invalid, Refused."""
        path = supervisor.settings.playlist
        _refuse_fixed(supervisor.settings)
        content = (_written(entries or [], path) if text is None else text).encode()
        return self._put(supervisor, lambda _: (content, None), if_match=if_match, dry_run=dry_run)

    def edit(self, supervisor: Supervisor, order: Order, *, if_match: Tags, dry_run: bool) -> Edited:
        """Edit one entry. Raises Stale, Invalid, Refused."""
        settings = supervisor.settings
        _refuse_fixed(settings)
        if isinstance(order, AddEntry):
            self._check_media(supervisor, order.fields.get("path") or "")

        def make(seen: _Seen) -> tuple[bytes, Edit | None]:
            edit = self._as_edit(supervisor, order, seen)
            try:
                return rewrite(seen.content or b"", settings.playlist.suffix, edit), edit
            except Unwritable as error:
                raise Refused(422, "Cannot be written", f"{error}. Nothing was changed.") from error

        return self._put(supervisor, make, if_match=if_match, dry_run=dry_run)

    def _as_edit(self, supervisor: Supervisor, order: Order, seen: _Seen) -> Edit:
        if seen.playlist is None or not seen.is_own:
            # What is on the disk is another list: broken, or not taken up yet.
            _parsed(seen.content or b"", supervisor)
            raise self._stale(supervisor, seen)
        rundown, playlist = supervisor.rundown, seen.playlist

        def resolve() -> Edit | None:
            is_same = _says_the_same(rundown.playlist, playlist)
            return as_edit(order, rundown.queue.position, len(playlist.entries)) if is_same else None

        try:
            edit = self._loop.call(resolve)
            if edit is None:
                raise self._stale(supervisor, seen)
            return edit
        except UnknownEntry as error:
            raise Refused(404, "Unknown entry", f"{error}; GET the playlist as JSON for its entries") from error
        except Unwritable as error:
            raise Refused(422, "Cannot be written", f"{error}. Nothing was changed.") from error

    def _check_media(self, supervisor: Supervisor, path: str) -> None:
        fault = Locator(supervisor.settings.playlist.parent, supervisor.settings.rules).locate(path).fault
        if fault is not None:
            raise Refused(422, "Cannot air", f"{path}: {fault}")

    def _put(self, supervisor: Supervisor, make: Callable[[_Seen], tuple[bytes, Edit | None]], *, if_match: Tags, dry_run: bool) -> Edited:
        turn: AbstractContextManager[Any] = nullcontext() if dry_run else supervisor.readings.writing
        with turn:
            seen = self._look(supervisor)
            if if_match is not None and seen.tag not in if_match:
                raise self._stale(supervisor, seen)
            draft = self._draft(supervisor, seen, *make(seen))
            if dry_run:
                return self._foresee(supervisor, seen, draft)
            before, copied = self._loop.call(lambda: (_outlook(supervisor), supervisor.rundown.queue.copy()))
            diff = copied.apply(draft.playlist)
            reading = self._replace(supervisor, draft.content, seen)
            done = self._loop.call(lambda: self._apply(supervisor, draft, reading, (copied, diff, before)))
            return replace(done, tag=self._look(supervisor).tag, changed=draft.content != seen.content)

    def _draft(self, supervisor: Supervisor, seen: _Seen, content: bytes, edit: Edit | None) -> _Draft:
        """What is to be written, read as it will be. Raises Invalid, Refused."""
        playlist = _parsed(content, supervisor)
        if edit is not None and not is_as_meant(seen.playlist.entries if seen.playlist else (), playlist.entries, edit):
            raise Refused(422, "Cannot be written", "in this list's format the entry would say something else. Nothing was changed.")
        lengths: dict[Content, float] = {}
        if isinstance(edit, Insert | Change):
            entry = playlist.entries[edit.index]
            if self._loop.call(lambda: supervisor.rundown.expected_length_s(entry)) is None:
                length_s = foreseen_length_s(supervisor.settings.profile, entry)
                lengths = {} if length_s is None else {entry.content: length_s}
        return _Draft(content, playlist, edit, lengths)

    def _replace(self, supervisor: Supervisor, content: bytes, seen: _Seen) -> int:
        """Have the file hold this; gives the number of a reading that would find it."""
        try:
            if content != seen.content:
                replace_file(supervisor.settings.playlist, content, seen=seen.content)
        except Overtaken:
            raise self._stale(supervisor, self._look(supervisor)) from None
        return supervisor.readings.take()

    def _stale(self, supervisor: Supervisor, seen: _Seen) -> Stale:
        self._hear(supervisor.settings.id)  # what overtook the editor may not have been heard of yet
        return Stale(seen.revision, seen.tag)

    def _apply(self, supervisor: Supervisor, draft: _Draft, reading: int, foreseen: tuple[Queue, Diff, dict[str, float]]) -> Edited:
        """Control loop's thread. What the edit did is told by the copy: the watcher may have been faster, or a newer list have come."""
        supervisor.apply(draft.playlist, reading)
        copied, diff, before = foreseen
        return _edited(supervisor, copied, diff, draft, before)

    def _foresee(self, supervisor: Supervisor, seen: _Seen, draft: _Draft) -> Edited:
        """The same on a copy."""
        rundown = supervisor.rundown
        copied, before = self._loop.call(lambda: (rundown.queue.copy(), _outlook(supervisor)))
        diff = copied.apply(draft.playlist)
        done = self._loop.call(lambda: _edited(supervisor, copied, diff, draft, before))
        return replace(done, revision=seen.revision, tag=seen.tag, changed=draft.content != seen.content)


def _edited(supervisor: Supervisor, queue: Queue, diff: Diff, draft: _Draft, before: dict[str, float]) -> Edited:
    """What an edit came to, by the queue that it was done to. Control loop's thread, as those below."""
    edit = draft.edit
    place = edit.to if isinstance(edit, Move) else edit.index if isinstance(edit, Insert | Change) else None
    entry = queue.listed(place).id if place is not None else None
    changed = (entry,) if isinstance(edit, Change) and entry is not None else ()
    after = _outlook(supervisor, queue, draft.lengths)
    shown, airs, left_out = describe_edit(queue, diff, (entry,) if entry is not None else (), before, after)
    return Edited(queue.revision, "", supervisor.next_boundary(), True, entry, {**shown, "changed": list(changed)}, airs, left_out)


def _moment(supervisor: Supervisor) -> _Moment:
    rundown = supervisor.rundown
    return _Moment(rundown.playlist, rundown.queue.revision, rundown.digest)


def _outlook(supervisor: Supervisor, queue: Queue | None = None, lengths: Mapping[Content, float] | None = None) -> dict[str, float]:
    """When each entry airs next; by a copy of the queue where one is given."""
    return supervisor.rundown.outlook(now_ns=time.monotonic_ns(), wall_s=time.time(), queue=queue, lengths=lengths or {})


def _first_rows(supervisor: Supervisor, after: str | None, count: int) -> _Page:
    rundown, moment = supervisor.rundown, _moment(supervisor)
    last = -1 if after is None else rundown.queue.position(after)
    if last is None:
        raise Refused(404, "Unknown entry", f"the playlist has no entry {after!r}: it was removed, or is another by now")
    places = range(last + 1, min(last + 1 + count, _count(moment.playlist)))
    playing = rundown.now.planned.entry.id if rundown.now.planned is not None else None
    return _Page(moment, last + 1, _rows(supervisor, moment.playlist, places), _outlook(supervisor), playing)


def _rows(supervisor: Supervisor, playlist: Playlist | None, places: range) -> list[_Row]:
    rundown = supervisor.rundown
    if not _says_the_same(rundown.playlist, playlist):
        return []
    return [(entry := rundown.queue.listed(place), rundown.standing(entry), rundown.expected_length_s(entry)) for place in places]


def _says_the_same(one: Playlist | None, other: Playlist | None) -> bool:
    """By the bytes, where there are any: the watcher may have read the same file again meanwhile."""
    if one is None or other is None or one.digest is None:
        return one is other
    return one.digest == other.digest


def _count(playlist: Playlist | None) -> int:
    return len(playlist.entries) if playlist is not None else 0


def _parsed(content: bytes, supervisor: Supervisor) -> Playlist:
    settings = supervisor.settings
    try:
        return parse(content, source=settings.playlist, rules=settings.rules)
    except PlaylistError as error:
        raise Invalid(error.message, error.line) from error


def _written(entries: list[dict[str, Any]], path: Path) -> str:
    """Entries in the playlist's own format. Raises Invalid where it cannot hold what an entry says."""
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return yaml.safe_dump(entries, allow_unicode=True, sort_keys=False)
    lines = ["#EXTM3U"] if suffix in (".m3u", ".m3u8") else []
    for number, entry in enumerate(entries, 1):
        extra = sorted(set(entry) - {"path", "title"})
        if extra:
            raise Invalid(f"entry {number}: {', '.join(extra)} can only stand in a .yaml playlist", number)
        where, title = str(entry.get("path") or "").strip(), str(entry.get("title") or "").strip()
        if not where or any(mark in where + title for mark in "\r\n") or where.startswith("#"):
            raise Invalid(f"entry {number}: path must be one line that does not begin with #", number)
        if title and not lines[:1] == ["#EXTM3U"]:
            raise Invalid(f"entry {number}: a title can only stand in an .m3u or .yaml playlist", number)
        if title and lines[:1] == ["#EXTM3U"]:
            lines.append(f"#EXTINF:-1,{title}")
        lines.append(where)
    return "\n".join(lines) + "\n"
