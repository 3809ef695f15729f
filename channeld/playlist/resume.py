"""Where a channel goes on after an outage.

Rule: `exact` is the frame, `entry` the start of the entry, `start` the start of the list; `hold` means the place where the
channel stopped, `continue` the place where the clock would be. Insertions and owed entries were promised and are still to
come: the clock walks over the list alone. Pure: it advances the queue that it is given and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from channeld.base.units import FrameRate
from channeld.playlist.model import Entry
from channeld.playlist.queue import Queue

Resume = Literal["exact", "entry", "start"]
OnOutage = Literal["continue", "hold"]
Lengths = Callable[[Entry], int | None]
"""Frames of one airing of an entry; 0 for one that will not air, None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Position:
    """What was on air when it was last written down: `frame` (from 0) is the next one due, at `saved_wall_s` of the wall clock."""

    entry: str
    frame: int
    saved_wall_s: float


@dataclass(frozen=True, slots=True)
class Resumption:
    """What airs first: `entry` from `frame` on, or where `entry` is None, whatever the queue plans, from its start."""

    entry: Entry | None
    frame: int = 0


@dataclass(frozen=True, slots=True)
class ResumeRules:
    """A channel's own choice."""

    resume: Resume = "exact"
    on_outage: OnOutage = "continue"


def resume(
    queue: Queue, position: Position | None, rules: ResumeRules, *, now_wall_s: float, rate: FrameRate, length: Lengths
) -> Resumption:
    """What airs first on a restored queue. The entry it gives is planned first, and its start moves nothing.

    A position that is not of the entry that began last is not believed: that entry begins anew. A wall clock that went back is no outage.
    """
    if rules.resume == "start":
        queue.rewind()
        return Resumption(None)
    current = queue.current
    if current is None or queue.is_to_begin_again or position is None or position.entry != current.id:
        return Resumption(queue.begin_again())
    if rules.on_outage == "hold":
        found = _stay(queue, current, position.frame, length)
    else:
        outage = rate.frames_in(max(0.0, now_wall_s - position.saved_wall_s))
        found = _walk(queue, current, position.frame + outage, length)
    return found if rules.resume == "exact" else Resumption(found.entry)


def _stay(queue: Queue, current: Entry, frame: int, length: Lengths) -> Resumption:
    own = length(current)
    if own is not None and frame >= own:
        return Resumption(None)  # it had ended, or will not air any more
    return _again(queue, frame)


def _walk(queue: Queue, current: Entry, frames: int, length: Lengths) -> Resumption:
    """Where the clock is `frames` after the playing entry's start. An entry of unknown length ends the walk at its start."""
    own = length(current)
    if own is None:
        return _again(queue, 0)
    if frames < own:
        return _again(queue, frames)
    found, left = _walk_round(queue, frames - own, length)
    if found is not None:
        return found
    queue.turn_round()
    lengths = [_airing_frames(entry, times, length) for entry, times in queue.rest_of_round()]
    known = [frames for frames in lengths if frames is not None]
    if len(known) == len(lengths):
        if sum(known) == 0:
            return Resumption(None)
        rounds, left = divmod(left, sum(known))
        if rounds:
            queue.turn_round(rounds - 1)
    found, _ = _walk_round(queue, left, length)
    return found or Resumption(None)


def _walk_round(queue: Queue, left: int, length: Lengths) -> tuple[Resumption | None, int]:
    """The place `left` frames on in what this round has to come, or None and the frames beyond its end."""
    for entry, times in queue.rest_of_round():
        own = length(entry)
        if own is None or left < own * times:
            aired, frame = (0, 0) if own is None else divmod(left, own)
            queue.jump(entry.id, aired + 1)
            return _again(queue, frame), 0
        left -= own * times
    return None, left


def _airing_frames(entry: Entry, times: int, length: Lengths) -> int | None:
    own = length(entry)
    return None if own is None else own * times


def _again(queue: Queue, frame: int) -> Resumption:
    entry = queue.begin_again()
    return Resumption(entry, 0 if entry is None else frame)
