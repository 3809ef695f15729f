"""What may be asked of the tables. Each function answers one question on the connection it is given."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, func, or_, select

from channeld.store.records import AIRED, Airing, AudienceSpan, ClipRecord, EventRecord, HlsPosition, Outcome, Position
from channeld.store.schema import airings, audience, clips, events, hls, places, positions


@dataclass(frozen=True, slots=True)
class AiringFilter:
    """Which lines of the as-run log; None: whatever. `from_s` counts, `to_s` does not; `path`: as listed, or its last parts.

    `before`: lines with a smaller id only, to page on.
    """

    channel: str | None = None
    from_s: float | None = None
    to_s: float | None = None
    path: str | None = None
    outcomes: tuple[Outcome, ...] = AIRED
    before: int | None = None

    def admits(self, airing: Airing) -> bool:
        """The same rule, for what is in memory."""
        return (
            self.channel in (None, airing.channel)
            and (self.from_s is None or airing.at_s >= self.from_s)
            and (self.to_s is None or airing.at_s < self.to_s)
            and (self.path is None or f"/{airing.path or ''}".endswith(f"/{self.path}"))
            and airing.outcome in self.outcomes
            and (self.before is None or airing.id < self.before)
        )


@dataclass(frozen=True, slots=True)
class ClipTotal:
    """How often and how long one path aired on one channel. `path` None: the filler."""

    channel: str
    path: str | None
    title: str | None
    airings: int
    frames: int
    aired_s: float
    first_at_s: float
    last_at_s: float


def position(connection: Connection, channel: str) -> Position | None:
    """Where a channel was."""
    found = connection.execute(select(positions).where(positions.c.channel == channel)).mappings().first()
    if found is None:
        return None
    newest = connection.execute(select(places).where(places.c.channel == channel)).mappings().first()
    return Position(**{name: value for name, value in {**found, **(newest or {})}.items() if name != "channel"})


def hls_positions(connection: Connection) -> dict[tuple[str, str], HlsPosition]:
    """The numbering of every HLS output, by channel and name."""
    found = (HlsPosition(**dict(row)) for row in connection.execute(select(hls)).mappings())
    return {(each.channel, each.output): each for each in found}


def clips_after(connection: Connection, after: str | None, limit: int) -> list[ClipRecord]:
    """The catalogue by name, from behind one on."""
    question = select(clips).order_by(clips.c.clip).limit(limit)
    if after is not None:
        question = question.where(clips.c.clip > after)
    return [ClipRecord(**{**dict(row), "warnings": tuple(row["warnings"])}) for row in connection.execute(question).mappings()]


def newest_events(connection: Connection, count: int) -> list[EventRecord]:
    """Oldest first."""
    found = connection.execute(select(events).order_by(events.c.id.desc()).limit(count)).mappings()
    return [EventRecord(**dict(row)) for row in found][::-1]


def newest_ids(connection: Connection) -> tuple[int, int]:
    """The greatest id of an event and of a line of the as-run log; 0 where there is none."""
    event, airing = (connection.execute(select(func.max(table.c.id))).scalar() for table in (events, airings))
    return event or 0, airing or 0


def found_airings(connection: Connection, wanted: AiringFilter, limit: int) -> list[Airing]:
    """Newest first."""
    rows = connection.execute(select(airings).where(_condition(wanted)).order_by(airings.c.id.desc()).limit(limit)).mappings()
    return [_airing(row) for row in rows]


def totals(connection: Connection, wanted: AiringFilter) -> list[ClipTotal]:
    """By channel and path, most aired first."""
    columns = airings.c
    ended_s = func.coalesce(func.sum(columns.ended_at_s - columns.at_s), 0.0)
    question = (
        select(
            columns.channel,
            columns.path,
            func.max(columns.title).label("title"),
            func.count().label("airings"),
            func.coalesce(func.sum(columns.frames), 0).label("frames"),
            ended_s.label("aired_s"),
            func.min(columns.at_s).label("first_at_s"),
            func.max(columns.at_s).label("last_at_s"),
        )
        .where(_condition(wanted))
        .group_by(columns.channel, columns.path)
        .order_by(columns.channel, func.count().desc(), columns.path)
    )
    return [ClipTotal(**{**dict(row), "frames": int(row["frames"])}) for row in connection.execute(question).mappings()]


def count(found: Iterable[Airing]) -> list[ClipTotal]:
    """The same totals of what is in memory."""
    groups: dict[tuple[str, str | None], list[Airing]] = {}
    for airing in found:
        groups.setdefault((airing.channel, airing.path), []).append(airing)
    return sorted((_total(group) for group in groups.values()), key=lambda total: (total.channel, -total.airings, total.path or ""))


def audience_spans(connection: Connection, channel: str, span_s: int, since_s: float, until_s: float, limit: int) -> list[AudienceSpan]:
    """The newest of a channel's spans of this length, newest first; those that several controls counted stand apart."""
    columns = audience.c
    wanted = (columns.channel == channel) & (columns.span_s == span_s) & (columns.at_s >= since_s) & (columns.at_s < until_s)
    question = select(audience).where(wanted).order_by(columns.at_s.desc(), columns.life.desc()).limit(limit)
    return [AudienceSpan(**dict(row)) for row in connection.execute(question).mappings()]


def _total(group: list[Airing]) -> ClipTotal:
    first = group[0]
    moments = [airing.at_s for airing in group]
    aired_s = sum(airing.ended_at_s - airing.at_s for airing in group if airing.ended_at_s is not None)
    title = max((airing.title for airing in group if airing.title is not None), default=None)
    frames = sum(airing.frames or 0 for airing in group)
    return ClipTotal(first.channel, first.path, title, len(group), frames, aired_s, min(moments), max(moments))


def _airing(row: RowMapping) -> Airing:
    values: dict[str, Any] = dict(row)
    return Airing(**{**values, "outcome": Outcome(values["outcome"])})


def _condition(wanted: AiringFilter) -> ColumnElement[bool]:
    columns = airings.c
    parts: list[ColumnElement[bool]] = [columns.outcome.in_([outcome.value for outcome in wanted.outcomes])]
    if wanted.channel is not None:
        parts.append(columns.channel == wanted.channel)
    if wanted.from_s is not None:
        parts.append(columns.at_s >= wanted.from_s)
    if wanted.to_s is not None:
        parts.append(columns.at_s < wanted.to_s)
    if wanted.path is not None:
        parts.append(or_(columns.path == wanted.path, columns.path.endswith(f"/{wanted.path}", autoescape=True)))
    if wanted.before is not None:
        parts.append(columns.id < wanted.before)
    return and_(*parts)
