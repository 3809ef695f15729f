"""`channeld as-run`: what aired, when, for how long, and why not, as a table, CSV or JSON.

Rule: long answers come a page at a time and are written as they come; text of playlists is shown as text. An answer that is not all
there is says so on stderr.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from rich.table import Table
from rich.text import Text

from channeld.channel.as_run_text import LINE, TOTAL, csv_text
from channeld.cli_client import AdminClient
from channeld.cli_render import WIDE, clock, console, flexible, listing, plain, show_note

PAGE = 5_000
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log is asked for; None: whatever."""

    channel: str | None = None
    since: str | None = None
    to: str | None = None
    path: str | None = None
    outcome: str = "any"

    def query(self, **more: int) -> str:
        """As the API takes it."""
        told = {"channel": self.channel, "from": self.since, "to": self.to, "path": self.path, "outcome": self.outcome, **more}
        return urlencode({name: value for name, value in told.items() if value is not None})


def show_lines(client: AdminClient, wanted: Wanted, *, limit: int | None, as_csv: bool, as_json: bool) -> None:
    """The lines, newest first. Raises DaemonUnreachable, NotAllowed, Rejected, ChannelError."""
    if as_csv:
        for number, rows in enumerate(_pages(client, wanted, limit)):
            sys.stdout.write(csv_text(rows, LINE, with_head=number == 0))
    elif as_json:
        lines = [line for rows in _pages(client, wanted, limit) for line in rows]
        sys.stdout.write(json.dumps(lines, ensure_ascii=False, indent=2) + "\n")
    else:
        out = console()
        out.print(_line_table([line for rows in _pages(client, wanted, limit or SHOWN) for line in rows], out.width))


def show_totals(client: AdminClient, wanted: Wanted, *, as_csv: bool, as_json: bool) -> None:
    """How often and how long each clip aired. Raises the same."""
    rows = _ask(client, f"/api/v1/as-run/totals?{wanted.query()}")
    if as_csv:
        sys.stdout.write(csv_text(rows, TOTAL))
    elif as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
    else:
        out = console()
        out.print(_total_table(rows, out.width))


def _pages(client: AdminClient, wanted: Wanted, limit: int | None) -> Iterator[list[dict[str, Any]]]:
    """Pages, at least one, until `limit` lines or the end."""
    before: dict[str, int] = {}
    left = limit
    while True:
        size = PAGE if left is None else min(PAGE, left)
        rows = _ask(client, f"/api/v1/as-run?{wanted.query(limit=size, **before)}")
        yield rows
        left = None if left is None else left - len(rows)
        if len(rows) < size or left == 0:
            return
        before = {"before": rows[-1]["id"]}


def _ask(client: AdminClient, route: str) -> list[dict[str, Any]]:
    rows, problem = client.get_rows(route)
    if problem is not None:
        show_note(f"this is not all there is: {plain(problem)}")
    return rows


def _line_table(lines: list[dict[str, Any]], width: int) -> Table:
    names = ["Began (UTC)", "Planned", "Channel", "What", "Frames", "Outcome", "Why"]
    kept = names if width >= WIDE else [name for name in names if name != "Planned"]
    table = listing(*kept, right=("Frames",), flexible=("What", "Why"))
    for line in lines:
        planned = line.get("frames_planned")
        cells: dict[str, str | Text] = {
            "Began (UTC)": _moment(line.get("started_at"), width),
            "Planned": _moment(line.get("planned_at"), width).rpartition(" ")[2],
            "Channel": plain(line.get("channel")),
            "What": flexible(line.get("path") or ("filler" if line.get("entry") is None else "–")),
            "Frames": "–" if line.get("frames") is None else f"{line['frames']}" + ("" if planned is None else f"/{planned}"),
            "Outcome": plain(line.get("outcome")),
            "Why": flexible(line.get("reason") or ""),
        }
        table.add_row(*(cells[name] for name in kept))
    return table


def _total_table(rows: list[dict[str, Any]], width: int) -> Table:
    names = ("Channel", "What", "Airings", "Aired", "Frames", "First (UTC)", "Last")
    table = listing(*names, right=("Airings", "Aired", "Frames"), flexible=("What",))
    for row in rows:
        counted = str(row.get("airings")), clock(row.get("aired_s")), str(row.get("frames"))
        moments = _moment(row.get("first_at"), width), _moment(row.get("last_at"), width)
        table.add_row(plain(row.get("channel")), flexible(row.get("path") or "filler"), *counted, *moments)
    return table


def _moment(text: Any, width: int) -> str:
    """To the millisecond, or to the second and without the year where there is little room."""
    whole = plain(text or "–").replace("T", " ").removesuffix("Z")
    return whole if width >= WIDE else whole[5:19] or whole
