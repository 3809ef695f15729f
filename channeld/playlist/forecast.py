"""When the entries of a queue will air: its order and the lengths of clips, laid end to end.

Rule: the queue alone says what follows what; here seconds are only added up. An entry whose length nobody knows yet counts
as UNKNOWN_LENGTH_S, and every airing behind it says so. Pure; moments are seconds of whatever clock the caller counts from.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from channeld.playlist.model import Entry
from channeld.playlist.queue import Queue

UNKNOWN_LENGTH_S = 60.0


@dataclass(frozen=True, slots=True)
class Airing:
    """One airing to come. `is_estimated`: `starts_s` stands on a length that is not known."""

    entry: Entry
    starts_s: float
    length_s: float | None
    is_estimated: bool = False

    @property
    def ends_s(self) -> float:
        """When it ends, by the length that is known or assumed."""
        return self.starts_s + (UNKNOWN_LENGTH_S if self.length_s is None else self.length_s)


def forecast(
    queue: Queue,
    lengths: Callable[[Entry], float | None],
    *,
    starts_s: float,
    until_s: float,
    limit: int,
    is_refused: Callable[[Entry], bool] | None = None,
) -> list[Airing]:
    """The airings that begin before `until_s`, at most `limit`, were everything that is not refused ready in time.

    `starts_s`: when the first of them begins, that is where what airs now ends. `lengths` gives an airing's seconds, None
    where they are not known, and is asked once for each entry. The queue is read, not changed: to try an edit, apply it to
    `queue.copy()`.
    """
    airings: list[Airing] = []
    known: dict[str, float | None] = {}
    is_estimated = False
    for entry in _one_by_one(queue, is_refused):
        if starts_s >= until_s or len(airings) >= limit:
            break
        if entry.id not in known:
            known[entry.id] = lengths(entry)
        airing = Airing(entry, starts_s, known[entry.id], is_estimated)
        airings.append(airing)
        starts_s, is_estimated = airing.ends_s, is_estimated or airing.length_s is None
    return airings


def _one_by_one(queue: Queue, is_refused: Callable[[Entry], bool] | None) -> Iterator[Entry]:
    for entry, times in queue.coming(is_refused):
        for _ in range(times):
            yield entry
