"""What the store keeps, as plain values.

Rule: wall time in seconds since the epoch, media time in ticks of 90 kHz, lengths in frames; texts have passed the redactor.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Position:
    """Where a channel is: what goes on after a power loss.

    `memory`: what its playlist's queue wrote down, fit for JSON. `tag` and `path` name the entry on air (None: the filler); `frame` of
    `clip_frames` (None: still unknown) were sent by `ticks` of the timeline, when the wall clock showed `saved_wall_s`.
    """

    memory: dict[str, Any]
    tag: str | None
    path: str | None
    frame: int
    clip_frames: int | None
    saved_wall_s: float
    ticks: int


@dataclass(frozen=True, slots=True)
class HlsPosition:
    """Which segment an HLS output's manifest began with last."""

    channel: str
    output: str
    media_sequence: int
    discontinuity_sequence: int


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """A prepared clip, or one that was refused (`refusal` says why, `key` is None). `clip`: profile, source and cut in one name."""

    clip: str
    profile: str
    source: str
    key: str | None = None
    duration_s: float | None = None
    bytes: int | None = None
    gain_db: float | None = None
    prepared_at_s: float | None = None
    warnings: tuple[str, ...] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class AudienceSpan:
    """A channel's viewers in a minute or an hour, as one control counted them. `life` tells its rows from those of the one before it.

    `peak` viewers at a time, `viewer_s` of watching in all; of those that left, `stays` by their seconds and `stayed_s` in all;
    seconds of watching by protocol, kind of player and place.
    """

    channel: str
    span_s: int
    at_s: int
    life: int
    peak: int
    viewer_s: float
    stays: list[int]
    stayed_s: float
    protocols: dict[str, float]
    agents: dict[str, float]
    places: dict[str, float]


class Outcome(StrEnum):
    """What became of an entry's turn. From SKIPPED on it did not air."""

    ON_AIR = "on_air"
    END = "end"
    CUT = "cut"
    UNDERRUN = "underrun"
    DAMAGED = "damaged"
    LOST = "lost"
    """It aired, and nobody was there to hear how it ended."""
    SKIPPED = "skipped"
    PASSED_OVER = "passed_over"
    SUBSTITUTED = "substituted"


AIRED = (Outcome.ON_AIR, Outcome.END, Outcome.CUT, Outcome.UNDERRUN, Outcome.DAMAGED, Outcome.LOST)


@dataclass(frozen=True, slots=True)
class Airing:
    """One line of the as-run log. `path` None is the filler; `timeline` and `serial` tell the airing of one life of a channel.

    `at_s`: when it began, or when its turn was noted; `ticks`: where it began on the channel's timeline.
    """

    id: int
    channel: str
    at_s: float
    outcome: Outcome
    timeline: str | None = None
    serial: int | None = None
    entry: str | None = None
    path: str | None = None
    title: str | None = None
    planned_at_s: float | None = None
    ended_at_s: float | None = None
    ticks: int | None = None
    frames_planned: int | None = None
    frames: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How the airing of a timeline and serial ended; `id` is for its line if its beginning was never told."""

    id: int
    channel: str
    timeline: str
    serial: int
    outcome: Outcome
    ended_at_s: float
    frames: int | None
    reason: str | None = None
    entry: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event as it was told; `event` is fit for JSON and holds its id."""

    id: int
    at_s: float
    event: dict[str, Any] = field(hash=False)
