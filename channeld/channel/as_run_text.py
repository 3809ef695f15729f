"""The as-run log as text: its columns, and CSV of them.

Rule: in CSV a text that a spreadsheet would take for a formula gets an apostrophe before it. Pure; used by the API and the command line.
"""

import csv
import io
from collections.abc import Iterable
from typing import Any

LINE = (
    "id",
    "channel",
    "outcome",
    "path",
    "title",
    "entry",
    "planned_at",
    "started_at",
    "ended_at",
    "frames_planned",
    "frames",
    "reason",
    "timeline",
    "serial",
    "ticks",
)
"""Columns of a line, in the order for people."""
TOTAL = ("channel", "path", "title", "airings", "frames", "aired_s", "first_at", "last_at")
PROBLEM_HEADER = "Channeld-Problem"
"""Header of an answer that is not all there is: why."""


def csv_text(rows: Iterable[dict[str, Any]], columns: tuple[str, ...], *, with_head: bool = True) -> str:
    """RFC 4180, the columns' names first."""
    out = io.StringIO()
    writer = csv.writer(out)
    if with_head:
        writer.writerow(columns)
    writer.writerows([_harmless(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _harmless(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
