"""Viewers over time, for people: the desk behind the API's history of clients.

Rule: what several controls counted of one minute or hour is put together here; what still grows is taken from memory. While the database
cannot be read, the answer is what is in memory, and says so. Safe from any thread but the loop's.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from channeld.api.control import UnknownChannel
from channeld.base.clock import iso_utc
from channeld.base.errors import StoreError
from channeld.channel.attendance import Attendance
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.store.records import AudienceSpan
from channeld.store.store import Store
from channeld.telemetry.metric_table import CONNECTION_BUCKETS_S

FLUSH_S = 2.0
STEPS = {"minute": 60, "hour": 3600}
STAYS = (*(f"up_to_{round(bound)}_s" for bound in CONNECTION_BUCKETS_S), "longer")


class AttendanceDesk:
    """Implements `admin_client_history.HistoryReader`."""

    def __init__(self, loop: ControlLoop, registry: Registry, attendance: Attendance, store: Store) -> None:
        self._loop, self._registry, self._attendance, self._store = loop, registry, attendance, store

    def read(self, channel: str, step: str, since_s: float, until_s: float, limit: int) -> dict[str, Any]:
        """Spans with viewers, newest first, and totals of those shown. Raises UnknownChannel."""
        if not self._loop.call(lambda: channel in self._registry.channels):
            raise UnknownChannel(channel)
        span_s, problem = STEPS[step], None
        spans: list[AudienceSpan] = []
        try:
            self._store.flush(FLUSH_S)
            spans = self._store.audience(channel, span_s, since_s, until_s, limit)
        except StoreError as error:
            problem = f"only what is in memory: {error}"
        now = self._attendance.current(channel, span_s)
        if now is not None and since_s <= now.at_s < until_s:
            spans = [now, *(each for each in spans if (each.at_s, each.life) != (now.at_s, now.life))]
        spans.sort(key=lambda each: -each.at_s)
        rows = [merged(list(same), span_s) for _, same in groupby(spans, key=lambda each: each.at_s)]
        return {"channel": channel, "step": step, "rows": rows[:limit], "totals": totals(spans), "problem": problem}


def merged(spans: list[AudienceSpan], span_s: int) -> dict[str, Any]:
    """One minute or hour, however many controls counted it."""
    told = totals(spans)
    del told["viewing_hours"]
    viewer_s = sum(each.viewer_s for each in spans)
    return {"at": iso_utc(spans[0].at_s), "viewers": round(viewer_s / span_s, 2), "viewer_s": round(viewer_s, 1), **told}


def totals(spans: Iterable[AudienceSpan]) -> dict[str, Any]:
    """Of all of them. `by_…`: seconds of watching."""
    spans = list(spans)
    stays = [sum(counts) for counts in zip(*(each.stays for each in spans), strict=True)] or [0] * len(STAYS)
    ended, stayed_s = sum(stays), sum(each.stayed_s for each in spans)
    return {
        "viewing_hours": round(sum(each.viewer_s for each in spans) / 3600, 3),
        "peak": max((each.peak for each in spans), default=0),
        "ended": ended,
        "ended_mean_s": round(stayed_s / ended, 1) if ended else None,
        "stays": dict(zip(STAYS, stays, strict=True)),
        "by_protocol": _summed(each.protocols for each in spans),
        "by_agent": _summed(each.agents for each in spans),
        "by_place": _summed(each.places for each in spans),
    }


def _summed(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for part in parts:
        for key, seconds in part.items():
            sums[key] = round(sums.get(key, 0.0) + seconds, 1)
    return dict(sorted(sums.items(), key=lambda each: (-each[1], each[0])))
