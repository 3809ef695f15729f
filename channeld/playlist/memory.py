"""What a queue writes down of itself, to go on after a restart: its place, its promises and the order of its round.

Rule: about 64 KiB of JSON at most, whatever the list's length; insertions, which are never dropped, come on top. What
grows with the list is packed as hashes of ids. Pure; only Queue and Course use it.
"""

import struct
from base64 import b85decode, b85encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from channeld.playlist.model import Entry

VERSION = 1
EXACT_ENTRIES = 10_000
"""A shuffled round is written down whole for lists of up to so many entries."""
FOLLOWERS = 64
MAX_IDS = 500
"""So many owed and waiting entries are written down, and of a long list's round twice so many late comers."""
MAX_DEPARTED = 16
"""The removed entries nearest to the air: a plan promises eight."""

_TAG_SHIFTS = range(0, 40, 8)


@dataclass(frozen=True, slots=True)
class RoundTags:
    """A round's whole order in 32 bits of each id: `shift` tells which bits, chosen so that no two ids share a tag."""

    shift: int
    tags: str


@dataclass(frozen=True, slots=True)
class RoundThreshold:
    """A round of more than EXACT_ENTRIES: all that rank up to `through` have been played, but for the late comers named."""

    through: str
    late_played: tuple[str, ...]
    late_coming: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CourseMemory:
    """A place in a round. `followers` are the ids that came next; `played` counts what of the round's order is behind."""

    cursor: str | None
    followers: tuple[str, ...]
    round: int
    played: int
    order: RoundTags | RoundThreshold | None


@dataclass(frozen=True, slots=True)
class Departed:
    """An entry that an edit removed since the last start: it may be on its way to the air all the same.

    `distance` is how many turns before its own there were then; `is_of_next_round`: those of the round that was running among them.
    """

    entry: Entry
    successor: str | None
    was_owed: bool
    distance: int
    is_of_next_round: bool = False


@dataclass(frozen=True, slots=True)
class QueueMemory:
    """A queue between two starts. `run` is the listed entry that airs in a row and how often it has begun."""

    revision: int
    digest: str
    current: Entry | None
    again: Entry | None
    run: tuple[str, int] | None
    insertions: tuple[tuple[Entry, int], ...]
    insertion_count: int
    owed: tuple[str, ...]
    waiting: tuple[str, ...]
    departed: tuple[Departed, ...]
    course: CourseMemory


def pack_round(ids: Sequence[str]) -> RoundTags:
    """An order of listed ids as tags."""
    numbers = [int(entry_id[1:], 16) for entry_id in ids]
    for shift in _TAG_SHIFTS:
        tags = [number >> shift & 0xFFFFFFFF for number in numbers]
        if len(set(tags)) == len(tags):
            break
    return RoundTags(shift, b85encode(struct.pack(f"<{len(tags)}I", *tags)).decode())


def unpack_round(order: RoundTags, ids: Iterable[str]) -> Iterator[str | None]:
    """The same order over ids that are listed now; None for each that is listed no more. Raises ValueError."""
    known = {int(entry_id[1:], 16) >> order.shift & 0xFFFFFFFF: entry_id for entry_id in ids}
    return (known.get(tag) for tag in _words("I", order.tags))


def write_memory(memory: QueueMemory) -> dict[str, Any]:
    """As JSON-able values."""
    return {
        "version": VERSION,
        "revision": memory.revision,
        "digest": memory.digest,
        "current": _write_entry(memory.current),
        "again": _write_entry(memory.again),
        "run": memory.run,
        "insertions": [[_write_entry(entry), left] for entry, left in memory.insertions],
        "insertion_count": memory.insertion_count,
        "owed": _pack_ids(memory.owed),
        "waiting": _pack_ids(memory.waiting),
        "departed": [
            [_write_entry(each.entry), each.successor, each.was_owed, each.distance, each.is_of_next_round] for each in memory.departed
        ],
        "course": _write_course(memory.course),
    }


def read_memory(written: Mapping[str, Any]) -> QueueMemory:
    """The inverse, after any number of trips through JSON. Raises ValueError for what no queue wrote."""
    try:
        if written["version"] != VERSION:
            raise ValueError(f"a queue's memory of version {written['version']}; this is version {VERSION}")
        run = written["run"]
        return QueueMemory(
            revision=int(written["revision"]),
            digest=str(written["digest"]),
            current=_read_entry(written["current"]),
            again=_read_entry(written["again"]),
            run=None if run is None else (str(run[0]), int(run[1])),
            insertions=tuple((_read_entry_there(entry), int(left)) for entry, left in written["insertions"]),
            insertion_count=int(written["insertion_count"]),
            owed=_unpack_ids(written["owed"]),
            waiting=_unpack_ids(written["waiting"]),
            departed=tuple(Departed(_read_entry_there(entry), *rest) for entry, *rest in written["departed"]),
            course=_read_course(written["course"]),
        )
    except (KeyError, TypeError, IndexError, AttributeError, ArithmeticError, struct.error) as error:
        raise ValueError(f"not a queue's memory: {error!r}") from None


def _write_course(course: CourseMemory) -> dict[str, Any]:
    written: dict[str, Any] = {
        "cursor": course.cursor,
        "followers": _pack_ids(course.followers),
        "round": course.round,
        "played": course.played,
    }
    order = course.order
    if isinstance(order, RoundTags):
        written |= {"shift": order.shift, "tags": order.tags}
    elif order is not None:
        written |= {"through": order.through, "late_played": _pack_ids(order.late_played), "late_coming": _pack_ids(order.late_coming)}
    return written


def _read_course(written: Mapping[str, Any]) -> CourseMemory:
    order: RoundTags | RoundThreshold | None = None
    if "tags" in written:
        order = RoundTags(int(written["shift"]), written["tags"])
        _words("I", order.tags)
    elif "through" in written:
        order = RoundThreshold(str(written["through"]), _unpack_ids(written["late_played"]), _unpack_ids(written["late_coming"]))
        bytes.fromhex(order.through)
    return CourseMemory(
        cursor=None if written["cursor"] is None else str(written["cursor"]),
        followers=_unpack_ids(written["followers"]),
        round=int(written["round"]),
        played=int(written["played"]),
        order=order,
    )


def _pack_ids(ids: Sequence[str]) -> str:
    return b85encode(bytes.fromhex("".join(entry_id[1:] for entry_id in ids))).decode()


def _unpack_ids(packed: str) -> tuple[str, ...]:
    return tuple(f"e{number:016x}" for number in _words("Q", packed, order=">"))


def _words(code: str, packed: str, order: str = "<") -> tuple[int, ...]:
    # Without padding in b85, a length that is no whole number of words is damage; struct.error is read_memory's ValueError.
    raw = b85decode(packed)
    return struct.unpack(f"{order}{len(raw) // struct.calcsize(order + code)}{code}", raw)


def _write_entry(entry: Entry | None) -> list[Any] | None:
    if entry is None:
        return None
    path = None if entry.path is None else str(entry.path)
    trims = [None if each is None else str(each) for each in (entry.in_s, entry.out_s, entry.duration_s)]
    return [entry.id, entry.locator, path, entry.url, entry.title, *trims, entry.repeat, entry.line, entry.fault]


def _read_entry(written: Sequence[Any] | None) -> Entry | None:
    return None if written is None else _read_entry_there(written)


def _read_entry_there(written: Sequence[Any]) -> Entry:
    entry_id, locator, path, url, title, in_s, out_s, duration_s, repeat, line, fault = written
    starts, ends, lasts = (None if each is None else Fraction(each) for each in (in_s, out_s, duration_s))
    return Entry(entry_id, locator, None if path is None else Path(path), url, title, starts, ends, lasts, int(repeat), line, fault)
