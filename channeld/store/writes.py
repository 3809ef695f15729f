"""A batch into the tables, inside of the caller's transaction.

Rule: written twice is written once: a commit whose answer was lost is simply repeated.
"""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Table, delete, or_, select, update

from channeld.store.backlog import Batch
from channeld.store.records import Airing, Ending, Outcome, Position
from channeld.store.relay_writes import write_events, write_kept, write_statuses
from channeld.store.rows import add_rows, replace_rows
from channeld.store.schema import airings, audience, clips, events, hls, meta, places, positions

PRUNED_ROWS = 500
_PLACE = tuple(column.name for column in places.columns if column.name != "channel")


Memories = dict[str, dict[str, Any]]
"""What each channel's queue remembered when it was written last, on this connection."""


def write(connection: Connection, batch: Batch, memories: Memories | None = None) -> None:
    """All of it. Memories that are there already, the very objects, are not written again."""
    for channel, position in batch.positions.items():
        _write_position(connection, channel, position, (memories or {}).get(channel))
    if batch.hls:
        replace_rows(connection, hls, [asdict(item) for item in batch.hls.values()])
    if batch.clips:
        replace_rows(connection, clips, [asdict(item) for item in batch.clips.values()])
    if batch.events:
        add_rows(connection, events, [asdict(item) for item in batch.events])
    for item in batch.airings:
        if isinstance(item, Airing):
            _begin(connection, item)
        else:
            _end(connection, item)
    if batch.kept:
        write_kept(connection, batch.kept)
    if batch.statuses:
        write_statuses(connection, list(batch.statuses.values()))
    if batch.relay_events:
        write_events(connection, batch.relay_events)
    if batch.spans:
        replace_rows(connection, audience, [asdict(item) for item in batch.spans.values()])


def write_meta(connection: Connection, key: str, value: str) -> None:
    """One fact about the database itself."""
    replace_rows(connection, meta, [{"key": key, "value": value}])


def prune(connection: Connection, table: Table, before_s: float) -> int:
    """Remove the oldest PRUNED_ROWS of what is older; gives how many there were."""
    oldest = select(table.c.id).where(table.c.at_s < before_s).order_by(table.c.at_s).limit(PRUNED_ROWS)
    return connection.execute(delete(table).where(table.c.id.in_(oldest.scalar_subquery()))).rowcount


def prune_audience(connection: Connection, span_s: int, before_s: float) -> int:
    """Remove the oldest spans of this length that are older, all of a few moments at once; gives how many there were."""
    of_span = (audience.c.span_s == span_s) & (audience.c.at_s < before_s)
    moments = select(audience.c.at_s).where(of_span).order_by(audience.c.at_s).limit(PRUNED_ROWS).subquery()
    return connection.execute(delete(audience).where(of_span, audience.c.at_s.in_(select(moments.c.at_s)))).rowcount


def _write_position(connection: Connection, channel: str, position: Position | None, written: dict[str, Any] | None) -> None:
    if position is None:
        for table in (positions, places):
            connection.execute(delete(table).where(table.c.channel == channel))
        return
    place = {"channel": channel, **{name: getattr(position, name) for name in _PLACE}}
    replace_rows(connection, places, [place])
    if position.memory is not written:
        replace_rows(connection, positions, [{**place, "memory": position.memory}])


def _begin(connection: Connection, airing: Airing) -> None:
    if airing.outcome is Outcome.ON_AIR:
        # What was on air before and never said how it ended: nobody was there to hear it.
        still_open = (airings.c.channel == airing.channel) & (airings.c.outcome == Outcome.ON_AIR.value) & (airings.c.id < airing.id)
        another = or_(airings.c.timeline != airing.timeline, airings.c.serial != airing.serial)
        connection.execute(update(airings).where(still_open, another).values(outcome=Outcome.LOST.value))
    add_rows(connection, airings, [_row(airing)])


def _end(connection: Connection, ending: Ending) -> None:
    one = (airings.c.channel == ending.channel) & (airings.c.timeline == ending.timeline) & (airings.c.serial == ending.serial)
    facts = {"outcome": ending.outcome.value, "ended_at_s": ending.ended_at_s, "frames": ending.frames, "reason": ending.reason}
    if connection.execute(update(airings).where(one).values(facts)).rowcount == 0:
        add_rows(connection, airings, [{**_row(ending), "at_s": ending.ended_at_s}])


def _row(item: Airing | Ending) -> dict[str, Any]:
    return {**asdict(item), "outcome": item.outcome.value}
