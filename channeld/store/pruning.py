"""Forgets what is older than it is to be kept, a little at a time.

Rule: a clock that jumped prunes nothing. It is trusted at start when it shows at most TRUSTED_GAP_S more than at the last write;
after a jump, or a longer gap, once it has gone along with the monotonic clock for STEADY_S. Used by the store's writer.
"""

import math
from dataclasses import dataclass

from sqlalchemy import Connection, Table, select

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.store.schema import airings, events, meta, relay_events
from channeld.store.writes import PRUNED_ROWS, prune, prune_audience, write_meta

DAY_S = 86_400.0
TRUSTED_GAP_S = 7 * DAY_S
STEADY_S = DAY_S
JUMP_S = 3_600.0
REST_S = 60.0
NOTED_S = 600.0
MINUTE_DAYS = 2.0
_WRITTEN = "written_wall_s"


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days of history are kept; events of relays as long as all others, minutes of viewers at most MINUTE_DAYS."""

    event_days: float = 30.0
    as_run_days: float = 400.0
    audience_days: float = 400.0


class Pruner:
    """`step` belongs into each transaction of the writer."""

    def __init__(self, retention: Retention, clock: Clock) -> None:
        self._retention, self._clock = retention, clock
        self._offset_s: float | None = None
        self._trusted_from_s = math.inf
        self._next_s = -math.inf
        self._noted_s = -math.inf

    def step(self, connection: Connection) -> None:
        """Remove a few rows, if there are any and it is time."""
        now_s, wall_s = self._clock.monotonic_ns() / NS_PER_SECOND, self._clock.wall_s()
        self._judge_clock(connection, now_s, wall_s)
        if now_s < self._trusted_from_s:
            return
        if now_s >= self._noted_s + NOTED_S:
            write_meta(connection, _WRITTEN, str(wall_s))
            self._noted_s = now_s
        if now_s < self._next_s:
            return
        more = [self._prune(connection, *each, wall_s) for each in self._limits()]
        days = self._retention.audience_days
        for span_s, kept_days in ((60, min(days, MINUTE_DAYS)), (3600, days)):
            more.append(prune_audience(connection, span_s, wall_s - kept_days * DAY_S) >= PRUNED_ROWS)
        self._next_s = now_s + (0.0 if any(more) else REST_S)

    def _limits(self) -> tuple[tuple[Table, float], ...]:
        days = self._retention
        return (events, days.event_days), (relay_events, days.event_days), (airings, days.as_run_days)

    def _prune(self, connection: Connection, table: Table, days: float, wall_s: float) -> bool:
        return prune(connection, table, wall_s - days * DAY_S) == PRUNED_ROWS

    def _judge_clock(self, connection: Connection, now_s: float, wall_s: float) -> None:
        offset_s, before_s = wall_s - now_s, self._offset_s
        if before_s is None:
            found = connection.execute(select(meta.c.value).where(meta.c.key == _WRITTEN)).scalar()
            is_near = found is None or -JUMP_S < wall_s - float(found) < TRUSTED_GAP_S
            self._trusted_from_s = now_s if is_near else now_s + STEADY_S
        elif abs(offset_s - before_s) > JUMP_S:
            self._trusted_from_s = now_s + STEADY_S
        self._offset_s = offset_s
