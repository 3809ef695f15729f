"""Entries of a list, and what an edit does to them, as the admin interface shows them. No state; any thread."""

from collections.abc import Sequence
from typing import Any

from channeld.base.clock import iso_utc
from channeld.channel.preparation import Prepared
from channeld.playlist.model import Entry, Readiness
from channeld.playlist.order import Diff
from channeld.playlist.queue import Queue

SHOWN_CHANGES = 200
"""Of a large edit, so many entries of each kind are shown, and so many air times; counts tell of all."""
_SAME_MOMENT_S = 0.05


def describe_entry(
    entry: Entry, index: int, standing: Prepared, *, length_s: float | None, airs_at: float | None, is_playing: bool
) -> dict[str, Any]:
    """One entry of a list. `airs_at`: seconds of the wall clock."""
    described: dict[str, Any] = {"entry": entry.id, "index": index, "path": entry.locator, "title": entry.title, "line": entry.line}
    for name, value in (("in", entry.in_s), ("out", entry.out_s), ("duration", entry.duration_s)):
        if value is not None:
            described[name] = float(value)
    return {
        **described,
        "in_s": _seconds(entry.in_s),
        "out_s": _seconds(entry.out_s),
        "duration_s": _seconds(length_s if length_s is not None else entry.duration_s),
        "repeat": entry.repeat,
        "fault": entry.fault,
        **dict(zip(("state", "reason"), prepared_state(entry, standing), strict=True)),
        "prepared": None if standing.share is None else round(standing.share, 3),
        "is_playing": is_playing,
        "airs_at": _moment(airs_at),
    }


def describe_edit(
    queue: Queue, diff: Diff, edited: Sequence[str], before: dict[str, float], after: dict[str, float]
) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """The diff, when what it concerns airs before and after it, and of how many entries that is not said.

    `queue` is that after the edit. What the edit names comes first, then what it shifts, soonest first.
    """
    added, removed = diff.added[:SHOWN_CHANGES], diff.removed[:SHOWN_CHANGES]
    moved = [each for entry_id in diff.moved[:SHOWN_CHANGES] if (each := queue.find(entry_id)) is not None]
    shown = {
        "added": [_placed(entry, queue) for entry in added],
        "removed": [_named(entry) for entry in removed],
        "moved": [_placed(entry, queue) for entry in moved],
        "counts": {"added": len(diff.added), "removed": len(diff.removed), "moved": len(diff.moved), "kept": diff.kept},
    }
    named = [*edited, *(entry.id for entry in (*added, *removed, *moved))]
    shifted = [entry_id for entry_id in {**after, **before} if _is_shifted(before.get(entry_id), after.get(entry_id))]
    shifted.sort(key=lambda entry_id: after.get(entry_id, before.get(entry_id, 0.0)))
    concerned = list(dict.fromkeys([*named, *shifted]))
    airs = [
        {**_named(entry), "before": _moment(before.get(entry_id)), "after": _moment(after.get(entry_id))}
        for entry_id in concerned[:SHOWN_CHANGES]
        if (entry := queue.find(entry_id)) is not None
    ]
    return shown, airs, max(0, len(concerned) - SHOWN_CHANGES)


def _is_shifted(before: float | None, after: float | None) -> bool:
    return before is None or after is None or abs(before - after) > _SAME_MOMENT_S


def prepared_state(entry: Entry, standing: Prepared) -> tuple[str, str | None]:
    """How far an entry's clip is, in one word, and the reason where there is one."""
    return "refused" if entry.fault is not None else _state(standing), entry.fault or standing.reason


def _state(standing: Prepared) -> str:
    if standing.readiness is not Readiness.PENDING:
        return "ready" if standing.readiness is Readiness.READY else "refused"
    return "preparing" if standing.is_preparing else "waiting" if standing.is_looked_up else "unknown"


def _named(entry: Entry) -> dict[str, Any]:
    return {"entry": entry.id, "path": entry.locator, "title": entry.title}


def _placed(entry: Entry, queue: Queue) -> dict[str, Any]:
    return {**_named(entry), "index": queue.position(entry.id)}


def _seconds(value: Any) -> float | None:
    return None if value is None else round(float(value), 3)


def _moment(at_s: float | None) -> str | None:
    return None if at_s is None else iso_utc(at_s)
